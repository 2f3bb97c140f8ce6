#include "cli/demo/milling_simulator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/random.h"

namespace skerry {
namespace {

constexpr double kPowerWatt = 2'860;
constexpr double kRpmPerRadian = 60.0 / (2.0 * std::numbers::pi);

double Round(double value, double step) { return std::round(value / step) * step; }

// A Gaussian random walk, scaled to the wanted mean and standard deviation.
std::vector<double> RandomWalk(SeededRandom& random, std::size_t rows, double mean, double sigma) {
  std::vector<double> walk(rows);
  double at = 0;
  double sum = 0;
  for (double& value : walk) {
    value = at += random.NextGaussian();
    sum += value;
  }
  const double middle = sum / static_cast<double>(rows);
  double squares = 0;
  for (const double value : walk) squares += (value - middle) * (value - middle);
  const double scale = sigma / std::max(1e-9, std::sqrt(squares / static_cast<double>(rows)));
  for (double& value : walk) value = mean + (value - middle) * scale;
  return walk;
}

struct Quality {
  const char* name;
  double share;
  double wear_min;          // added to the tool's wear by each workpiece
  double overstrain_limit;  // minNm
};
constexpr std::array<Quality, 3> kQualities{
    {{"L", 0.5, 2, 11'000}, {"M", 0.3, 3, 12'000}, {"H", 0.2, 5, 13'000}}};

const Quality& DrawQuality(SeededRandom& random) {
  double u = random.NextDouble();
  for (const Quality& quality : kQualities) {
    if (u < quality.share) return quality;
    u -= quality.share;
  }
  return kQualities.back();
}

double DrawTorque(SeededRandom& random) {
  double torque = 0;
  while (torque < 3.8) torque = 40 + 10 * random.NextGaussian();
  return Round(torque, 0.1);
}

double SpeedOf(double torque, SeededRandom& random) {
  const double loaded = 1'022 + 0.6785 * kPowerWatt / torque * kRpmPerRadian;
  return std::round(std::min(loaded, kPowerWatt) + 52 * random.NextGaussian());
}

// One tool after the other: each has a life drawn from 200-240 min, at which it is replaced or
// (in 51 of 120 cases) fails first.
class Tool {
 public:
  explicit Tool(SeededRandom& random) : random_(random) { Replace(); }
  double wear_min() const { return wear_min_; }
  // True when the tool fails on this workpiece.
  bool Use(double minutes) {
    const bool ends = wear_min_ >= life_min_;
    const bool fails = ends && random_.NextDouble() < 51.0 / 120.0;
    if (ends)
      Replace();
    else
      wear_min_ += minutes;
    return fails;
  }

 private:
  void Replace() {
    wear_min_ = 0;
    life_min_ = 200 + 40 * random_.NextDouble();
  }
  SeededRandom& random_;
  double wear_min_ = 0;
  double life_min_ = 0;
};

Column Named(const char* name, ColumnType type) {
  Column column;
  column.name = name;
  column.type = type;
  return column;
}

}  // namespace

Table SimulateMilling(const MillingOptions& options) {
  SeededRandom random(options.seed);
  const auto air = RandomWalk(random, options.rows, 300, 2);
  const auto above = RandomWalk(random, options.rows, 10, 1);
  Column type = Named("Type", ColumnType::kText);
  Column air_k = Named("Air temperature [K]", ColumnType::kDouble);
  Column process_k = Named("Process temperature [K]", ColumnType::kDouble);
  Column speed_rpm = Named("Rotational speed [rpm]", ColumnType::kInt64);
  Column torque_nm = Named("Torque [Nm]", ColumnType::kDouble);
  Column wear = Named("Tool wear [min]", ColumnType::kInt64);
  Column failure = Named("Machine failure", ColumnType::kInt64);
  Tool tool(random);
  for (std::size_t i = 0; i < options.rows; ++i) {
    const Quality& quality = DrawQuality(random);
    const double torque = DrawTorque(random);
    const double speed = SpeedOf(torque, random);
    const double air_now = Round(air[i], 0.1);
    const double process_now = Round(air[i] + above[i], 0.1);
    const double wear_min = tool.wear_min();
    const double power_watt = torque * speed / kRpmPerRadian;
    bool fails = tool.Use(quality.wear_min);
    fails |= process_now - air_now < 8.6 && speed < 1'380;
    fails |= power_watt < 3'500 || power_watt > 9'000;
    fails |= wear_min * torque > quality.overstrain_limit;
    fails |= random.NextDouble() < 0.001;
    type.AppendText(quality.name);
    air_k.AppendDouble(air_now);
    process_k.AppendDouble(process_now);
    speed_rpm.AppendInt(static_cast<std::int64_t>(speed));
    torque_nm.AppendDouble(torque);
    wear.AppendInt(static_cast<std::int64_t>(wear_min));
    failure.AppendInt(fails ? 1 : 0);
  }
  Table table;
  for (Column* column : {&type, &air_k, &process_k, &speed_rpm, &torque_nm, &wear, &failure})
    table.columns.push_back(std::move(*column));
  return table;
}

}  // namespace skerry
