#include "model/threshold_goal.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

namespace skerry {
namespace {

std::optional<double> ReadNumber(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

Result<ThresholdGoal> ThresholdGoal::Parse(std::string_view text) {
  constexpr std::string_view kCosts = "cost=", kRate = "alarm-rate=";
  if (text == "f1") return ThresholdGoal{};
  if (text.starts_with(kCosts)) {
    const std::string_view costs = text.substr(kCosts.size());
    const std::size_t colon = costs.find(':');
    const auto positive = ReadNumber(costs.substr(0, colon));
    const auto negative =
        colon == std::string_view::npos ? std::nullopt : ReadNumber(costs.substr(colon + 1));
    if (!positive || !negative || !(*positive > 0) || !(*negative > 0))
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' names no two costs above 0: write cost=FP:FN, as in cost=1:20 where a "
                  "missed row of class 1 costs 20 times what a false alarm costs",
                  text);
    return ThresholdGoal{
        .kind = Kind::kCost, .false_positive_cost = *positive, .false_negative_cost = *negative};
  }
  if (text.starts_with(kRate)) {
    const auto rate = ReadNumber(text.substr(kRate.size()));
    if (!rate || !(*rate > 0 && *rate < 1))
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' names no share of the rows over 0 and under 1: write alarm-rate=0.02",
                  text);
    return ThresholdGoal{.kind = Kind::kAlarmRate, .alarm_rate = *rate};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "a threshold is not chosen for '{}'; it is for f1, cost=FP:FN or alarm-rate=R", text);
}

std::string ThresholdGoal::ToText() const {
  if (kind == Kind::kCost)
    return fmt::format("cost={}:{}", false_positive_cost, false_negative_cost);
  if (kind == Kind::kAlarmRate) return fmt::format("alarm-rate={}", alarm_rate);
  return "f1";
}

}  // namespace skerry
