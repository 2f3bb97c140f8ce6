// The elements of tensors as raw bytes: what the binary tensor extension of the Open Inference
// Protocol puts behind the JSON, and gRPC into raw_input_contents and raw_output_contents.
//
// Little-endian, row-major, without padding. BOOL is one byte an element, FP16 two, and each
// element of BYTES is its length in 4 bytes and then itself. Source:
// github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/tensor.h"

namespace skerry {

// `tensor` has its name, type and shape, whose elements are counted (CountElements); `raw` becomes
// its elements. kInvalidArgument names the tensor when `raw` is shorter or longer than they are.
// Nothing is allocated that `raw` does not cover.
Status TakeRawElements(std::string raw, Tensor& tensor);

std::size_t RawElementBytes(const Tensor& tensor);
void AppendRawElements(const Tensor& tensor, std::string& out);

// Of a request or an answer with binary data: how many bytes of its body are JSON.
constexpr std::string_view kJsonBytesHeader = "Inference-Header-Content-Length";

// The value of that header of a request. kInvalidArgument when it is no number of bytes that the
// body has.
Result<std::size_t> ParseJsonBytes(std::string_view header, std::size_t body_bytes);

}  // namespace skerry
