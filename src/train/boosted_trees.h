// Gradient-boosted trees: the adapter of XGBoost (C API), and the fitted trees as plain data that
// can be exported.
//
// libxgboost.so is opened by the first fit of a process (lib/xgboost/lib beside the executable, or
// below $SKERRY_LIB_DIR), never earlier.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "model/tree_ensemble.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// P(class 1) = sigmoid(base_margin + sum of one leaf a tree).
struct BoostedTrees {
  std::vector<Tree> trees{};
  double base_margin = 0;
  std::vector<double> gains{};  // by feature: total gain of its splits
};

struct FittedTrees {
  BoostedTrees ensemble{};
  std::vector<float> scores{};  // P(class 1) by XGBoost, of every row of `compared`
};

// XGBoost's own model, as its version 3 saves it in JSON. kInternal for anything else.
Result<BoostedTrees> ReadXgboostModel(const Json& model, std::size_t features);

// Fits exactly `rounds` trees (hist, binary:logistic) to `rows` and scores `compared`.
// Deterministic for seed, data, parameters and thread count.
Result<FittedTrees> FitTrees(const LabelledRows& rows, const HyperParameters& parameters,
                             int rounds, std::uint64_t seed, const LabelledRows& compared,
                             const CancelCheck& cancelled);

// How many trees are enough, and scores of every row by a model that did not see it.
struct CrossValidation {
  int rounds = 1;               // mean over the folds of the round of least log loss
  std::vector<float> scores{};  // out of fold, in the order of `rows`
};
// `folds` is a fold number a row (train/splits.h); each fit stops early on its own held-out part.
Result<CrossValidation> CrossValidate(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                      const HyperParameters& parameters, std::uint64_t seed,
                                      const CancelCheck& cancelled);

}  // namespace skerry
