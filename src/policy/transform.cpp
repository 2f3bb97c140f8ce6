#include "policy/transform.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>

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

// A value within a billionth of an edge is on it: 0.3 / 0.1 is 2.9999999999999996, and 0.3 begins a
// bucket of width 0.1 as it begins one of width 0.3.
double BucketOf(double step, double value) {
  const double times = value / step;
  const double nearest = std::round(times);
  const bool on_edge = std::abs(times - nearest) <= 1e-9 * std::max(1.0, std::abs(nearest));
  return Steps(step, on_edge ? nearest : std::floor(times));
}

}  // namespace

double Steps(double step, double times) {
  // Dividing by a whole number gives the double nearest to the decimal; multiplying by 0.0001 does
  // not (0.12340000000000001).
  const double inverse = std::round(1 / step);
  if (inverse >= 1 && std::abs(inverse * step - 1) < 1e-9) return times / inverse + 0.0;
  return times * step + 0.0;
}

// No two decimal numbers of up to seven digits, up to six of them behind the point, read back as
// the same float: the first that does is the shortest one, and found sooner than by its text.
double Decimal(float value) {
  constexpr std::array kPowersOfTen = {1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
  constexpr double kSevenDigits = 1e7;
  for (const double power : kPowersOfTen) {
    const double scaled = std::round(static_cast<double>(value) * power);
    if (!(std::abs(scaled) < kSevenDigits)) break;
    const double number = scaled / power;
    if (std::bit_cast<std::uint32_t>(static_cast<float>(number)) ==
        std::bit_cast<std::uint32_t>(value))
      return number;
  }
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
    case FieldAction::kKeep: {
      std::string text(name);
      for (const Identifier identifier : rule.detect)
        text += fmt::format("{}{}", text == name ? ", unless it holds " : " or ",
                            IdentifierName(identifier));
      return text;
    }
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
  if (rule.action == FieldAction::kBucket) return BucketOf(rule.step, value);
  if (rule.action != FieldAction::kRound) return value;
  const double inverse = std::round(1 / rule.step);
  const bool decimal = inverse >= 1 && std::abs(inverse * rule.step - 1) < 1e-9;
  return Steps(rule.step, std::round(decimal ? value * inverse : value / rule.step));
}

std::optional<Identifier> FindBlocked(const FieldRule& rule, std::string_view value) {
  for (const Identifier identifier : rule.detect)
    if (HoldsIdentifier(identifier, value)) return identifier;
  return std::nullopt;
}

std::optional<std::string> TransformText(const FieldRule& rule, std::string_view value) {
  if (rule.action == FieldAction::kMask) return Mask(value, rule.keep_last);
  if (rule.action == FieldAction::kAllow &&
      std::find(rule.allowed.begin(), rule.allowed.end(), value) == rule.allowed.end())
    return std::nullopt;
  if (FindBlocked(rule, value)) return std::nullopt;
  return std::string(value);
}

}  // namespace skerry
