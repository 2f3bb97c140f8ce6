// What both fuzzers of the scoring requests' decoder hold it to. For tests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "serve/binary_tensors.h"
#include "serve/infer_request.h"

namespace skerry {

// A file of the corpus: what the header Inference-Header-Content-Length says (nothing: there is no
// such header), a newline, and the body.
struct FuzzInput {
  std::string header, body;
};

inline FuzzInput ReadFuzzInput(std::string_view text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  return {std::string(text.substr(0, end)),
          std::string(text.substr(std::min(end + 1, text.size())))};
}

struct DecodeOutcome {
  bool decoded = false;
  std::string fault{};  // empty: decoded or refused as it should be
};

// What a decoded tensor holds fits its shape, and comes back from its binary form.
inline std::string FaultOf(const Tensor& tensor) {
  const std::size_t elements = tensor.elements();
  if (tensor.type == TensorType::kString
          ? tensor.strings.size() != elements
          : tensor.bytes.size() != elements * TensorElementBytes(tensor.type))
    return "tensor " + tensor.name + " does not hold what its shape says";
  std::string raw;
  AppendRawElements(tensor, raw);
  if (raw.size() != RawElementBytes(tensor))
    return "tensor " + tensor.name + " is not as long as told";
  Tensor again;
  again.name = tensor.name;
  again.type = tensor.type;
  again.shape = tensor.shape;
  if (!TakeRawElements(raw, again) || again.bytes != tensor.bytes ||
      again.strings != tensor.strings)
    return "tensor " + tensor.name + " does not come back from its binary form";
  return "";
}

inline DecodeOutcome DecodeOrRefuse(const FuzzInput& input) {
  std::string body = input.body;
  const auto request = [&]() -> Result<InferRequest> {
    std::size_t json_bytes = body.size();
    if (!input.header.empty()) {
      SKERRY_ASSIGN_OR_RETURN(json_bytes, ParseJsonBytes(input.header, body.size()));
    }
    return ParseInferRequest(body, json_bytes);
  }();
  if (body != input.body) return {false, "the body was changed"};
  if (request) {
    for (const Tensor& tensor : request->inputs)
      if (std::string fault = FaultOf(tensor); !fault.empty()) return {true, std::move(fault)};
    return {true, ""};
  }
  const ErrorCode code = request.error().code();
  if (code != ErrorCode::kInvalidArgument && code != ErrorCode::kTooLarge &&
      code != ErrorCode::kUnimplemented)
    return {false, "refused with " + request.error().ToString()};
  return {false, request.error().message().empty() ? "refused without a word" : ""};
}

}  // namespace skerry
