#include "policy/transform.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "codec/text.h"
#include "crypto/digest.h"

namespace skerry {
namespace {

// Where the last `count` characters of UTF-8 begin.
std::size_t LastCharacters(std::string_view text, std::size_t count) {
  std::size_t at = text.size();
  while (count > 0 && at > 0) {
    --at;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) --at;
    --count;
  }
  return at;
}

std::string Mask(std::string_view text, std::size_t keep_last) {
  const std::size_t from = LastCharacters(text, keep_last);
  // A text that is no longer than what may be seen is hidden whole, and so is its length.
  return from == 0 ? "****" : fmt::format("****{}", text.substr(from));
}

}  // namespace

double Decimal(float value) {
  std::array<char, 32> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value);
  double number = value;
  if (std::isfinite(value)) std::from_chars(text.data(), written.ptr, number);
  return number;
}

std::string NumberText(double value) { return fmt::format("{}", value); }

std::string ActionText(const FieldRule& rule) {
  const std::string_view name = FieldActionName(rule.action);
  switch (rule.action) {
    case FieldAction::kBucket:
    case FieldAction::kRound: return fmt::format("{}({})", name, rule.step);
    case FieldAction::kTruncateTime:
      return fmt::format("{}({} s)", name, rule.time_unit_us / 1'000'000);
    case FieldAction::kMask: return fmt::format("{}({})", name, rule.keep_last);
    case FieldAction::kAllow: return fmt::format("{}({} values)", name, rule.allowed.size());
    default: return std::string(name);
  }
}

std::string_view ColumnSuffix(FieldAction action) {
  switch (action) {
    case FieldAction::kHash: return "__hash";
    case FieldAction::kBucket: return "__bucket";
    case FieldAction::kRound: return "__round";
    case FieldAction::kMask: return "__mask";
    case FieldAction::kAllow: return "__allow";
    default: return "";
  }
}

Pseudonyms::Pseudonyms(std::string key)
    : key_(std::move(key)), key_id_(Digest::Sha256(key_).hex().substr(0, 8)) {}

std::string Pseudonyms::Of(std::string_view field, std::string_view value) const {
  std::string message(field);
  message += '\0';
  message += value;
  return fmt::format("{}:{}", key_id_, EncodeHex(HmacSha256(key_, message).substr(0, 16)));
}

double TransformNumber(const FieldRule& rule, double value) {
  if (rule.action == FieldAction::kBucket) return std::floor(value / rule.step) * rule.step + 0.0;
  if (rule.action != FieldAction::kRound) return value;
  // Dividing by a whole number gives the double nearest to the decimal; multiplying by 0.0001 does
  // not (0.12340000000000001).
  const double inverse = std::round(1 / rule.step);
  if (inverse >= 1 && std::abs(inverse * rule.step - 1) < 1e-9)
    return std::round(value * inverse) / inverse + 0.0;
  return std::round(value / rule.step) * rule.step + 0.0;
}

std::optional<std::string> TransformText(const FieldRule& rule, std::string_view value) {
  if (rule.action == FieldAction::kMask) return Mask(value, rule.keep_last);
  if (rule.action == FieldAction::kAllow &&
      std::find(rule.allowed.begin(), rule.allowed.end(), value) == rule.allowed.end())
    return std::nullopt;
  return std::string(value);
}

}  // namespace skerry
