// Hands a job to a managed cluster by Livy's REST API (batches) and follows it to its end.
// Source: https://livy.apache.org/docs/latest/rest-api.html.
//
// The job's files and results travel through a JobDesk of this process, which the cluster has to
// reach; nothing has to be put onto the cluster before, and nothing is left there but Livy's record
// of the batch.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "train/trainer.h"

namespace skerry {

struct LivyRun {
  std::filesystem::path directory{};  // skerry_train.py and job.json; results come here
  std::filesystem::path log{};        // Livy's log of a batch that failed
  std::string_view name{};            // of the application
};

// Whether options.livy and options.return_url are URLs. kInvalidArgument.
Status CheckLivy(const SparkOptions& options);

// Name and password of basic authentication are taken from the environment: LIVY_USER,
// LIVY_PASSWORD. Errors: kUnavailable (interrupted: the batch is deleted), kInternal (the batch
// failed, was killed, or Livy refused it or is lost: one sentence, and the log's place).
Status RunByLivy(const LivyRun& run, const SparkOptions& options, const ProgressSink& progress,
                 const CancelCheck& cancelled);

}  // namespace skerry
