#include "train/tests/training_data.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <span>

#include "base/random.h"

namespace skerry {

std::string MachineCsv(std::size_t rows, std::uint64_t seed) {
  SeededRandom random(seed);
  std::string csv = "Speed [rpm],Torque [Nm],Grade,Unit,Failed\n";
  for (std::size_t i = 0; i < rows; ++i) {
    const double speed = 1'500 + 200 * random.NextGaussian();
    const double torque = 40 + 10 * random.NextGaussian();
    const char grade = "ABC"[random.NextBelow(3)];
    const bool overload = speed * torque > 75'000 + (grade == 'A' ? 0 : 8'000);
    const bool failed = overload ? random.NextDouble() < 0.9 : random.NextDouble() < 0.01;
    const std::string speed_text = random.NextDouble() < 0.05 ? "" : fmt::format("{:.1f}", speed);
    csv += fmt::format("{},{:.2f},{},unit-{},{}\n", speed_text, torque, grade, i, failed ? 1 : 0);
  }
  return csv;
}

void WriteText(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::optional<std::filesystem::path> Ai4iFile() {
  const char* data = std::getenv("SKERRY_TEST_DATA");
  if (data == nullptr) return std::nullopt;
  return std::filesystem::path(data) / "ai4i2020/ai4i2020.csv";
}

Table SelectRows(const Table& table, std::span<const std::size_t> rows) {
  Table selected;
  for (const Column& column : table.columns) {
    Column& copy = selected.columns.emplace_back();
    copy.name = column.name;
    copy.type = column.type;
    for (const std::size_t row : rows) copy.AppendFrom(column, row);
  }
  return selected;
}

}  // namespace skerry
