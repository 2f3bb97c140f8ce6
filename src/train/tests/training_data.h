// Tables for the tests of train: a small machine with rules, and the real AI4I set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "codec/columns.h"

namespace skerry {

// `rows` rows of: "Speed [rpm]" (some blank), "Torque [Nm]", "Grade" (A, B, C), "Unit" (an id),
// "Failed" (0 or 1, mostly by a rule on the others).
std::string MachineCsv(std::size_t rows, std::uint64_t seed);

void WriteText(const std::filesystem::path& path, std::string_view text);

// ai4i2020.csv below $SKERRY_TEST_DATA; nothing when that is not set.
std::optional<std::filesystem::path> Ai4iFile();

// The given rows of a table.
Table SelectRows(const Table& table, std::span<const std::size_t> rows);

}  // namespace skerry
