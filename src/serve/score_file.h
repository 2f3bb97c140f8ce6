// Batch scoring of a CSV file, streaming: what `skerry score FILE MODEL --out FILE` does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/error.h"
#include "model/package.h"

namespace skerry {

struct ScoreFileReport {
  std::uint64_t rows = 0;
  std::uint64_t positives = 0;
  std::uint64_t anomalies = 0;
  double seconds = 0;
};

// Reads RFC 4180 CSV with a header row; the features are found by their column name or field name.
// Writes the input's columns as they came plus `prediction` (the class's word), `score` and
// `anomaly_score` (empty without a detector). Memory does not grow with the file. `out` is replaced
// as a whole at the end and is durable on return; on an error nothing is left. `progress` (may be
// empty) gets the rows done so far.
// Errors: kInvalidArgument names missing columns, or the line and field of a bad value, or says
// that the file has no rows; kTooLarge over limits::kTableColumns or kFieldBytes;
// kFailedPrecondition for a bare model.
Result<ScoreFileReport> ScoreFile(const std::filesystem::path& in,
                                  std::shared_ptr<const ModelPackage> package,
                                  const std::filesystem::path& out,
                                  const std::function<void(std::uint64_t)>& progress = {});

}  // namespace skerry
