// The records that an outbox holds, for use on the site. Internal.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "outbox/database.h"
#include "tabular/engine.h"

namespace skerry {

// What a class has locally: segment files, oldest first, and the rows behind them.
struct LocalRecords {
  std::vector<std::filesystem::path> segments;
  std::vector<Table> unsealed;
  bool empty() const { return segments.empty() && unsealed.empty(); }
};

// The latest ones, in the order in which they were made.
Result<Table> LatestRecords(const LocalRecords& records, std::size_t rows);
// All of them as .csv or .parquet, in bounded memory.
Status WriteRecords(const LocalRecords& records, const std::filesystem::path& path);

}  // namespace skerry
