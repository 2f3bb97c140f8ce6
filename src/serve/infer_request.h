// An inference request of the Open Inference Protocol v2 (REST), decoded in one pass into typed
// tensors: from JSON, or from JSON with binary tensor data behind it (binary_tensors.h).
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
  bool binary_outputs = false;           // how they travel when none is named
};

// `body` is only read; room is reserved behind its end for the parser. Its first `json_bytes` bytes
// are JSON, and the inputs with a binary_data_size take what is behind, in their order, to the last
// byte. `data` in JSON may be flat or nested; its element count must be the shape's. null is NaN in
// FP32 and FP64 and refused elsewhere. FP16 cannot travel as JSON. A member of the protocol that is
// given twice is refused. kInvalidArgument names the tensor or member, what was expected and what
// came; kTooLarge over limits::kTensorsPerRequest, kTensorElements, kRequestIdBytes; kUnimplemented
// for shared memory.
Result<InferRequest> ParseInferRequest(std::string& body, std::size_t json_bytes);
Result<InferRequest> ParseInferRequest(std::string& body);  // all of it JSON

// Their names, as OnnxSession::Run takes them.
std::vector<std::string> OutputNames(std::span<const RequestedOutput> outputs);

}  // namespace skerry
