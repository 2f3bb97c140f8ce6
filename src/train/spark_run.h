// One job for a Spark cluster, by whatever road it goes there: spark-submit of this machine, or a
// Livy server.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "codec/json.h"
#include "train/trainer.h"

namespace skerry {

// spark/skerry_train.py, compiled in.
std::string_view SparkJobScript();

// Asked before the work: kInvalidArgument for settings, a master or URLs that are none, kNotFound
// for a spark-submit that is not there.
Status CheckSparkRoad(const SparkOptions& options);

// Runs the job; its results are in `work` on return. `job` has what spark/README.md lists but for
// what every job has, which is added here. After a failure the log stands beside options.out as
// <out>.spark.log. Errors are those of RunBySubmit and RunByLivy.
Status RunSparkJob(const TrainOptions& options, Json job, const std::filesystem::path& work);

}  // namespace skerry
