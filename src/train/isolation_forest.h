// The anomaly detector: an isolation forest (Liu, Ting, Zhou 2008, "Isolation Forest"), grown and
// scored by ourselves, exported to ONNX. Deterministic for a seed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/tree_ensemble.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// The score of a row is 2^(-mean path length / c(samples)), in (0, 1): near 1 is easy to isolate.
struct IsolationForest {
  std::vector<Tree> trees{};  // a leaf's value is its path length
  double normal_path = 1;     // c(samples)

  // One score a row.
  std::vector<float> Score(const FeatureMatrix& rows) const;
};

// c(n): the mean path length of an unsuccessful search in a binary search tree of n keys.
double MeanPathLength(std::size_t rows);

// Grows each tree on `parameters.samples` rows drawn without replacement (or all, if fewer), to
// depth ceil(log2(samples)). A node splits a random feature that differs among its rows at a random
// value; a missing value goes where more of the node's rows went.
IsolationForest GrowIsolationForest(const FeatureMatrix& rows, const DetectorParameters& parameters,
                                    std::uint64_t seed);

}  // namespace skerry
