// An inference request of the Open Inference Protocol v2 (REST), decoded from JSON in one pass into
// typed tensors.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/tensor.h"

namespace skerry {

// A request parameter: one value for all rows, or an array with one a row. Numbers and booleans are
// kept as they were written, null as "".
struct ParameterValue {
  bool per_row = false;
  std::vector<std::string> texts;  // exactly one unless per_row
};
using RequestParameters = std::map<std::string, ParameterValue, std::less<>>;

struct InferRequest {
  std::string id;
  RequestParameters parameters;
  std::vector<Tensor> inputs;
  std::vector<std::string> outputs;  // names asked for; empty: all
};

// `body` is only read; room is reserved behind its end for the parser. `data` may be flat or
// nested; its element count must be the shape's. null is NaN in FP32 and FP64 and refused
// elsewhere. FP16 cannot travel as JSON. kInvalidArgument names the tensor or member, what was
// expected and what came; kTooLarge over limits::kTensorsPerRequest, kTensorElements,
// kRequestIdBytes.
Result<InferRequest> ParseInferRequest(std::string& body);

}  // namespace skerry
