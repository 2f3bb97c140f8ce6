// What a binary model's threshold was chosen for, as it is told on the command line and kept in
// reference.json. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

struct ThresholdGoal {
  enum class Kind : std::uint8_t {
    kF1,         // the greatest F1 of class 1
    kCost,       // the least expected cost of a row
    kAlarmRate,  // the most rows at or above it that are at most `alarm_rate` of all rows
  };
  Kind kind = Kind::kF1;
  double false_positive_cost = 0, false_negative_cost = 0;  // of kCost; > 0, in any one unit
  double alarm_rate = 0;                                    // of kAlarmRate; over 0, under 1

  // "f1", "cost=FP:FN" or "alarm-rate=R". kInvalidArgument says what it is that is not understood.
  static Result<ThresholdGoal> Parse(std::string_view text);
  std::string ToText() const;  // as Parse takes it
  bool operator==(const ThresholdGoal&) const = default;
};

}  // namespace skerry
