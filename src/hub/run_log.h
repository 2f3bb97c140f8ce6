// What the log of a run's child says: its last bytes, how far it is, why it ended.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "codec/json.h"

namespace skerry {

// The last `bytes` at most; "" when there is no file.
std::string ReadTail(const std::filesystem::path& file, std::size_t bytes);

// Of a log's tail while the child is at work: {"step", "step_fraction", "tasks", "tasks_fraction"}.
// `step` is what it does ("inner fold 2 of 5, 2 at work"); `tasks` how far Spark's stage in hand is
// ("stage 12: 3 of 8 tasks"). Fractions are 0 to 1, and null where the words tell none.
Json ProgressOf(std::string_view tail);

// Why the child says that it ended: the last error of `skerry train`; "" when it told none.
std::string ErrorToldIn(std::string_view tail);
// The last line that has something on it.
std::string LastLine(std::string_view tail);

}  // namespace skerry
