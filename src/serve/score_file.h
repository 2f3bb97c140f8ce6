// Batch scoring of a file: what `skerry score FILE MODEL --out FILE` does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/error.h"
#include "model/package.h"

namespace skerry {

struct ScoreFileOptions {
  std::filesystem::path in, out;  // Parquet where the name ends in .parquet, else CSV
  int threads = 0;                // that score; 0: one a core
  // May be empty; rows written so far, and the share of the file that was read. From any of the
  // threads, one at a time.
  std::function<void(std::uint64_t rows, double share)> progress{};
  std::function<bool()> cancelled{};  // may be empty; asked again and again, by any of the threads
};

struct ScoreFileReport {
  std::uint64_t rows = 0;
  std::uint64_t positives = 0;  // of a binary model
  std::uint64_t anomalies = 0;
  double seconds = 0;
};

// Reads RFC 4180 CSV with a header row, or Parquet; the features are found by their column name or
// field name. Writes the input's columns as they came plus those of ScoredColumnsOf
// (scored_file.h), rows in their order. What comes from CSV stays text, and its empty cells are
// null in Parquet. Memory does not grow with the file. `out` is replaced as a whole at the end and
// is durable on return; on an error nothing is left. Errors: kInvalidArgument names missing
// columns, or the line and field of a bad value, or says that the file has no rows or has one of
// those columns already; kTooLarge over limits::kTableColumns or kFieldBytes; kFailedPrecondition
// for a bare model, or an input that changed meanwhile; kUnavailable when cancelled.
Result<ScoreFileReport> ScoreFile(const ScoreFileOptions& options,
                                  std::shared_ptr<const ModelPackage> package);

}  // namespace skerry
