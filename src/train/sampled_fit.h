// Trees that were fitted to more rows than are judged here, and how a package is made of them: on
// Spark, or from rows on disk. Inside train.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "train/model_fit.h"
#include "train/trainer.h"

namespace skerry {

struct SampledFit {
  LabelledRows training{}, holdout{};  // all rows of each side, or a part of them
  std::vector<std::uint8_t> folds{};   // of the training rows here
  LearntTrees learnt{};
  SplitFacts split{};
  std::uint64_t rows = 0, training_rows = 0, holdout_rows = 0;  // all
  std::uint64_t training_positives = 0, holdout_positives = 0;
  bool copies_by_nature = false;
  // Columns with cells of a category that the schema does not list, and how many.
  std::vector<std::pair<std::string, std::uint64_t>> unlisted{};
  std::string engine{};  // TrainReport::engine
};

// How many rows are judged here at most.
std::uint64_t SampledRows(const ModelSchema& schema);

// Before the work: the columns that slices are asked by must be features, since of the sampled rows
// there is nothing else. kUnimplemented.
Status CheckSampledSlices(const TrainOptions& options, const ModelSchema& schema);

// The package, with warnings of what the figures are of; the trees are taken from `fit`.
Result<FittedPackage> PackageSampled(SampledFit fit, const TrainOptions& options,
                                     const ModelSchema& schema);

}  // namespace skerry
