// Hands a job to Spark's own spark-submit on this machine and follows it to its end. What a job and
// its results are: spark/README.md.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "train/trainer.h"

namespace skerry {

// Asked before the work. kInvalidArgument: a master of no known form.
// kNotFound: no spark-submit, with where it was sought.
Result<std::filesystem::path> FindSparkSubmit(const SparkOptions& options);

struct SparkRun {
  std::filesystem::path script{}, job{};
  std::filesystem::path log{};  // Spark's output is appended to it
  std::string_view name{};      // of the application, for those who look at the cluster
};

// Returns when the job has ended and has told that it is done. kInternal: it failed; in one
// sentence why, and where the log is. kUnavailable: it was cancelled; no process of it is left
// here, and the cluster ends an application whose driver is gone.
Status RunBySubmit(const SparkRun& run, const SparkOptions& options, const ProgressSink& progress,
                   const CancelCheck& cancelled);

}  // namespace skerry
