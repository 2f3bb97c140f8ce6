#include "serve/binary_tensors.h"

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <utility>

namespace skerry {
namespace {

static_assert(std::endian::native == std::endian::little, "raw elements are little-endian");

constexpr std::size_t kLengthBytes = 4;  // before each element of BYTES

Status TakeRawTexts(std::string_view raw, Tensor& tensor) {
  const std::size_t expected = tensor.elements();
  // An element takes its length at least, so a lie in the shape allocates nothing.
  if (raw.size() / kLengthBytes < expected)
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": its shape {} has {} elements, {} raw bytes cannot hold them",
                tensor.name, ShapeText(tensor.shape), expected, raw.size());
  tensor.strings.reserve(expected);
  for (std::size_t i = 0; i < expected; ++i) {
    std::uint32_t length = 0;
    if (raw.size() < kLengthBytes || (std::memcpy(&length, raw.data(), kLengthBytes),
                                      raw.remove_prefix(kLengthBytes), raw.size() < length))
      return Fail(ErrorCode::kInvalidArgument,
                  "input \"{}\": the raw bytes end within element {} of {}", tensor.name, i,
                  expected);
    tensor.strings.emplace_back(raw.substr(0, length));
    raw.remove_prefix(length);
  }
  if (!raw.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": {} raw bytes are left after its {} elements", tensor.name,
                raw.size(), expected);
  return {};
}

}  // namespace

Status TakeRawElements(std::string raw, Tensor& tensor) {
  if (tensor.type == TensorType::kString) return TakeRawTexts(raw, tensor);
  const std::size_t expected = tensor.elements() * TensorElementBytes(tensor.type);
  if (raw.size() != expected)
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": {} {} takes {} raw bytes, {} came",
                tensor.name, TensorTypeName(tensor.type), ShapeText(tensor.shape), expected,
                raw.size());
  if (tensor.type == TensorType::kBool)
    for (char& byte : raw) byte = byte == 0 ? 0 : 1;  // any other value is no C++ bool
  tensor.bytes = std::move(raw);
  return {};
}

std::size_t RawElementBytes(const Tensor& tensor) {
  if (tensor.type != TensorType::kString) return tensor.bytes.size();
  std::size_t bytes = 0;
  for (const std::string& text : tensor.strings) bytes += kLengthBytes + text.size();
  return bytes;
}

void AppendRawElements(const Tensor& tensor, std::string& out) {
  if (tensor.type != TensorType::kString) {
    out += tensor.bytes;
    return;
  }
  for (const std::string& text : tensor.strings) {
    const auto length = static_cast<std::uint32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&length), kLengthBytes);
    out += text;
  }
}

Result<std::size_t> ParseJsonBytes(std::string_view header, std::size_t body_bytes) {
  std::size_t bytes = 0;
  const auto [end, error] = std::from_chars(header.data(), header.data() + header.size(), bytes);
  if (error != std::errc() || end != header.data() + header.size() || bytes > body_bytes)
    return Fail(ErrorCode::kInvalidArgument,
                "Inference-Header-Content-Length: expected how many of the body's {} bytes are "
                "JSON, got \"{}\"",
                body_bytes, header.substr(0, 32));
  return bytes;
}

}  // namespace skerry
