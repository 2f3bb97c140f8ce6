// How good scores are: ranking metrics of a binary classifier, and bootstrap intervals. Pure
// functions, deterministic for a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "codec/json.h"

namespace skerry {

// Scores (higher = more likely class 1) and what is true (0 or 1), of the same length.
struct ScoredRows {
  std::span<const float> scores;
  std::span<const std::uint8_t> labels;
};

// Area under the ROC curve, ties counted half (Mann-Whitney). NaN when one class is absent.
double AreaUnderRoc(const ScoredRows& rows);

// Average precision: sum over thresholds of (recall step) * precision, tied scores taken together
// (scikit-learn's definition, no interpolation). NaN without a positive row.
double AveragePrecision(const ScoredRows& rows);

struct Confusion {
  std::uint64_t true_negative = 0, false_positive = 0, false_negative = 0, true_positive = 0;
  double precision() const;  // 0 when nothing was predicted positive
  double recall() const;
  double f1() const;
  Json ToJson() const;
};

// Predicts class 1 where score >= threshold.
Confusion ConfusionAt(const ScoredRows& rows, double threshold);

// The threshold of greatest F1, mid-way between the two neighbouring scores. 0.5 without a
// positive.
double ThresholdOfMaxF1(const ScoredRows& rows);

struct Interval {
  double value = 0;          // on the rows themselves
  double low = 0, high = 0;  // 2.5 % and 97.5 % of the bootstrap distribution
  Json ToJson() const;
};

// Bootstrap over rows (Efron 1979), percentile interval. Resamples without both classes are
// redrawn.
struct BootstrapOptions {
  std::uint64_t seed = 1;
  int resamples = 1'000;
};
using Metric = std::function<double(const ScoredRows&)>;
Interval BootstrapInterval(const ScoredRows& rows, const Metric& metric,
                           const BootstrapOptions& options);

// The same, for the difference metric(challenger) - metric(champion) on the same resampled rows.
// The two score vectors are of the same length as the labels.
Interval PairedBootstrap(std::span<const float> champion, std::span<const float> challenger,
                         std::span<const std::uint8_t> labels, const Metric& metric,
                         const BootstrapOptions& options);

}  // namespace skerry
