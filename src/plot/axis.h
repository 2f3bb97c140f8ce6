// What a chart measures along one side: a range of numbers with ticks, or named rows.
#pragma once

#include <string>
#include <vector>

namespace skerry {

struct Axis {
  std::string title{};               // with the unit
  double low = 0, high = 1;          // low < high, finite; of names: 0 to their number
  std::vector<std::string> names{};  // name i stands at i + 0.5; empty: numbers
  bool is_share = false;             // 0.25 is written as 25 %
};

// A range of whole ticks around all of [low, high].
Axis AxisAround(std::string title, double low, double high);
Axis AxisOfNames(std::string title, std::vector<std::string> names);

struct Tick {
  double value = 0;
  std::string text{};
};
// At most about `most` ticks, at 1, 2 or 5 times a power of ten; of an axis of names one each.
std::vector<Tick> TicksOf(const Axis& axis, int most);

}  // namespace skerry
