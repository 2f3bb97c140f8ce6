// The bodies of the scoring API's answers, written without a JSON tree.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "insight/contributions.h"
#include "model/row_batch.h"
#include "serve/infer_request.h"
#include "serve/inference.h"

namespace skerry {

// kInvalidArgument names an output asked for that the package does not have, or one asked for
// classes that has none.
Status CheckOutputs(const ModelPackage& package, const InferRequest& request);

// The tensors of an answer, for every protocol: those of a bare graph, which are taken, or of a
// package (PackageOutputs), with the classes of those that are asked for by classification.
// CheckOutputs has accepted `outputs`.
std::vector<Tensor> AnswerTensors(InferResponse& response,
                                  std::span<const RequestedOutput> outputs);

// A body of JSON with the elements of binary outputs behind it.
struct InferAnswer {
  std::string body;
  std::size_t json_bytes = 0;  // of the body; all of it without binary outputs
};

// For a package: the outputs of PackageOutputs (inference.h). request.outputs, which CheckOutputs
// has accepted, chooses and orders the outputs, and says which are binary or classified.
InferAnswer RenderInferAnswer(InferResponse& response, const InferRequest& request);

// POST /v1/score. With `explained`, which may be null, every result says what its score is made of.
std::string ScoreAnswer(const RowBatch& batch, const Contributions* explained);
// The same results, one a line.
std::string ScoreLines(const RowBatch& batch, const Contributions* explained);
// The line that ends an answer before its rows do: {"error": "...", "row": n}, n from 1 on.
std::string ScoreErrorLine(const Error& error, std::uint64_t row);

}  // namespace skerry
