#include "train/isolation_forest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "base/random.h"

namespace skerry {
namespace {

class TreeGrower {
 public:
  TreeGrower(const FeatureMatrix& rows, SeededRandom& random, int max_depth)
      : rows_(rows), random_(random), max_depth_(max_depth), order_(rows.columns) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
  }

  Tree Grow(const std::vector<std::size_t>& sample) {
    nodes_.clear();
    GrowNode(sample, 0);
    return std::move(nodes_);
  }

 private:
  float At(std::size_t row, std::size_t feature) const {
    return rows_.values[row * rows_.columns + feature];
  }

  // A random feature with two different values among the node's rows, and a random split of it.
  bool ChooseSplit(const std::vector<std::size_t>& sample, TreeNode& node) {
    random_.Shuffle(order_);
    for (const std::size_t feature : order_) {
      float least = std::numeric_limits<float>::infinity();
      float greatest = -least;
      for (const std::size_t row : sample) {
        const float value = At(row, feature);
        if (std::isnan(value)) continue;
        least = std::min(least, value);
        greatest = std::max(greatest, value);
      }
      if (!(least < greatest)) continue;
      const double span = static_cast<double>(greatest) - static_cast<double>(least);
      node.feature = static_cast<int>(feature);
      node.threshold = static_cast<float>(least + random_.NextDouble() * span);
      // Both sides must get a row: value < threshold goes left.
      if (!(node.threshold > least)) node.threshold = std::nextafter(least, greatest);
      node.threshold = std::min(node.threshold, greatest);
      return true;
    }
    return false;
  }

  int GrowNode(const std::vector<std::size_t>& sample, int depth) {
    const int index = static_cast<int>(nodes_.size());
    nodes_.emplace_back();
    TreeNode node;
    if (depth >= max_depth_ || sample.size() <= 1 || !ChooseSplit(sample, node)) {
      nodes_.back().value = static_cast<float>(depth + MeanPathLength(sample.size()));
      return index;
    }
    const auto feature = static_cast<std::size_t>(node.feature);
    std::vector<std::size_t> left;
    std::vector<std::size_t> right;
    std::vector<std::size_t> missing;
    for (const std::size_t row : sample) {
      const float value = At(row, feature);
      (std::isnan(value) ? missing : value < node.threshold ? left : right).push_back(row);
    }
    node.missing_left = left.size() >= right.size();
    std::vector<std::size_t>& larger = node.missing_left ? left : right;
    larger.insert(larger.end(), missing.begin(), missing.end());
    node.left = GrowNode(left, depth + 1);
    node.right = GrowNode(right, depth + 1);
    nodes_[static_cast<std::size_t>(index)] = node;
    return index;
  }

  const FeatureMatrix& rows_;
  SeededRandom& random_;
  int max_depth_;
  std::vector<std::size_t> order_;
  Tree nodes_;
};

// The trees as walking them wants it: nodes of 20 bytes one behind the other.
class FlatForest {
 public:
  explicit FlatForest(const std::vector<Tree>& trees) {
    for (const Tree& tree : trees) {
      const auto first = static_cast<std::int32_t>(nodes_.size());
      roots_.push_back(first);
      for (const TreeNode& node : tree) {
        const std::int32_t left = first + node.left;
        const std::int32_t right = first + node.right;
        nodes_.push_back(node.is_leaf() ? Node{.number = node.value}
                                        : Node{.number = node.threshold,
                                               .feature = node.feature,
                                               .left = left,
                                               .right = right,
                                               .missing = node.missing_left ? left : right});
      }
    }
  }

  // Of the leaves that the row reaches.
  double SumOf(std::span<const float> row) const {
    double sum = 0;
    for (std::int32_t at : roots_) {
      while (nodes_[static_cast<std::size_t>(at)].feature >= 0) {
        const Node& node = nodes_[static_cast<std::size_t>(at)];
        const float value = row[static_cast<std::size_t>(node.feature)];
        const std::int32_t next = value < node.number ? node.left : node.right;
        at = std::isnan(value) ? node.missing : next;
      }
      sum += static_cast<double>(nodes_[static_cast<std::size_t>(at)].number);
    }
    return sum;
  }

 private:
  struct Node {
    float number = 0;  // the threshold, or a leaf's value
    std::int32_t feature = -1, left = 0, right = 0, missing = 0;
  };
  std::vector<Node> nodes_{};
  std::vector<std::int32_t> roots_{};
};

}  // namespace

double MeanPathLength(std::size_t rows) {
  constexpr double kEulerGamma = 0.5772156649015329;
  if (rows <= 1) return 0;
  if (rows == 2) return 1;
  const auto n = static_cast<double>(rows);
  return 2 * (std::log(n - 1) + kEulerGamma) - 2 * (n - 1) / n;
}

std::vector<float> IsolationForest::Score(const FeatureMatrix& rows) const {
  constexpr std::size_t kBlockRows = 4'096;
  std::vector<float> scores(rows.rows());
  const FlatForest flat(trees);
  const auto score = [&](std::size_t first, std::size_t count) -> Status {
    for (std::size_t i = first; i < first + count; ++i) {
      const double mean = flat.SumOf(rows.row(i)) / static_cast<double>(trees.size());
      scores[i] = static_cast<float>(std::exp2(-mean / normal_path));
    }
    return {};
  };
  [[maybe_unused]] const Status never_fails = ForBlocks(rows.rows(), kBlockRows, score);
  return scores;
}

IsolationForest GrowIsolationForest(const FeatureMatrix& rows, const DetectorParameters& parameters,
                                    std::uint64_t seed) {
  const std::size_t samples =
      std::min(rows.rows(), static_cast<std::size_t>(std::max(parameters.samples, 2)));
  const int max_depth = static_cast<int>(std::bit_width(std::max<std::size_t>(samples, 2) - 1));
  SeededRandom random(seed);
  TreeGrower grower(rows, random, max_depth);
  // A score needs a scale even when there is one row alone.
  IsolationForest forest{.normal_path = std::max(MeanPathLength(samples), 1e-6)};
  std::vector<std::size_t> order(rows.rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int tree = 0; tree < parameters.trees; ++tree) {
    for (std::size_t i = 0; i < samples; ++i)  // the first steps of a Fisher-Yates shuffle
      std::swap(order[i], order[i + random.NextBelow(order.size() - i)]);
    forest.trees.push_back(grower.Grow(std::vector<std::size_t>(
        order.begin(), order.begin() + static_cast<std::ptrdiff_t>(samples))));
  }
  return forest;
}

}  // namespace skerry
