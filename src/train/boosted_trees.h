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
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// One node; a leaf has left < 0. `left` is taken where value < threshold in float32, and where the
// value is missing and `missing_left`.
struct TreeNode {
  int left = -1, right = -1;
  int feature = 0;
  float threshold = 0;
  bool missing_left = false;
  float value = 0;  // of a leaf
};

// P(class 1) = sigmoid(base_margin + sum of one leaf a tree).
struct BoostedTrees {
  std::vector<std::vector<TreeNode>> trees{};  // node 0 is the root
  double base_margin = 0;
  std::vector<double> gains{};  // by feature: total gain of its splits
};

struct FittedTrees {
  BoostedTrees ensemble{};
  std::vector<float> scores{};  // P(class 1) by XGBoost, of every row of `compared`
};

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
// Stratified folds (5, or 2 from 100,000 rows on), each stopped early on its own held-out part.
Result<CrossValidation> CrossValidate(const LabelledRows& rows, const HyperParameters& parameters,
                                      std::uint64_t seed, const CancelCheck& cancelled);

}  // namespace skerry
