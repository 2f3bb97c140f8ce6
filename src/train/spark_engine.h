// The other engine: the trees are fitted on a Spark cluster, everything else is done here by the
// same code (ADR 0013).
#pragma once

#include "base/error.h"
#include "train/trainer.h"

namespace skerry {

// As Train, whose checks have passed, with options.spark.master. Errors besides those of Train:
// kNotFound (no spark-submit), kUnimplemented (a task or data that only the embedded engine takes),
// kInternal (the job failed: why, and where its log is). After a failure of the job its log stands
// beside `out` as <out>.spark.log; else nothing is left.
Result<TrainReport> TrainOnSpark(const TrainOptions& options);

}  // namespace skerry
