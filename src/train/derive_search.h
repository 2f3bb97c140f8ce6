// Which products, ratios and differences of number features help a predictor: a greedy forward
// choice by the loss on inner folds. Held-out rows have no part in it.
//
// Candidates are all pairs of number features (of the kDeriveNumbers of most gain, where there are
// more), with the three operations each. A step fits trees to the features, what was chosen and
// all candidates together, and tries those of most gain, each on the inner folds; it keeps the one
// of least loss if the loss falls by at least kDeriveSigmas standard errors of the rows' paired
// differences, else the search ends. Of many rows kDeriveRows are drawn. Steps, tries, trees and
// rows are bounded by count, not by a clock, so that the choice is the same for a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "model/derived_features.h"

namespace skerry {

struct FitInput;

struct DerivedChoice {
  DerivedFeature feature{};
  // On the inner folds, by the search's own fewer and larger steps of boosting: log loss, or the
  // mean square error (of objective absolute-error the mean absolute one).
  double loss_before = 0, loss_after = 0;
};

struct DeriveReport {
  std::size_t most = 0;                  // that were asked for; 0: nothing was searched
  std::size_t candidates = 0, rows = 0;  // at the first step; rows of the inner folds
  std::vector<DerivedChoice> chosen{};

  std::vector<DerivedFeature> features() const;
  Json ToJson() const;
};

constexpr double kDeriveSigmas = 2;

// At most `most` features that are derived of `input.training`, whose schema derives nothing yet.
// Nothing is found where there are no two number features. Errors are those of FitTrees.
Result<DeriveReport> ChooseDerived(const FitInput& input, std::size_t most);

}  // namespace skerry
