// Bounded search for hyper-parameters on the inner folds of the training rows, by successive
// halving (Jamieson, Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
// Optimization"). Held-out rows do not come here. Deterministic for rows, folds, seed and thread
// count.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "train/boosted_trees.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// Each drawn log-uniformly between its bounds, and rounded to three digits.
struct SearchRange {
  double least, most;
};
constexpr SearchRange kDepths{3, 10};
constexpr SearchRange kLearningRates{0.02, 0.3};
constexpr SearchRange kMinChildWeights{0.1, 20};
constexpr SearchRange kRowFractions{0.5, 1};
constexpr SearchRange kFeatureFractions{0.5, 1};
constexpr SearchRange kL2s{0.1, 20};

// `base` first, then as many others as make `count`; the rest of the parameters are base's.
std::vector<HyperParameters> DrawConfigurations(const HyperParameters& base, int count,
                                                std::uint64_t seed);

// Shares of a whole fit after which the better part of the configurations goes on; the one that is
// left, and `base`, are then learnt whole. The budget that is shared out is rounds times learning
// rate, so that a slow learner is not dropped for being slow.
constexpr double kRungShares[] = {1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2};
// How many of `count` are learnt to each of those shares: the same part of them goes on each time.
std::vector<std::size_t> RungSizes(std::size_t count);
// Rounds that a share is of a configuration, at least 1 and at most its `trees`.
int RoundsOf(double share, const HyperParameters& base, const HyperParameters& configuration);

struct SearchOutcome {
  HyperParameters parameters{};
  CrossValidation inner{};  // of them, by InnerFits
  SearchFacts facts{};
};

// The configuration of least loss on the inner folds (InnerFits::Loss) of those that were learnt
// whole: never worse there than `base`. All fits of a rung are held in memory. kUnavailable:
// cancelled.
Result<SearchOutcome> SearchParameters(const LabelledRows& rows,
                                       std::span<const std::uint8_t> folds,
                                       const HyperParameters& base, int count, std::uint64_t seed,
                                       const ProgressSink& progress, const CancelCheck& cancelled);

}  // namespace skerry
