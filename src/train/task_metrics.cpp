#include "train/task_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace skerry {
namespace {

// What every figure here is a function of: sums over rows.
struct RowSums {
  std::size_t rows = 0, width = 0;
  // Adds to `sums` [width] a row that is taken so many times.
  std::function<void(std::size_t row, double times, std::span<double> sums)> add{};
  std::function<std::vector<double>(std::span<const double> sums)> figures{};

  std::vector<double> OfAll() const {
    std::vector<double> sums(width, 0);
    for (std::size_t row = 0; row < rows; ++row) add(row, 1, sums);
    return sums;
  }
};

// The rows dealt at random to so many groups, each summed: "rows" of which there are few.
RowSums Grouped(const RowSums& rows, SeededRandom& random) {
  constexpr std::size_t kGroups = 2'000;
  const std::size_t width = rows.width;
  std::vector<double> sums(kGroups * width, 0);
  for (std::size_t row = 0; row < rows.rows; ++row)
    rows.add(row, 1, std::span(sums).subspan(random.NextBelow(kGroups) * width, width));
  const auto add = [sums = std::move(sums), width](std::size_t group, double times,
                                                   std::span<double> to) {
    for (std::size_t i = 0; i < width; ++i) to[i] += times * sums[group * width + i];
  };
  return {.rows = kGroups, .width = width, .add = add, .figures = rows.figures};
}

std::vector<Interval> Bootstrap(const RowSums& rows, const BootstrapOptions& options) {
  const std::vector<double> values = rows.figures(rows.OfAll());
  SeededRandom random(options.seed);
  const RowSums drawn = rows.rows > options.drawn_rows ? Grouped(rows, random) : rows;
  std::vector<std::vector<double>> resampled(values.size());
  std::vector<std::uint32_t> times(drawn.rows);
  std::vector<double> sums(drawn.width);
  for (int i = 0; i < options.resamples; ++i) {
    std::ranges::fill(times, 0U);
    for (std::size_t row = 0; row < drawn.rows; ++row) ++times[random.NextBelow(drawn.rows)];
    std::ranges::fill(sums, 0.0);
    for (std::size_t row = 0; row < drawn.rows; ++row)
      if (times[row] > 0) drawn.add(row, times[row], sums);
    const std::vector<double> figures = drawn.figures(sums);
    for (std::size_t k = 0; k < figures.size(); ++k)
      if (!std::isnan(figures[k])) resampled[k].push_back(figures[k]);
  }
  std::vector<Interval> intervals;
  for (std::size_t k = 0; k < values.size(); ++k)
    intervals.push_back(PercentileInterval(values[k], std::move(resampled[k])));
  return intervals;
}

// Of `classes` sums each: rows that are of the class, that are predicted, and that are both.
double MacroF1(std::span<const double> sums) {
  const std::size_t classes = sums.size() / 3;
  double sum = 0;
  std::size_t occurring = 0;
  for (std::size_t k = 0; k < classes; ++k) {
    const double either = sums[k] + sums[classes + k];
    if (either == 0) continue;
    ++occurring;
    sum += 2 * sums[2 * classes + k] / either;
  }
  return occurring == 0 ? 0 : sum / static_cast<double>(occurring);
}

}  // namespace

Json TaskScores::ToJson() const {
  Json json = Json::object();
  for (const auto& [name, interval] : figures) json[name] = interval.ToJson();
  if (!confusion.empty()) json["confusion"] = confusion;
  return json;
}

TaskScores JudgeClasses(std::span<const float> probabilities, std::span<const std::uint8_t> labels,
                        std::size_t classes, const BootstrapOptions& options) {
  const std::size_t rows = labels.size();
  TaskScores judged{.confusion = {classes, std::vector<std::uint64_t>(classes, 0)}};
  std::vector<double> losses;
  std::vector<std::uint8_t> predicted;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto of_row = probabilities.subspan(row * classes, classes);
    losses.push_back(-std::log(std::clamp<double>(of_row[labels[row]], 1e-16, 1 - 1e-16)));
    predicted.push_back(
        static_cast<std::uint8_t>(std::max_element(of_row.begin(), of_row.end()) - of_row.begin()));
    ++judged.confusion[labels[row]][predicted[row]];
  }
  // Rows, losses, rows that are right, and what MacroF1 takes.
  RowSums sums{.rows = rows, .width = 3 + 3 * classes};
  sums.add = [&](std::size_t row, double times, std::span<double> to) {
    const bool right = predicted[row] == labels[row];
    to[0] += times;
    to[1] += times * losses[row];
    to[2] += right ? times : 0;
    to[3 + labels[row]] += times;
    to[3 + classes + predicted[row]] += times;
    to[3 + 2 * classes + labels[row]] += right ? times : 0;
  };
  sums.figures = [](std::span<const double> of) -> std::vector<double> {
    return {of[1] / of[0], of[2] / of[0], MacroF1(of.subspan(3))};
  };
  const std::vector<Interval> intervals = Bootstrap(sums, options);
  judged.figures = {
      {"log_loss", intervals[0]}, {"accuracy", intervals[1]}, {"macro_f1", intervals[2]}};
  return judged;
}

TaskScores JudgeValues(std::span<const float> values, std::span<const float> targets,
                       const BootstrapOptions& options) {
  // Squares are of distances from the mean, so that a spread is not the difference of two large
  // numbers.
  const double mean = std::accumulate(targets.begin(), targets.end(), 0.0) /
                      static_cast<double>(std::max<std::size_t>(targets.size(), 1));
  RowSums sums{.rows = values.size(), .width = 5};
  sums.add = [&](std::size_t row, double times, std::span<double> to) {
    const double error = static_cast<double>(values[row]) - targets[row];
    const double off = targets[row] - mean;
    to[0] += times;
    to[1] += times * error * error;
    to[2] += times * std::abs(error);
    to[3] += times * off;
    to[4] += times * off * off;
  };
  sums.figures = [](std::span<const double> of) -> std::vector<double> {
    const double spread = of[4] - of[3] * of[3] / of[0];
    const double r2 =
        spread > 1e-12 * of[4] ? 1 - of[1] / spread : std::numeric_limits<double>::quiet_NaN();
    return {std::sqrt(of[1] / of[0]), of[2] / of[0], r2};
  };
  const std::vector<Interval> intervals = Bootstrap(sums, options);
  return {{{"rmse", intervals[0]}, {"mae", intervals[1]}, {"r2", intervals[2]}}, {}};
}

TaskScores JudgeAlarms(std::span<const float> scores, std::span<const std::uint8_t> labels,
                       double threshold, const BootstrapOptions& options) {
  const auto limit = static_cast<float>(threshold);
  // Rows, alarms, normal rows and false alarms.
  RowSums sums{.rows = scores.size(), .width = 4};
  sums.add = [&](std::size_t row, double times, std::span<double> to) {
    const double raised = scores[row] >= limit ? times : 0;
    to[0] += times;
    to[1] += raised;
    if (labels.empty() || labels[row] != 0) return;
    to[2] += times;
    to[3] += raised;
  };
  sums.figures = [&](std::span<const double> of) -> std::vector<double> {
    if (labels.empty()) return {of[1] / of[0]};
    return {of[1] / of[0], of[3] / of[2]};
  };
  const std::vector<Interval> intervals = Bootstrap(sums, options);
  TaskScores judged{{{"alarm_rate", intervals[0]}}, {}};
  if (!labels.empty()) judged.figures.emplace_back("false_alarm_rate", intervals[1]);
  return judged;
}

Json ProbabilityScores::ToJson() const {
  Json json = {{"brier", brier.ToJson()}, {"ece", ece.ToJson()}, {"reliability", Json::array()}};
  for (const Bin& bin : bins)
    json["reliability"].push_back({{"low", bin.low},
                                   {"high", bin.high},
                                   {"rows", bin.rows},
                                   {"mean_score", bin.mean_score},
                                   {"positive_share", bin.positive_share}});
  return json;
}

ProbabilityScores JudgeProbabilities(const ScoredRows& rows, const BootstrapOptions& options) {
  constexpr std::size_t kBins = 10;
  constexpr std::size_t kOfBin = 3;  // of each bin rows, scores and positives; then the squares
  std::vector<std::uint8_t> bin_of;
  for (const float score : rows.scores)
    bin_of.push_back(static_cast<std::uint8_t>(
        std::clamp(std::floor(static_cast<double>(score) * kBins), 0.0, kBins - 1.0)));
  RowSums sums{.rows = rows.scores.size(), .width = kBins * kOfBin + 1};
  sums.add = [&](std::size_t row, double times, std::span<double> to) {
    const double score = rows.scores[row];
    const double label = rows.labels[row];
    const std::span<double> bin = to.subspan(bin_of[row] * kOfBin, kOfBin);
    bin[0] += times;
    bin[1] += times * score;
    bin[2] += times * label;
    to.back() += times * (score - label) * (score - label);
  };
  sums.figures = [](std::span<const double> of) -> std::vector<double> {
    double all = 0;
    double off = 0;
    for (std::size_t i = 0; i < kBins; ++i) {
      all += of[i * kOfBin];
      off += std::abs(of[i * kOfBin + 1] - of[i * kOfBin + 2]);
    }
    return {of.back() / all, off / all};
  };
  const std::vector<Interval> intervals = Bootstrap(sums, options);
  const std::vector<double> all = sums.OfAll();
  ProbabilityScores judged{.brier = intervals[0], .ece = intervals[1]};
  for (std::size_t i = 0; i < kBins; ++i) {
    const double in_bin = all[i * kOfBin];
    const double least = std::max(in_bin, 1.0);
    judged.bins.push_back({.low = static_cast<double>(i) / kBins,
                           .high = static_cast<double>(i + 1) / kBins,
                           .rows = static_cast<std::uint64_t>(in_bin),
                           .mean_score = all[i * kOfBin + 1] / least,
                           .positive_share = all[i * kOfBin + 2] / least});
  }
  return judged;
}

}  // namespace skerry
