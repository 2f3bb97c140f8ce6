// An inference request of the Open Inference Protocol v2 (REST), decoded from JSON in one pass into
// typed tensors.
#pragma once

#include <cstddef>
#include <map>
#include <span>
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

// An output that the request asks for, and how it wants it.
struct RequestedOutput {
  std::string name;
  std::size_t classification = 0;  // the K best classes instead of the tensor; 0: the tensor
  bool binary = false;             // behind the JSON rather than in it
};

struct InferRequest {
  std::string id;
  RequestParameters parameters;
  std::vector<Tensor> inputs;
  std::vector<RequestedOutput> outputs;  // in the order of the answer; empty: all
};

// `body` is only read; room is reserved behind its end for the parser. `data` may be flat or
// nested; its element count must be the shape's. null is NaN in FP32 and FP64 and refused
// elsewhere. FP16 cannot travel as JSON. kInvalidArgument names the tensor or member, what was
// expected and what came; kTooLarge over limits::kTensorsPerRequest, kTensorElements,
// kRequestIdBytes.
Result<InferRequest> ParseInferRequest(std::string& body);

// Their names, as OnnxSession::Run takes them.
std::vector<std::string> OutputNames(std::span<const RequestedOutput> outputs);

}  // namespace skerry
