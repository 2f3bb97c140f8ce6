#include "model/tree_ensemble.h"

#include <onnx-ml.pb.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "base/limits.h"
#include "model/margin_graph.h"
#include "model/onnx_attributes.h"

namespace skerry {
namespace {

// Covers are sums that the trainer rounded to float32.
constexpr double kCoverSlack = 1e-2;

template <typename... Args>
tl::unexpected<Error> Unexplained(fmt::format_string<Args...> format, Args&&... args) {
  return Fail(ErrorCode::kUnimplemented, format, std::forward<Args>(args)...);
}

Status CheckGraph(const onnx::GraphProto& graph) {
  const auto known = ReadMarginGraph(graph);
  if (known && known->scale == 1) return {};
  const auto& nodes = graph.node();
  std::string found;
  constexpr int kNamed = 4;
  for (int i = 0; i < std::min(kNamed, nodes.size()); ++i)
    found += fmt::format("{}{}", i == 0 ? "" : ", ", nodes[i].op_type());
  return Unexplained(
      "its graph is no tree ensemble as skerry train exports it (TreeEnsembleRegressor, then "
      "Sigmoid, Sub and Concat, or Softmax, or Exp, or nothing): it has {} nodes ({}{})",
      nodes.size(), found, nodes.size() > kNamed ? ", ..." : "");
}

// The parallel arrays of a TreeEnsembleRegressor (ONNX operators, ai.onnx.ml, version 3).
class RegressorReader {
 public:
  RegressorReader(const onnx::NodeProto& node, std::size_t features)
      : attributes_(node), features_(features) {}

  Result<TreeEnsemble> Read() {
    SKERRY_RETURN_IF_ERROR(CheckSettings());
    SKERRY_RETURN_IF_ERROR(FindArrays());
    TreeEnsemble ensemble{.features = features_};
    ensemble.outputs = static_cast<std::size_t>(attributes_.Int("n_targets", 1));
    for (const float value : attributes_.Floats("base_values")) ensemble.base_margin += value;
    SKERRY_RETURN_IF_ERROR(ReadNodes(ensemble));
    SKERRY_RETURN_IF_ERROR(ReadLeaves(ensemble));
    ensemble.expected_margins.assign(ensemble.outputs, ensemble.base_margin);
    for (std::size_t i = 0; i < ensemble.trees.size(); ++i) {
      const Tree& tree = ensemble.trees[i];
      visited_.assign(tree.size(), 0);
      SKERRY_ASSIGN_OR_RETURN(const double expected, Expect(tree, 0, 0, ensemble.depth));
      ensemble.expected_margins[i % ensemble.outputs] += expected;
    }
    return ensemble;
  }

 private:
  Status CheckSettings() const {
    if (attributes_.Text("post_transform", "NONE") == "NONE" &&
        attributes_.Text("aggregate_function", "SUM") == "SUM" &&
        attributes_.Int("n_targets", 1) >= 1 &&
        attributes_.Int("n_targets", 1) <= static_cast<std::int64_t>(limits::kClasses) &&
        attributes_.Floats("base_values").size() <=
            (attributes_.Int("n_targets", 1) == 1 ? 1U : 0U))
      return {};
    return Unexplained("its trees do not add up to one margin, or one a class");
  }

  Status CheckFit(std::string_view name, std::size_t found, std::size_t wanted) const {
    if (attributes_.Has(name) && found == wanted) return {};
    return Unexplained("its trees' {} does not fit their nodes", name);
  }
  Status FindInts(std::string_view name, std::size_t count,
                  std::span<const std::int64_t>& found) const {
    found = attributes_.Ints(name);
    return CheckFit(name, found.size(), count);
  }
  Status FindFloats(std::string_view name, std::size_t count, std::span<const float>& found) const {
    found = attributes_.Floats(name);
    return CheckFit(name, found.size(), count);
  }

  Status FindArrays() {
    tree_ids_ = attributes_.Ints("nodes_treeids");
    const std::size_t nodes = tree_ids_.size();
    if (nodes == 0) return Unexplained("its ensemble has no trees");
    SKERRY_RETURN_IF_ERROR(FindInts("nodes_nodeids", nodes, node_ids_));
    SKERRY_RETURN_IF_ERROR(FindInts("nodes_featureids", nodes, feature_ids_));
    SKERRY_RETURN_IF_ERROR(FindFloats("nodes_values", nodes, values_));
    modes_ = &attributes_.Texts("nodes_modes");
    SKERRY_RETURN_IF_ERROR(
        CheckFit("nodes_modes", static_cast<std::size_t>(modes_->size()), nodes));
    SKERRY_RETURN_IF_ERROR(FindInts("nodes_truenodeids", nodes, lefts_));
    SKERRY_RETURN_IF_ERROR(FindInts("nodes_falsenodeids", nodes, rights_));
    SKERRY_RETURN_IF_ERROR(FindInts("nodes_missing_value_tracks_true", nodes, missing_));
    if (!attributes_.Has("nodes_hitrates"))
      return Unexplained(
          "its trees carry no covers (nodes_hitrates), which contributions are weighted by; train "
          "it anew with this version");
    return FindFloats("nodes_hitrates", nodes, covers_);
  }

  // Nodes come tree by tree, each tree's in the order of their ids.
  Status ReadNodes(TreeEnsemble& ensemble) const {
    for (std::size_t i = 0; i < tree_ids_.size(); ++i) {
      const std::int64_t tree = tree_ids_[i];
      if (tree == static_cast<std::int64_t>(ensemble.trees.size())) ensemble.trees.emplace_back();
      if (tree != static_cast<std::int64_t>(ensemble.trees.size()) - 1 ||
          node_ids_[i] != static_cast<std::int64_t>(ensemble.trees.back().size()))
        return Unexplained("its trees' nodes are not numbered in order");
      TreeNode& node = ensemble.trees.back().emplace_back();
      node.cover = covers_[i];
      const std::string& mode = (*modes_)[static_cast<int>(i)];
      if (mode == "LEAF") continue;
      if (mode != "BRANCH_LT" && mode != "BRANCH_EQ")
        return Unexplained("its trees have a node of mode {}", mode.substr(0, 32));
      const std::int64_t feature = feature_ids_[i];
      constexpr std::int64_t kMostNodes = std::numeric_limits<int>::max();
      if (feature < 0 || feature >= static_cast<std::int64_t>(features_) || lefts_[i] <= 0 ||
          rights_[i] <= 0 || lefts_[i] > kMostNodes || rights_[i] > kMostNodes)
        return Unexplained("its trees have a node that splits nothing");
      node.feature = static_cast<int>(feature);
      node.left = static_cast<int>(lefts_[i]);
      node.right = static_cast<int>(rights_[i]);
      node.missing_left = missing_[i] != 0;
      if (mode == "BRANCH_LT") {
        node.threshold = values_[i];
        continue;
      }
      // What equals goes right here, and left of what is true there.
      std::swap(node.left, node.right);
      node.missing_left = !node.missing_left;
      node.categories = {values_[i]};
    }
    for (Tree& tree : ensemble.trees) JoinChains(tree);
    return {};
  }

  // A chain of splits off the same feature into the same node is one split by categories. What was
  // joined stays behind as a node that nothing leads to.
  static void JoinChains(Tree& tree) {
    for (TreeNode& node : tree) {
      while (!node.categories.empty() && static_cast<std::size_t>(node.left) < tree.size()) {
        const TreeNode& next = tree[static_cast<std::size_t>(node.left)];
        if (&next == &node || next.categories.empty() || next.feature != node.feature ||
            next.right != node.right || next.missing_left != node.missing_left)
          break;
        node.categories.insert(node.categories.end(), next.categories.begin(),
                               next.categories.end());
        node.left = next.left;
        if (node.categories.size() > limits::kCategoriesPerField + 1) break;
      }
      std::sort(node.categories.begin(), node.categories.end());
    }
  }

  Status ReadLeaves(TreeEnsemble& ensemble) const {
    const auto weights = attributes_.Floats("target_weights");
    std::span<const std::int64_t> trees, nodes, targets;
    SKERRY_RETURN_IF_ERROR(FindInts("target_ids", weights.size(), targets));
    SKERRY_RETURN_IF_ERROR(FindInts("target_treeids", weights.size(), trees));
    SKERRY_RETURN_IF_ERROR(FindInts("target_nodeids", weights.size(), nodes));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto tree = static_cast<std::uint64_t>(trees[i]);
      const auto node = static_cast<std::uint64_t>(nodes[i]);
      if (tree >= ensemble.trees.size() || node >= ensemble.trees[tree].size() ||
          !ensemble.trees[tree][node].is_leaf() || !std::isfinite(weights[i]))
        return Unexplained("its trees have a weight that is no leaf's");
      if (targets[i] != static_cast<std::int64_t>(tree % ensemble.outputs))
        return Unexplained("its trees are not of the classes in turn");
      ensemble.trees[tree][node].value += weights[i];
    }
    return {};
  }

  // The mean of the leaves below by cover; checks what is below meanwhile.
  Result<double> Expect(const Tree& tree, std::size_t index, std::size_t depth,
                        std::size_t& deepest) {
    if (index >= tree.size() || visited_[index] != 0)
      return Unexplained("its trees are no trees: a node has two parents, or is not there");
    if (depth > limits::kExplainedDepth)
      return Unexplained("its trees are deeper than {} (kExplainedDepth)", limits::kExplainedDepth);
    visited_[index] = 1;
    deepest = std::max(deepest, depth);
    const TreeNode& node = tree[index];
    if (!(node.cover >= 0) || !std::isfinite(node.cover))
      return Unexplained("its trees have a cover of {}", node.cover);
    if (node.is_leaf()) return node.value;
    const auto left = static_cast<std::size_t>(node.left);
    const auto right = static_cast<std::size_t>(node.right);
    SKERRY_ASSIGN_OR_RETURN(const double of_left, Expect(tree, left, depth + 1, deepest));
    SKERRY_ASSIGN_OR_RETURN(const double of_right, Expect(tree, right, depth + 1, deepest));
    const double cover = node.cover;
    const double below = static_cast<double>(tree[left].cover) + tree[right].cover;
    if (!(cover > 0) || std::abs(below - cover) > kCoverSlack * cover)
      return Unexplained("its trees' covers (nodes_hitrates) do not add up: {} above {} and {}",
                         node.cover, tree[left].cover, tree[right].cover);
    return (tree[left].cover * of_left + tree[right].cover * of_right) / cover;
  }

  const OnnxAttributes attributes_;
  const std::size_t features_;
  std::span<const std::int64_t> tree_ids_, node_ids_, feature_ids_, lefts_, rights_, missing_;
  std::span<const float> values_, covers_;
  const OnnxAttributes::Strings* modes_ = nullptr;
  std::vector<char> visited_;  // nodes of the tree that is looked at
};

}  // namespace

Result<TreeEnsemble> ReadTreeEnsemble(std::string_view onnx, std::size_t features) {
  if (onnx.size() > limits::kExplainedModelBytes)
    return Unexplained("it has {} bytes, explained are models of up to {} (kExplainedModelBytes)",
                       onnx.size(), limits::kExplainedModelBytes);
  onnx::ModelProto model;
  if (!model.ParseFromArray(onnx.data(), static_cast<int>(onnx.size())))
    return Fail(ErrorCode::kDataLoss, "it is no ONNX");
  SKERRY_RETURN_IF_ERROR(CheckGraph(model.graph()));
  return RegressorReader(model.graph().node(0), features).Read();
}

}  // namespace skerry
