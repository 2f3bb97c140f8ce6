#include "train/task_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace skerry {
namespace {

// The figures on rows that are each taken so many times.
using Figures = std::function<std::vector<double>(std::span<const std::uint32_t> times)>;

std::vector<Interval> Bootstrap(std::size_t rows, const Figures& figures,
                                const BootstrapOptions& options) {
  std::vector<std::uint32_t> times(rows, 1);
  const std::vector<double> values = figures(times);
  std::vector<std::vector<double>> drawn(values.size());
  SeededRandom random(options.seed);
  for (int i = 0; i < options.resamples; ++i) {
    std::fill(times.begin(), times.end(), 0U);
    for (std::size_t row = 0; row < rows; ++row) ++times[random.NextBelow(rows)];
    const std::vector<double> resampled = figures(times);
    for (std::size_t k = 0; k < resampled.size(); ++k)
      if (!std::isnan(resampled[k])) drawn[k].push_back(resampled[k]);
  }
  std::vector<Interval> intervals;
  for (std::size_t k = 0; k < values.size(); ++k)
    intervals.push_back(PercentileInterval(values[k], std::move(drawn[k])));
  return intervals;
}

using Matrix = std::vector<std::vector<std::uint64_t>>;

double MacroF1(const Matrix& confusion) {
  double sum = 0;
  std::size_t occurring = 0;
  for (std::size_t k = 0; k < confusion.size(); ++k) {
    std::uint64_t predicted = 0;
    for (const auto& row : confusion) predicted += row[k];
    const std::uint64_t actual =
        std::accumulate(confusion[k].begin(), confusion[k].end(), std::uint64_t{0});
    if (predicted + actual == 0) continue;
    ++occurring;
    sum += 2 * static_cast<double>(confusion[k][k]) / static_cast<double>(predicted + actual);
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
  std::vector<double> losses;
  std::vector<std::uint8_t> predicted;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto of_row = probabilities.subspan(row * classes, classes);
    losses.push_back(-std::log(std::clamp<double>(of_row[labels[row]], 1e-16, 1 - 1e-16)));
    predicted.push_back(
        static_cast<std::uint8_t>(std::max_element(of_row.begin(), of_row.end()) - of_row.begin()));
  }
  Matrix confusion;
  const Figures figures = [&](std::span<const std::uint32_t> times) -> std::vector<double> {
    confusion.assign(classes, std::vector<std::uint64_t>(classes, 0));
    double loss = 0;
    double right = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      loss += times[row] * losses[row];
      right += predicted[row] == labels[row] ? times[row] : 0;
      confusion[labels[row]][predicted[row]] += times[row];
    }
    const auto all = static_cast<double>(rows);
    return {loss / all, right / all, MacroF1(confusion)};
  };
  const std::vector<Interval> intervals = Bootstrap(rows, figures, options);
  figures(std::vector<std::uint32_t>(rows, 1));
  return {{{"log_loss", intervals[0]}, {"accuracy", intervals[1]}, {"macro_f1", intervals[2]}},
          std::move(confusion)};
}

TaskScores JudgeValues(std::span<const float> values, std::span<const float> targets,
                       const BootstrapOptions& options) {
  const Figures figures = [&](std::span<const std::uint32_t> times) -> std::vector<double> {
    double squares = 0, absolutes = 0, sum = 0, spread = 0;
    for (std::size_t row = 0; row < values.size(); ++row) {
      const double error = static_cast<double>(values[row]) - targets[row];
      squares += times[row] * error * error;
      absolutes += times[row] * std::abs(error);
      sum += times[row] * static_cast<double>(targets[row]);
    }
    const auto rows = static_cast<double>(values.size());
    const double mean = sum / rows;
    for (std::size_t row = 0; row < values.size(); ++row)
      spread += times[row] * (targets[row] - mean) * (targets[row] - mean);
    const double r2 = spread > 0 ? 1 - squares / spread : std::numeric_limits<double>::quiet_NaN();
    return {std::sqrt(squares / rows), absolutes / rows, r2};
  };
  const std::vector<Interval> intervals = Bootstrap(values.size(), figures, options);
  return {{{"rmse", intervals[0]}, {"mae", intervals[1]}, {"r2", intervals[2]}}, {}};
}

TaskScores JudgeAlarms(std::span<const float> scores, std::span<const std::uint8_t> labels,
                       double threshold, const BootstrapOptions& options) {
  const auto limit = static_cast<float>(threshold);
  const Figures figures = [&](std::span<const std::uint32_t> times) -> std::vector<double> {
    double alarms = 0;
    double normal = 0;
    double false_alarms = 0;
    for (std::size_t row = 0; row < scores.size(); ++row) {
      const std::uint32_t raised = scores[row] >= limit ? times[row] : 0;
      alarms += raised;
      if (labels.empty() || labels[row] != 0) continue;
      normal += times[row];
      false_alarms += raised;
    }
    const double rate = alarms / static_cast<double>(scores.size());
    if (labels.empty()) return {rate};
    return {rate, false_alarms / normal};
  };
  const std::vector<Interval> intervals = Bootstrap(scores.size(), figures, options);
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
  const std::size_t count = rows.scores.size();
  std::vector<std::uint8_t> bin_of;
  for (const float score : rows.scores)
    bin_of.push_back(static_cast<std::uint8_t>(
        std::clamp(std::floor(static_cast<double>(score) * kBins), 0.0, kBins - 1.0)));
  struct Sums {
    double rows = 0, scores = 0, positives = 0;
  };
  std::array<Sums, kBins> sums{};
  const Figures figures = [&](std::span<const std::uint32_t> times) -> std::vector<double> {
    sums.fill({});
    double squares = 0;
    for (std::size_t row = 0; row < count; ++row) {
      const double score = rows.scores[row], label = rows.labels[row], taken = times[row];
      Sums& bin = sums[bin_of[row]];
      bin.rows += taken;
      bin.scores += taken * score;
      bin.positives += taken * label;
      squares += taken * (score - label) * (score - label);
    }
    double off = 0;
    for (const Sums& bin : sums) off += std::abs(bin.scores - bin.positives);
    return {squares / static_cast<double>(count), off / static_cast<double>(count)};
  };
  const std::vector<Interval> intervals = Bootstrap(count, figures, options);
  figures(std::vector<std::uint32_t>(count, 1));
  ProbabilityScores judged{.brier = intervals[0], .ece = intervals[1]};
  for (std::size_t i = 0; i < kBins; ++i) {
    const double all = std::max(sums[i].rows, 1.0);
    judged.bins.push_back({.low = static_cast<double>(i) / kBins,
                           .high = static_cast<double>(i + 1) / kBins,
                           .rows = static_cast<std::uint64_t>(sums[i].rows),
                           .mean_score = sums[i].scores / all,
                           .positive_share = sums[i].positives / all});
  }
  return judged;
}

}  // namespace skerry
