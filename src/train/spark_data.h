// What a training on Spark reads: files that this machine sees, too, under the same paths, or
// addresses that the cluster alone reads.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "codec/json.h"
#include "tabular/engine.h"
#include "train/data_source.h"
#include "train/trainer.h"

namespace skerry {

struct SparkData {
  SourceData first{};  // the rows that the schema is chosen by; of addresses no states
  Json job{};          // the job's member `data` (spark/README.md)
};

// Files: read here. options.spark.data: a job on the cluster lists the files and hands back the
// first rows; it works below `work`. kInvalidArgument: files of more than one form or delimiter.
Result<SparkData> ReadSparkData(TabularEngine& engine, const TrainOptions& options,
                                const std::filesystem::path& work);

}  // namespace skerry
