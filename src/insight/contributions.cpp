#include "insight/contributions.h"

#include <algorithm>

namespace skerry {
namespace {

// One feature on the way from the root to a node.
struct PathStep {
  int feature = -1;
  double zero = 0;    // share of the training rows that go on this way when it is not known
  double one = 0;     // 1 when the row itself goes on this way
  double weight = 0;  // of the subsets with as many features as steps before this one
};

// Algorithm 2's path of unique features: `last` is the index of its last step.
void Extend(PathStep* path, std::size_t last, const PathStep& step) {
  path[last] = {step.feature, step.zero, step.one, last == 0 ? 1.0 : 0.0};
  const auto length = static_cast<double>(last + 1);
  for (std::size_t i = last; i-- > 0;) {
    path[i + 1].weight += step.one * path[i].weight * static_cast<double>(i + 1) / length;
    path[i].weight = step.zero * path[i].weight * static_cast<double>(last - i) / length;
  }
}

// Takes step `index` out again.
void Unwind(PathStep* path, std::size_t last, std::size_t index) {
  const double one = path[index].one;
  const double zero = path[index].zero;
  const auto length = static_cast<double>(last + 1);
  double next = path[last].weight;
  for (std::size_t i = last; i-- > 0;) {
    if (one != 0) {
      const double before = path[i].weight;
      path[i].weight = next * length / (static_cast<double>(i + 1) * one);
      next = before - path[i].weight * zero * static_cast<double>(last - i) / length;
    } else {
      path[i].weight = path[i].weight * length / (zero * static_cast<double>(last - i));
    }
  }
  for (std::size_t i = index; i < last; ++i) {
    path[i].feature = path[i + 1].feature;
    path[i].zero = path[i + 1].zero;
    path[i].one = path[i + 1].one;
  }
}

// What the weights would add up to without step `index`.
double UnwoundSum(const PathStep* path, std::size_t last, std::size_t index) {
  const double one = path[index].one;
  const double zero = path[index].zero;
  const auto length = static_cast<double>(last + 1);
  double next = path[last].weight;
  double sum = 0;
  for (std::size_t i = last; i-- > 0;) {
    if (one != 0) {
      const double part = next * length / (static_cast<double>(i + 1) * one);
      sum += part;
      next = path[i].weight - part * zero * static_cast<double>(last - i) / length;
    } else {
      sum += path[i].weight * length / (zero * static_cast<double>(last - i));
    }
  }
  return sum;
}

class TreeWalk {
 public:
  TreeWalk(const Tree& tree, std::span<const float> row, std::span<double> values)
      : tree_(tree), row_(row), values_(values) {}

  // `parent` holds the `steps` steps above; the walk writes behind them.
  void Visit(std::size_t index, PathStep* parent, std::size_t steps, const PathStep& step) {
    PathStep* path = parent + steps;
    std::copy(parent, path, path);
    std::size_t last = steps;
    Extend(path, last, step);
    const TreeNode& node = tree_[index];
    if (node.is_leaf()) return AddLeaf(path, last, node.value);

    // A feature that was met before counts once, with both its shares.
    PathStep inherited{.feature = node.feature, .zero = 1, .one = 1};
    for (std::size_t i = 1; i <= last; ++i) {
      if (path[i].feature != node.feature) continue;
      inherited = path[i];
      Unwind(path, last, i);
      --last;
      break;
    }
    const bool goes_left = node.GoesLeft(row_[static_cast<std::size_t>(node.feature)]);
    for (const bool left : {true, false}) {
      const auto child = static_cast<std::size_t>(left ? node.left : node.right);
      const PathStep next{.feature = node.feature,
                          .zero = inherited.zero * tree_[child].cover / node.cover,
                          .one = left == goes_left ? inherited.one : 0};
      // No subset comes here: neither the row nor any training row goes this way.
      if (next.zero == 0 && next.one == 0) continue;
      Visit(child, path, last + 1, next);
    }
  }

 private:
  void AddLeaf(const PathStep* path, std::size_t last, double value) {
    for (std::size_t i = 1; i <= last; ++i)
      values_[static_cast<std::size_t>(path[i].feature)] +=
          UnwoundSum(path, last, i) * (path[i].one - path[i].zero) * value;
  }

  const Tree& tree_;
  std::span<const float> row_;
  std::span<double> values_;
};

}  // namespace

void AddContributions(const TreeEnsemble& ensemble, std::span<const float> row, std::size_t output,
                      std::span<double> values) {
  // A node at depth d has at most d + 1 steps, and those of all above it stand before them.
  const std::size_t longest = ensemble.depth + 2;
  thread_local std::vector<PathStep> steps;
  steps.resize(std::max(steps.size(), longest * (longest + 1) / 2));
  for (std::size_t i = output; i < ensemble.trees.size(); i += ensemble.outputs)
    TreeWalk(ensemble.trees[i], row, values)
        .Visit(0, steps.data(), 0, {.feature = -1, .zero = 1, .one = 1});
}

Status CheckExplained(const ModelPackage& package) {
  if (package.trees) return {};
  return Fail(package.trees.error().code(), "model {} cannot be explained: {}", package.name,
              package.trees.error().message());
}

Result<Contributions> ExplainRows(const RowBatch& batch) {
  SKERRY_RETURN_IF_ERROR(CheckExplained(*batch.package));
  const TreeEnsemble& trees = *batch.package->trees;
  const bool derives = !batch.package->derived.empty();
  if ((trees.outputs > 1 && batch.prediction.size() != batch.rows) ||
      (derives && batch.inputs.size() != batch.rows * trees.features))
    return Fail(ErrorCode::kInvalidArgument, "rows are explained after they were scored");
  Contributions result{.bases = {},
                       .features = trees.features,
                       .values = std::vector<double>(batch.rows * trees.features)};
  for (std::size_t row = 0; row < batch.rows; ++row) {
    const std::size_t output = trees.outputs == 1 ? 0 : batch.prediction[row];
    result.bases.push_back(trees.expected_margins[output]);
    AddContributions(trees, batch.InputRow(row), output,
                     std::span(result.values).subspan(row * result.features, result.features));
  }
  return result;
}

}  // namespace skerry
