#include "train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace skerry {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Row indexes by falling score.
std::vector<std::uint32_t> ByFallingScore(std::span<const float> scores) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  return order;
}

// Calls `visit(positives, negatives, score)` once for each group of tied scores, best first.
template <typename Visit>
void ForEachTie(const ScoredRows& rows, const Visit& visit) {
  const std::vector<std::uint32_t> order = ByFallingScore(rows.scores);
  for (std::size_t i = 0; i < order.size();) {
    const float score = rows.scores[order[i]];
    double positives = 0;
    double negatives = 0;
    for (; i < order.size() && rows.scores[order[i]] == score; ++i)
      (rows.labels[order[i]] != 0 ? positives : negatives) += 1;
    visit(positives, negatives, static_cast<double>(score));
  }
}

double CountPositives(std::span<const std::uint8_t> labels) {
  return static_cast<double>(
      std::count_if(labels.begin(), labels.end(), [](std::uint8_t label) { return label != 0; }));
}

// A resample that has both classes, or after many tries none (then the caller has no interval).
bool DrawRows(std::span<const std::uint8_t> labels, SeededRandom& random,
              std::vector<std::uint32_t>& drawn) {
  constexpr int kTries = 100;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::size_t positives = 0;
    for (std::uint32_t& row : drawn) {
      row = static_cast<std::uint32_t>(random.NextBelow(labels.size()));
      positives += labels[row] != 0;
    }
    if (positives > 0 && positives < drawn.size()) return true;
  }
  return false;
}

Interval PercentileInterval(double value, std::vector<double> values) {
  if (values.empty()) return {value, kNan, kNan};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double position = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    const double fraction = position - static_cast<double>(below);
    return values[below] + (values[above] - values[below]) * fraction;
  };
  return {value, at(0.025), at(0.975)};
}

std::vector<float> Gather(std::span<const float> values, const std::vector<std::uint32_t>& rows) {
  std::vector<float> gathered(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) gathered[i] = values[rows[i]];
  return gathered;
}

std::vector<std::uint8_t> Gather(std::span<const std::uint8_t> values,
                                 const std::vector<std::uint32_t>& rows) {
  std::vector<std::uint8_t> gathered(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) gathered[i] = values[rows[i]];
  return gathered;
}

}  // namespace

double AreaUnderRoc(const ScoredRows& rows) {
  const double positives = CountPositives(rows.labels);
  const double negatives = static_cast<double>(rows.labels.size()) - positives;
  if (positives == 0 || negatives == 0) return kNan;
  double below = negatives;  // negatives with a lower score
  double wins = 0;
  ForEachTie(rows, [&](double tied_positives, double tied_negatives, double) {
    below -= tied_negatives;
    wins += tied_positives * (below + 0.5 * tied_negatives);
  });
  return wins / (positives * negatives);
}

double AveragePrecision(const ScoredRows& rows) {
  const double positives = CountPositives(rows.labels);
  if (positives == 0) return kNan;
  double found = 0;
  double taken = 0;
  double sum = 0;
  ForEachTie(rows, [&](double tied_positives, double tied_negatives, double) {
    found += tied_positives;
    taken += tied_positives + tied_negatives;
    sum += tied_positives / positives * (found / taken);
  });
  return sum;
}

double Confusion::precision() const {
  const std::uint64_t predicted = true_positive + false_positive;
  return predicted == 0 ? 0 : static_cast<double>(true_positive) / static_cast<double>(predicted);
}

double Confusion::recall() const {
  const std::uint64_t actual = true_positive + false_negative;
  return actual == 0 ? 0 : static_cast<double>(true_positive) / static_cast<double>(actual);
}

double Confusion::f1() const {
  const std::uint64_t sum = 2 * true_positive + false_positive + false_negative;
  return sum == 0 ? 0 : 2 * static_cast<double>(true_positive) / static_cast<double>(sum);
}

Json Confusion::ToJson() const {
  return {{"true_negative", true_negative},   {"false_positive", false_positive},
          {"false_negative", false_negative}, {"true_positive", true_positive},
          {"precision", precision()},         {"recall", recall()}};
}

Confusion ConfusionAt(const ScoredRows& rows, double threshold) {
  Confusion confusion;
  for (std::size_t i = 0; i < rows.scores.size(); ++i) {
    const bool predicted = static_cast<double>(rows.scores[i]) >= threshold;
    const bool actual = rows.labels[i] != 0;
    confusion.true_positive += predicted && actual;
    confusion.false_positive += predicted && !actual;
    confusion.false_negative += !predicted && actual;
    confusion.true_negative += !predicted && !actual;
  }
  return confusion;
}

double ThresholdOfMaxF1(const ScoredRows& rows) {
  const double positives = CountPositives(rows.labels);
  if (positives == 0) return 0.5;
  double found = 0;
  double taken = 0;
  double best = -1;
  double threshold = 0.5;
  bool next_is_lower_neighbour = false;
  ForEachTie(rows, [&](double tied_positives, double tied_negatives, double score) {
    if (next_is_lower_neighbour) threshold = (threshold + score) / 2;
    next_is_lower_neighbour = false;
    found += tied_positives;
    taken += tied_positives + tied_negatives;
    const double f1 = 2 * found / (taken + positives);
    if (f1 <= best) return;
    best = f1;
    threshold = score;
    next_is_lower_neighbour = true;
  });
  return threshold;
}

Json Interval::ToJson() const { return {{"value", value}, {"low", low}, {"high", high}}; }

Interval BootstrapInterval(const ScoredRows& rows, const Metric& metric,
                           const BootstrapOptions& options) {
  SeededRandom random(options.seed);
  std::vector<std::uint32_t> drawn(rows.labels.size());
  std::vector<double> values;
  for (int i = 0; i < options.resamples && DrawRows(rows.labels, random, drawn); ++i) {
    const std::vector<float> scores = Gather(rows.scores, drawn);
    const std::vector<std::uint8_t> labels = Gather(rows.labels, drawn);
    values.push_back(metric({scores, labels}));
  }
  return PercentileInterval(metric(rows), std::move(values));
}

Interval PairedBootstrap(std::span<const float> champion, std::span<const float> challenger,
                         std::span<const std::uint8_t> labels, const Metric& metric,
                         const BootstrapOptions& options) {
  SeededRandom random(options.seed);
  std::vector<std::uint32_t> drawn(labels.size());
  std::vector<double> values;
  for (int i = 0; i < options.resamples && DrawRows(labels, random, drawn); ++i) {
    const std::vector<std::uint8_t> resampled = Gather(labels, drawn);
    const std::vector<float> old_scores = Gather(champion, drawn);
    const std::vector<float> new_scores = Gather(challenger, drawn);
    values.push_back(metric({new_scores, resampled}) - metric({old_scores, resampled}));
  }
  const double value = metric({challenger, labels}) - metric({champion, labels});
  return PercentileInterval(value, std::move(values));
}

}  // namespace skerry
