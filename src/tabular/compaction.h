// Many small Parquet files become few large ones with the same rows: engines that list and open
// files one by one (Spark) read them several times faster.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "base/error.h"
#include "tabular/engine.h"

namespace skerry {

struct Compaction {
  std::uint64_t files = 0, rows = 0;  // that were read
  std::uint64_t parts = 0;            // that were written
};

// Writes the rows of `files`, in their order, to out/part-00000.parquet, ...: a part of the rows of
// files of together about `part_bytes`. Columns are matched by name; every part has the columns of
// all files, null where a file lacks one (docs/formats/lake.md). The directory `out` must not
// exist; it appears as a whole, synced, after the rows were counted again, or not at all.
// kInvalidArgument: a file that is no Parquet, columns whose types do not go together.
// kAlreadyExists. kUnavailable: `go_on`, asked before each part, said no.
Result<Compaction> CompactParquet(TabularEngine& engine,
                                  const std::vector<std::filesystem::path>& files,
                                  const std::filesystem::path& out, std::uint64_t part_bytes,
                                  const std::function<bool()>& go_on);

}  // namespace skerry
