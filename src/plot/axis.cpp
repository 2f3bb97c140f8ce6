#include "plot/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace skerry {
namespace {

constexpr int kUsualTicks = 6;

// The least of 1, 2 or 5 times a power of ten that is not below `width` / `most`.
double StepFor(double width, int most) {
  const double least = width / most;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

std::string NumberText(double value, double step) {
  if (std::abs(value) < step / 2) return "0";
  if (std::abs(value) >= 1e6 || step < 1e-4) return fmt::format("{:.3g}", value);
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  return fmt::format("{:.{}f}", value, decimals);
}

}  // namespace

Axis AxisAround(std::string title, double low, double high) {
  if (!(high > low)) {  // one value: some room on both sides
    const double room = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= room;
    high += room;
  }
  const double step = StepFor(high - low, kUsualTicks);
  return {.title = std::move(title),
          .low = std::floor(low / step + 1e-9) * step,
          .high = std::ceil(high / step - 1e-9) * step};
}

Axis AxisOfNames(std::string title, std::vector<std::string> names) {
  const auto count = static_cast<double>(std::max<std::size_t>(names.size(), 1));
  return {.title = std::move(title), .low = 0, .high = count, .names = std::move(names)};
}

std::vector<Tick> TicksOf(const Axis& axis, int most) {
  std::vector<Tick> ticks;
  for (std::size_t i = 0; i < axis.names.size(); ++i)
    ticks.push_back({static_cast<double>(i) + 0.5, axis.names[i]});
  if (!ticks.empty()) return ticks;
  const double step = StepFor(axis.high - axis.low, most);
  const double slack = (axis.high - axis.low) * 1e-9;
  for (double k = std::ceil((axis.low - slack) / step); k * step <= axis.high + slack; ++k)
    ticks.push_back({k * step, axis.is_share ? NumberText(k * step * 100, step * 100) + " %"
                                             : NumberText(k * step, step)});
  return ticks;
}

}  // namespace skerry
