#include "train/spark_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/limits.h"
#include "storage/file.h"
#include "train/livy.h"
#include "train/spark_submit.h"

namespace skerry {

namespace fs = std::filesystem;

Status CheckSparkRoad(const SparkOptions& options) {
  for (const std::string& setting : options.conf)
    if (const auto equals = setting.find('='); equals == 0 || equals == std::string::npos)
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' is no setting of Spark; such are NAME=VALUE (spark.executor.memory=2g)",
                  setting);
  if (!options.livy.empty()) return CheckLivy(options);
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const fs::path submit, FindSparkSubmit(options));
  return {};
}

Status RunSparkJob(const TrainOptions& options, Json job, const fs::path& work) {
  const SparkOptions& spark = options.spark;
  const SparkRun run{.script = work / "skerry_train.py",
                     .job = work / "job.json",
                     .log = fs::absolute(options.out).lexically_normal().string() + ".spark.log",
                     .name = options.name};
  job["format"] = "skerry-spark-job/1";
  job["master"] = spark.master;
  job["return_to"] = work.string();
  job["owner"] = getpid();
  job["patience_s"] = limits::kSparkPatience.count();
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(run.script, SparkJobScript()));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(run.job, DumpJsonPretty(job)));
  SKERRY_RETURN_IF_ERROR(RemoveFile(run.log));
  if (options.progress)
    options.progress(spark.livy.empty()
                         ? fmt::format("submitting to {}; log: {}", spark.master, run.log.string())
                         : fmt::format("submitting to Livy at {}", spark.livy));
  Status ended = spark.livy.empty()
                     ? RunBySubmit(run, spark, options.progress, options.cancelled)
                     : RunByLivy({.directory = work, .log = run.log, .name = options.name}, spark,
                                 options.progress, options.cancelled);
  const bool failed = !ended && ended.error().code() != ErrorCode::kUnavailable;
  if (!failed) SKERRY_RETURN_IF_ERROR(RemoveFile(run.log));
  return ended;
}

}  // namespace skerry
