// The trees of a predictor as plain data: what a trainer exports, and what explanations are made
// from.
#pragma once

#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// One node; a leaf has left < 0. `left` is taken where value < threshold in float32, and where the
// value is missing and `missing_left`.
struct TreeNode {
  int left = -1, right = -1;
  int feature = 0;
  float threshold = 0;
  bool missing_left = false;
  float value = 0;  // of a leaf
  float cover = 0;  // the weight of the training rows that reached it (sum of hessians); 0: unknown

  bool is_leaf() const { return left < 0; }
  // Of a row's value of `feature`.
  bool GoesLeft(float at) const { return std::isnan(at) ? missing_left : at < threshold; }
};
using Tree = std::vector<TreeNode>;  // node 0 is the root

// Margin (log-odds of class 1) = base_margin + sum of one leaf a tree. Immutable after it was read.
struct TreeEnsemble {
  std::vector<Tree> trees{};
  double base_margin = 0;
  // The margin that a row has of which nothing is known: each tree's leaves weighted by their
  // cover.
  double expected_margin = 0;
  std::size_t features = 0;
  std::size_t depth = 0;  // of the deepest leaf; a root alone is 0
};

// Reads a graph of the form that skerry exports (train/onnx_export.h): one TreeEnsembleRegressor of
// `features` features, then the logistic function, with covers in nodes_hitrates. Every tree of the
// result is one (no node is reached twice), its covers add up, and its features are below
// `features`. Errors: kUnimplemented says what the graph has instead; kDataLoss for no ONNX.
Result<TreeEnsemble> ReadTreeEnsemble(std::string_view onnx, std::size_t features);

}  // namespace skerry
