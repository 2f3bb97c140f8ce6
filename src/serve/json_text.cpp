#include "serve/json_text.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

namespace skerry {
namespace {

template <typename T>
void AppendChars(std::string& out, T value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, error == std::errc() ? end : buffer);
}

// ASCII that JSON takes as it is.
bool IsPlain(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code < 0x80 && c != '"' && c != '\\';
}

void AppendEscaped(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(c);
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default:
      out += "\\u00";
      out += kHex[code >> 4U];
      out += kHex[code & 15U];
  }
}

template <typename T, typename Append>
void AppendElements(std::string& out, const Tensor& tensor, Append append) {
  for (const T& element : tensor.View<T>()) {
    append(element);
    out += ',';
  }
}

void AppendData(std::string& out, const Tensor& tensor) {
  const auto integer = [&out](auto value) { AppendChars(out, value); };
  const auto number = [&out](auto value) { AppendJsonNumber(out, value); };
  switch (tensor.type) {
    case TensorType::kBool:
      return AppendElements<bool>(out, tensor, [&out](bool v) { out += v ? "true" : "false"; });
    case TensorType::kInt8:
      return AppendElements<std::int8_t>(out, tensor, [&](std::int8_t v) { integer(int{v}); });
    case TensorType::kInt16: return AppendElements<std::int16_t>(out, tensor, integer);
    case TensorType::kInt32: return AppendElements<std::int32_t>(out, tensor, integer);
    case TensorType::kInt64: return AppendElements<std::int64_t>(out, tensor, integer);
    case TensorType::kUint8:
      return AppendElements<std::uint8_t>(out, tensor, [&](std::uint8_t v) { integer(int{v}); });
    case TensorType::kUint16: return AppendElements<std::uint16_t>(out, tensor, integer);
    case TensorType::kUint32: return AppendElements<std::uint32_t>(out, tensor, integer);
    case TensorType::kUint64: return AppendElements<std::uint64_t>(out, tensor, integer);
    case TensorType::kFloat16:
      return AppendElements<std::uint16_t>(out, tensor,
                                           [&](std::uint16_t v) { number(HalfToFloat(v)); });
    case TensorType::kFloat32: return AppendElements<float>(out, tensor, number);
    case TensorType::kFloat64: return AppendElements<double>(out, tensor, number);
    case TensorType::kString:
      for (const std::string& text : tensor.strings) {
        AppendJsonString(out, text);
        out += ',';
      }
  }
}

}  // namespace

float HalfToFloat(std::uint16_t half) {
  const unsigned exponent = (half >> 10U) & 31U;
  const auto fraction = static_cast<float>(half & 1023U);
  const float sign = (half >> 15U) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  // Nearly all text is plain: it is copied in one piece.
  if (std::all_of(text.begin(), text.end(), IsPlain)) {
    out += text;
    out += '"';
    return;
  }
  const bool utf8 = simdjson::validate_utf8(text.data(), text.size());
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80 && !utf8)
      out += "\xEF\xBF\xBD";
    else if (IsPlain(c) || static_cast<unsigned char>(c) >= 0x80)
      out += c;
    else
      AppendEscaped(out, c);
  }
  out += '"';
}

void AppendJsonNumber(std::string& out, float value) {
  if (std::isfinite(value))
    AppendChars(out, value);
  else
    out += "null";
}

void AppendJsonNumber(std::string& out, double value) {
  if (std::isfinite(value))
    AppendChars(out, value);
  else
    out += "null";
}

void AppendJsonNumber(std::string& out, std::int64_t value) { AppendChars(out, value); }
void AppendJsonNumber(std::string& out, std::uint64_t value) { AppendChars(out, value); }

void AppendTensorHead(std::string& out, const Tensor& tensor) {
  out += "{\"name\":";
  AppendJsonString(out, tensor.name);
  out += ",\"datatype\":\"";
  out += TensorTypeName(tensor.type);
  out += "\",\"shape\":[";
  for (const std::int64_t dimension : tensor.shape) {
    AppendChars(out, dimension);
    out += ',';
  }
  if (out.back() == ',') out.pop_back();
  out += ']';
}

void AppendTensor(std::string& out, const Tensor& tensor) {
  AppendTensorHead(out, tensor);
  out += ",\"data\":[";
  AppendData(out, tensor);
  if (out.back() == ',') out.pop_back();
  out += "]}";
}

}  // namespace skerry
