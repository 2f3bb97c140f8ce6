// The bodies of the scoring API's answers, written without a JSON tree.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/row_batch.h"
#include "serve/infer_request.h"

namespace skerry {

// kInvalidArgument names an output asked for that the package does not have.
Status CheckOutputs(const ModelPackage& package, const InferRequest& request);

// For a scored batch of a package: outputs probabilities FP32 [N,2], prediction BYTES [N], score
// FP32 [N] and, with a detector, anomaly_score FP32 [N]; request.outputs, which CheckOutputs has
// accepted, chooses and orders them.
std::string InferAnswer(const RowBatch& batch, const InferRequest& request);

// For a bare ONNX model.
std::string TensorAnswer(const ModelPackage& package, const InferRequest& request,
                         std::span<const Tensor> outputs);

// POST /v1/score.
std::string ScoreAnswer(const RowBatch& batch);

}  // namespace skerry
