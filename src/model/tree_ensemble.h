// The trees of a predictor as plain data: what a trainer exports, and what explanations are made
// from.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// What makes answers of margins: P(class 1) = sigmoid(margin), the probabilities of several classes
// = softmax(margins), a number = margin or e^margin.
enum class MarginLink : std::uint8_t { kLogistic, kSoftmax, kIdentity, kExp };

// One node; a leaf has left < 0. `left` is taken where value < threshold in float32, or of a split
// by category where the value is none of `categories`; and where the value is missing and
// `missing_left`.
struct TreeNode {
  int left = -1, right = -1;
  int feature = 0;
  float threshold = 0;
  bool missing_left = false;
  float value = 0;                  // of a leaf
  std::vector<float> categories{};  // codes that go right, rising; empty: a split by threshold
  float cover = 0;  // the weight of the training rows that reached it (sum of hessians); 0: unknown

  bool is_leaf() const { return left < 0; }
  // Of a row's value of `feature`.
  bool GoesLeft(float at) const {
    if (std::isnan(at)) return missing_left;
    if (categories.empty()) return at < threshold;
    return !std::binary_search(categories.begin(), categories.end(), at);
  }
};
using Tree = std::vector<TreeNode>;  // node 0 is the root

// Margin of an output = base_margin + sum of one leaf a tree of it: of a binary task the log-odds
// of class 1; of several classes an output a class, whose softmax the probabilities are; of a
// regression the value, or its logarithm. Immutable after it was read.
struct TreeEnsemble {
  std::vector<Tree> trees{};  // tree i is of output i % outputs
  std::size_t outputs = 1;
  double base_margin = 0;
  // By output, the margin that a row has of which nothing is known: each tree's leaves weighted by
  // their cover.
  std::vector<double> expected_margins{};
  std::size_t features = 0;
  std::size_t depth = 0;  // of the deepest leaf; a root alone is 0
};

// Reads a graph of the form that skerry exports (train/onnx_export.h): one TreeEnsembleRegressor of
// `features` features, then the logistic function, softmax, e^x or nothing, with covers in
// nodes_hitrates. Every tree of the result is one (no node is reached twice), its covers add up,
// and its features are below `features`. Errors: kUnimplemented says what the graph has instead;
// kDataLoss for no ONNX.
Result<TreeEnsemble> ReadTreeEnsemble(std::string_view onnx, std::size_t features);

}  // namespace skerry
