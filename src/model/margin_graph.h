// What follows the trees in the graphs that skerry train writes (train/onnx_export.h). Inside
// model.
#pragma once

#include <onnx-ml.pb.h>

#include <optional>

#include "model/tree_ensemble.h"

namespace skerry {

// Answer = link(margin * scale).
struct MarginGraph {
  MarginLink link = MarginLink::kIdentity;
  float scale = 1;
};

// `graph` as TreeEnsembleRegressor("input") and then nothing ("value"), the logistic function and
// 1 - p ("probabilities"), Softmax ("probabilities"), Exp ("value"), or Mul and Exp
// ("anomaly_score"). Nothing where it is another, or has other outputs.
std::optional<MarginGraph> ReadMarginGraph(const onnx::GraphProto& graph);

}  // namespace skerry
