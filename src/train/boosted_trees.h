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

// Margin of an output = its base margin + sum of one leaf of each of its trees.
struct BoostedTrees {
  std::vector<Tree> trees{};                 // round by round; in each round one an output
  std::vector<float> base_margins = {0.0F};  // one an output
  MarginLink link = MarginLink::kLogistic;
  std::vector<double> gains{};  // by feature: total gain of its splits
};

struct FittedTrees {
  BoostedTrees ensemble{};
  // By XGBoost, of every row that was fitted to and then of `others`: P(class 1), the probability
  // of each of several classes (row-major), or the number.
  std::vector<float> scores{};
};

// XGBoost's own model, as its version 3 saves it in JSON. kInternal for anything else.
Result<BoostedTrees> ReadXgboostModel(const Json& model, std::size_t features);

// XGBoost's name of the objective: of numbers `parameters.objective`. kInvalidArgument for one that
// does not fit the task, or a target that it does not take (with its row).
Result<std::string> ObjectiveOf(const LabelledRows& rows, const HyperParameters& parameters);

// Fits exactly `rounds` trees (of several classes: each) with method hist to `rows`, and scores
// `rows` and `others`, which may be empty.
// Deterministic for seed, data, parameters and thread count.
Result<FittedTrees> FitTrees(const LabelledRows& rows, const HyperParameters& parameters,
                             int rounds, std::uint64_t seed, const LabelledRows& others,
                             const CancelCheck& cancelled);

// How wrong `scores` (as FittedTrees::scores, of all rows) are of one row, unweighted: log loss, of
// numbers the squared error, or the absolute one where `absolute`.
double RowLoss(const LabelledRows& rows, std::span<const float> scores, std::size_t row,
               bool absolute);

// How many trees are enough, and scores of every row by a model that did not see it.
struct CrossValidation {
  int rounds = 1;               // mean over the folds of the round of least loss
  std::vector<float> scores{};  // out of fold, in the order of `rows`, as FittedTrees::scores
};
// `folds` is a fold number a row (train/splits.h); each fit stops early on its own held-out part:
// by log loss, of numbers by the root mean square error (of absolute-error by the mean error).
Result<CrossValidation> CrossValidate(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                      const HyperParameters& parameters, std::uint64_t seed,
                                      const CancelCheck& cancelled);

}  // namespace skerry
