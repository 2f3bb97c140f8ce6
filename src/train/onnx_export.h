// Fitted trees as ONNX graphs (ai.onnx.ml TreeEnsembleRegressor). The bytes depend on nothing but
// the trees: no names of machines, no times.
#pragma once

#include <cstddef>
#include <string>

#include "train/boosted_trees.h"
#include "train/isolation_forest.h"

namespace skerry {

// "input" float32 [N, features] -> by the link "probabilities" float32 [N, 2] (class 0, class 1),
// "probabilities" float32 [N, classes], or "value" float32 [N, 1]. A missing value (NaN) takes each
// node's own side.
std::string ExportBoostedTrees(const BoostedTrees& ensemble, std::size_t features);

// "input" float32 [N, features] -> "anomaly_score" float32 [N, 1].
std::string ExportIsolationForest(const IsolationForest& forest, std::size_t features);

}  // namespace skerry
