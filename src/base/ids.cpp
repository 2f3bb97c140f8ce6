#include "base/ids.h"

#include <charconv>

#include "base/random.h"

namespace skerry {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::size_t kMaxNameChars = 64;
constexpr std::size_t kMaxVersionChars = 128;

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string ToHex(const std::uint8_t* bytes, std::size_t size) {
  std::string hex(size * 2, '0');
  for (std::size_t i = 0; i < size; ++i) {
    hex[2 * i] = kHexDigits[bytes[i] >> 4U];
    hex[2 * i + 1] = kHexDigits[bytes[i] & 15U];
  }
  return hex;
}

// The length of the separator at the front of `rest`: ".", "_", "__" or dashes; 0 if there is none.
std::size_t SeparatorChars(std::string_view rest) {
  if (rest.starts_with("__")) return 2;
  if (rest.starts_with(".") || rest.starts_with("_")) return 1;
  std::size_t dashes = 0;
  while (dashes < rest.size() && rest[dashes] == '-') ++dashes;
  return dashes;
}

bool MatchesNameGrammar(std::string_view name) {
  std::size_t at = 0;
  while (true) {
    const std::size_t start = at;
    while (at < name.size() && IsLowerOrDigit(name[at])) ++at;
    if (at == start) return false;
    if (at == name.size()) return true;
    const std::size_t separator = SeparatorChars(name.substr(at));
    if (separator == 0) return false;
    at += separator;
  }
}

}  // namespace

InstanceId InstanceId::Random() {
  InstanceId id;
  FillRandom(id.bytes_.data(), id.bytes_.size());
  return id;
}

Result<InstanceId> InstanceId::Parse(std::string_view hex) {
  InstanceId id;
  if (hex.size() != 32)
    return Fail(ErrorCode::kInvalidArgument, "an instance id has 32 hex digits, got {} characters",
                hex.size());
  for (std::size_t i = 0; i < 16; ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0)
      return Fail(ErrorCode::kInvalidArgument, "'{}' is no instance id: not lower-case hex", hex);
    id.bytes_[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return id;
}

std::string InstanceId::ToString() const { return ToHex(bytes_.data(), bytes_.size()); }

Result<RowId> RowId::Parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos)
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no row id: expected <32 hex digits>-<number>",
                text);
  SKERRY_ASSIGN_OR_RETURN(InstanceId instance, InstanceId::Parse(text.substr(0, dash)));
  RowId id{instance, 0};
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data() + dash + 1, end, id.n);
  if (status != std::errc() || stop != end || id.n == 0)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no row id: expected a positive number after the dash", text);
  return id;
}

std::string RowId::ToString() const { return fmt::format("{}-{}", instance.ToString(), n); }

Status CheckName(std::string_view what, std::string_view name) {
  if (name.size() > kMaxNameChars || !MatchesNameGrammar(name))
    return Fail(ErrorCode::kInvalidArgument,
                "{} '{}' is not allowed: use lower-case letters and digits, with single '.', '_' "
                "or '-' between them, at most {} characters",
                what, name.substr(0, 80), kMaxNameChars);
  return {};
}

Status CheckVersion(std::string_view what, std::string_view version) {
  bool good = !version.empty() && version.size() <= kMaxVersionChars && version[0] != '.' &&
              version[0] != '-';
  for (const char c : version)
    good =
        good && (IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-');
  if (!good)
    return Fail(ErrorCode::kInvalidArgument,
                "{} '{}' is not allowed: use letters, digits, '_', '.' and '-', not starting with "
                "'.' or '-', at most {} characters",
                what, version.substr(0, 80), kMaxVersionChars);
  return {};
}

std::string RandomHex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  FillRandom(raw.data(), raw.size());
  return ToHex(reinterpret_cast<const std::uint8_t*>(raw.data()), raw.size());
}

}  // namespace skerry
