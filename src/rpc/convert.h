// Open Inference Protocol messages to typed tensors and back. Inside rpc, and for its tests.
//
// Raw contents are taken over without a copy where a std::string can be moved. Nothing here keeps
// state; functions may be called from any thread. Source: Open Inference Protocol v2, gRPC
// ("Tensor Data", "raw_input_contents").
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "model/tensor.h"
#include "open_inference.pb.h"
#include "serve/infer_request.h"

namespace skerry {

// How tensors travel: as raw bytes beside the tensors, or typed within them.
enum class TensorForm : std::uint8_t { kRaw, kTyped };

struct DecodedRequest {
  InferRequest request;
  // Of the answer: raw, as clients of Triton expect it also where they sent typed contents, unless
  // the request's parameter "binary_data_output" (the name it has over REST) is false.
  TensorForm form = TensorForm::kRaw;
};

// Empties the message's tensors. kInvalidArgument names the tensor, what was expected and what
// came: an unknown datatype, contents of another datatype, too few or too many elements, raw
// contents whose size differs, typed FP16 (which the protocol does not have), a count of raw
// contents other than the inputs'. kTooLarge over limits::kTensorsPerRequest, kTensorElements,
// kTensorRank, kRequestIdBytes.
Result<DecodedRequest> DecodeRequest(inference::ModelInferRequest& message);

// Adds the tensor to the answer's outputs. Typed is not possible for FP16: see FormFor.
void AddOutput(Tensor tensor, TensorForm form, inference::ModelInferResponse& answer);
// Raw when one of the tensors can only travel so.
TensorForm FormFor(std::span<const Tensor> outputs, TensorForm asked);

inference::DataType ProtoTypeOf(TensorType type);

}  // namespace skerry
