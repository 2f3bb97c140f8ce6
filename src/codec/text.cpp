#include "codec/text.h"

#include <cstdint>

namespace skerry {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int Base64Value(char c) {
  if (c == '-') c = '+';
  if (c == '_') c = '/';
  const std::size_t at = kBase64.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string EncodeHex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
  return out;
}

Result<std::string> DecodeHex(std::string_view hex) {
  if (hex.size() % 2 != 0)
    return Fail(ErrorCode::kInvalidArgument, "hex text has an odd number of digits");
  std::string out(hex.size() / 2, '\0');
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const std::size_t digit = kHex.find(hex[i]);
    if (digit == std::string_view::npos)
      return Fail(ErrorCode::kInvalidArgument, "not lower-case hex at character {}", i);
    const std::size_t before = static_cast<std::uint8_t>(out[i / 2]);
    out[i / 2] = static_cast<char>(before << 4U | digit);
  }
  return out;
}

std::string EncodeBase64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = (group << 8U) | (i + k < bytes.size() ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > bytes.size() ? '=' : kBase64[(group >> (18U - 6U * k)) & 63U];
  }
  return out;
}

Result<std::string> DecodeBase64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int value = Base64Value(text[i]);
    if (value < 0) return Fail(ErrorCode::kInvalidArgument, "not base64 at character {}", i);
    group = (group << 6U) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>((group >> bits) & 255U);
    }
  }
  if (bits >= 6 || (group & ((1U << bits) - 1U)) != 0)
    return Fail(ErrorCode::kInvalidArgument, "base64 text is cut short");
  return out;
}

}  // namespace skerry
