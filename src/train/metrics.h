// How good scores are: ranking metrics of a binary classifier, and bootstrap intervals. Pure
// functions, deterministic for a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "codec/json.h"
#include "model/threshold_goal.h"

namespace skerry {

// Scores (higher = more likely class 1) and what is true (0 or 1), of the same length.
struct ScoredRows {
  std::span<const float> scores;
  std::span<const std::uint8_t> labels;
};

// Rows counted by score: what every metric here is a function of. Resampling changes the counts
// alone, so that a bootstrap sorts once.
struct ScoreCounts {
  std::vector<float> scores{};                          // distinct, falling
  std::vector<std::uint32_t> positives{}, negatives{};  // rows at that score, by label
};
ScoreCounts CountScores(const ScoredRows& rows);

// Area under the ROC curve, ties counted half (Mann-Whitney). NaN when one class is absent.
double AreaUnderRoc(const ScoreCounts& counts);

// Average precision: sum over thresholds of (recall step) * precision, tied scores taken together
// (scikit-learn's definition, no interpolation). NaN without a positive row.
double AveragePrecision(const ScoreCounts& counts);

struct Confusion {
  std::uint64_t true_negative = 0, false_positive = 0, false_negative = 0, true_positive = 0;
  double precision() const;  // 0 when nothing was predicted positive
  double recall() const;
  double f1() const;
  double alarm_rate() const;        // share of all rows that were predicted positive
  double false_alarm_rate() const;  // share of the negative rows that were
  // Expected cost of a row by the goal's costs.
  double cost(const ThresholdGoal& goal) const;
  Json ToJson() const;
};

// Predicts class 1 where score >= threshold.
Confusion ConfusionAt(const ScoreCounts& counts, double threshold);
Confusion ConfusionOf(const ScoredRows& rows, double threshold);  // the same, without counting

// A threshold that tells two neighbouring scores apart (score >= threshold): mid-way, and exact as
// a float32, since scorers compare in float32. Requires lower < upper.
double Between(float upper, float lower);

// The threshold of greatest F1, between two neighbouring scores. 0.5 without a positive.
double ThresholdOfMaxF1(const ScoreCounts& counts);

// The least threshold at or above which at most `alarm_rate` of the rows lie, ties included: just
// above the greatest score where even that one's rows would be too many.
double ThresholdOfAlarmRate(const ScoreCounts& counts, double alarm_rate);

// The threshold that reaches the goal on these rows. Of the least expected cost (Elkan 2001, "The
// Foundations of Cost-Sensitive Learning", by the rows instead of by probabilities that would have
// to be calibrated) it may be one that every row, or none, reaches.
double ThresholdFor(const ThresholdGoal& goal, const ScoreCounts& counts);

struct Interval {
  double value = 0;          // on the rows themselves
  double low = 0, high = 0;  // 2.5 % and 97.5 % of the bootstrap distribution
  Json ToJson() const;
};

// The interval of a value by what it was on resamples; low and high are NaN without any.
Interval PercentileInterval(double value, std::vector<double> values);

// Bootstrap over rows (Efron 1979), percentile interval. Resamples without both classes are
// redrawn; where none can be had (one class), low and high are NaN.
//
// Of more than `drawn_rows` rows, counts are drawn instead of rows, in a time that does not grow
// with them. Rankings: neighbouring scores are counted together, at most 1/512 of the positive and
// of the negative rows, and each count is a Poisson number of that mean (Chamandy, Muralidharan,
// Najmi, Naidu 2012, "Estimating Uncertainty for Massive Data Streams"); the interval is moved by
// what counting together changed of the value; of two models 1/128, and a count a pair of places.
// Sums (task_metrics.h): the rows are dealt at random
// to 2,000 groups, and groups are drawn.
struct BootstrapOptions {
  std::uint64_t seed = 1;
  int resamples = 1'000;
  std::size_t drawn_rows = 20'000;
  // Of rankings: scores on two sides of it are not counted together.
  std::optional<double> threshold{};
};
using Metric = std::function<double(const ScoreCounts&)>;
// One interval a metric, all on the same resamples.
std::vector<Interval> BootstrapIntervals(const ScoredRows& rows, std::span<const Metric> metrics,
                                         const BootstrapOptions& options);

// The interval of the difference metric(challenger) - metric(champion) on the same resampled rows.
// The two score vectors are of the same length as the labels.
Interval PairedBootstrap(std::span<const float> champion, std::span<const float> challenger,
                         std::span<const std::uint8_t> labels, const Metric& metric,
                         const BootstrapOptions& options);

}  // namespace skerry
