#include "model/tree_ensemble.h"

#include <onnx-ml.pb.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

#include "base/limits.h"

namespace skerry {
namespace {

// Covers are sums that the trainer rounded to float32.
constexpr double kCoverSlack = 1e-2;

template <typename... Args>
tl::unexpected<Error> Unexplained(fmt::format_string<Args...> format, Args&&... args) {
  return Fail(ErrorCode::kUnimplemented, format, std::forward<Args>(args)...);
}

const onnx::AttributeProto* FindAttribute(const onnx::NodeProto& node, std::string_view name) {
  for (const onnx::AttributeProto& attribute : node.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

bool Takes(const onnx::NodeProto& node, std::string_view op,
           std::initializer_list<std::string_view> inputs) {
  return node.op_type() == op && node.output_size() == 1 &&
         std::equal(node.input().begin(), node.input().end(), inputs.begin(), inputs.end());
}

// input -> trees -> logistic function -> (1 - p, p): what gives the margin its meaning.
Status CheckGraph(const onnx::GraphProto& graph) {
  const auto& nodes = graph.node();
  const bool known = nodes.size() == 4 && Takes(nodes[0], "TreeEnsembleRegressor", {"input"}) &&
                     Takes(nodes[1], "Sigmoid", {nodes[0].output(0)}) &&
                     graph.initializer_size() == 1 && graph.initializer(0).float_data_size() == 1 &&
                     graph.initializer(0).float_data(0) == 1 &&
                     Takes(nodes[2], "Sub", {graph.initializer(0).name(), nodes[1].output(0)}) &&
                     Takes(nodes[3], "Concat", {nodes[2].output(0), nodes[1].output(0)}) &&
                     nodes[3].output(0) == "probabilities";
  if (known) return {};
  std::string found;
  constexpr int kNamed = 4;
  for (int i = 0; i < std::min(kNamed, nodes.size()); ++i)
    found += fmt::format("{}{}", i == 0 ? "" : ", ", nodes[i].op_type());
  return Unexplained(
      "its graph is no tree ensemble as skerry train exports it (TreeEnsembleRegressor, Sigmoid, "
      "Sub, Concat): it has {} nodes ({}{})",
      nodes.size(), found, nodes.size() > kNamed ? ", ..." : "");
}

// The parallel arrays of a TreeEnsembleRegressor (ONNX operators, ai.onnx.ml, version 3).
class RegressorReader {
 public:
  RegressorReader(const onnx::NodeProto& node, std::size_t features)
      : node_(node), features_(features) {}

  Result<TreeEnsemble> Read() {
    SKERRY_RETURN_IF_ERROR(CheckSettings());
    SKERRY_RETURN_IF_ERROR(FindArrays());
    TreeEnsemble ensemble{.features = features_};
    if (const auto* base = FindAttribute(node_, "base_values"); base != nullptr)
      for (const float value : base->floats()) ensemble.base_margin += value;
    SKERRY_RETURN_IF_ERROR(ReadNodes(ensemble));
    SKERRY_RETURN_IF_ERROR(ReadLeaves(ensemble));
    ensemble.expected_margin = ensemble.base_margin;
    for (const Tree& tree : ensemble.trees) {
      visited_.assign(tree.size(), 0);
      SKERRY_ASSIGN_OR_RETURN(const double expected, Expect(tree, 0, 0, ensemble.depth));
      ensemble.expected_margin += expected;
    }
    return ensemble;
  }

 private:
  Status CheckSettings() const {
    const auto text_is = [this](const char* name, std::string_view wanted) {
      const auto* found = FindAttribute(node_, name);
      return found == nullptr || found->s() == wanted;
    };
    const auto* targets = FindAttribute(node_, "n_targets");
    const auto* base = FindAttribute(node_, "base_values");
    if (!text_is("post_transform", "NONE") || !text_is("aggregate_function", "SUM") ||
        (targets != nullptr && targets->i() != 1) || (base != nullptr && base->floats_size() > 1))
      return Unexplained("its trees do not add up to one margin");
    return {};
  }

  Result<const onnx::AttributeProto*> Array(const char* name, int size,
                                            int (onnx::AttributeProto::*count)() const) const {
    const auto* found = FindAttribute(node_, name);
    if (found == nullptr || (found->*count)() != size)
      return Unexplained("its trees' {} does not fit their nodes", name);
    return found;
  }

  Status FindArrays() {
    constexpr auto ints = &onnx::AttributeProto::ints_size;
    constexpr auto floats = &onnx::AttributeProto::floats_size;
    const auto* trees = FindAttribute(node_, "nodes_treeids");
    if (trees == nullptr || trees->ints_size() == 0)
      return Unexplained("its ensemble has no trees");
    tree_ids_ = trees;
    const int nodes = trees->ints_size();
    SKERRY_ASSIGN_OR_RETURN(node_ids_, Array("nodes_nodeids", nodes, ints));
    SKERRY_ASSIGN_OR_RETURN(feature_ids_, Array("nodes_featureids", nodes, ints));
    SKERRY_ASSIGN_OR_RETURN(values_, Array("nodes_values", nodes, floats));
    SKERRY_ASSIGN_OR_RETURN(modes_,
                            Array("nodes_modes", nodes, &onnx::AttributeProto::strings_size));
    SKERRY_ASSIGN_OR_RETURN(lefts_, Array("nodes_truenodeids", nodes, ints));
    SKERRY_ASSIGN_OR_RETURN(rights_, Array("nodes_falsenodeids", nodes, ints));
    SKERRY_ASSIGN_OR_RETURN(missing_, Array("nodes_missing_value_tracks_true", nodes, ints));
    if (FindAttribute(node_, "nodes_hitrates") == nullptr)
      return Unexplained(
          "its trees carry no covers (nodes_hitrates), which contributions are weighted by; train "
          "it anew with this version");
    SKERRY_ASSIGN_OR_RETURN(covers_, Array("nodes_hitrates", nodes, floats));
    return {};
  }

  // Nodes come tree by tree, each tree's in the order of their ids.
  Status ReadNodes(TreeEnsemble& ensemble) const {
    for (int i = 0; i < tree_ids_->ints_size(); ++i) {
      const std::int64_t tree = tree_ids_->ints(i);
      if (tree == static_cast<std::int64_t>(ensemble.trees.size())) ensemble.trees.emplace_back();
      if (tree != static_cast<std::int64_t>(ensemble.trees.size()) - 1 ||
          node_ids_->ints(i) != static_cast<std::int64_t>(ensemble.trees.back().size()))
        return Unexplained("its trees' nodes are not numbered in order");
      TreeNode& node = ensemble.trees.back().emplace_back();
      node.cover = covers_->floats(i);
      if (modes_->strings(i) == "LEAF") continue;
      if (modes_->strings(i) != "BRANCH_LT")
        return Unexplained("its trees have a node of mode {}", modes_->strings(i).substr(0, 32));
      const std::int64_t feature = feature_ids_->ints(i);
      constexpr std::int64_t kMostNodes = std::numeric_limits<int>::max();
      if (feature < 0 || feature >= static_cast<std::int64_t>(features_) || lefts_->ints(i) <= 0 ||
          rights_->ints(i) <= 0 || lefts_->ints(i) > kMostNodes || rights_->ints(i) > kMostNodes)
        return Unexplained("its trees have a node that splits nothing");
      node.feature = static_cast<int>(feature);
      node.threshold = values_->floats(i);
      node.missing_left = missing_->ints(i) != 0;
      node.left = static_cast<int>(lefts_->ints(i));
      node.right = static_cast<int>(rights_->ints(i));
    }
    return {};
  }

  Status ReadLeaves(TreeEnsemble& ensemble) const {
    constexpr auto ints = &onnx::AttributeProto::ints_size;
    const auto* weights = FindAttribute(node_, "target_weights");
    const int leaves = weights == nullptr ? 0 : weights->floats_size();
    SKERRY_ASSIGN_OR_RETURN(const auto* trees, Array("target_treeids", leaves, ints));
    SKERRY_ASSIGN_OR_RETURN(const auto* nodes, Array("target_nodeids", leaves, ints));
    for (int i = 0; i < leaves; ++i) {
      const auto tree = static_cast<std::uint64_t>(trees->ints(i));
      const auto node = static_cast<std::uint64_t>(nodes->ints(i));
      if (tree >= ensemble.trees.size() || node >= ensemble.trees[tree].size() ||
          !ensemble.trees[tree][node].is_leaf() || !std::isfinite(weights->floats(i)))
        return Unexplained("its trees have a weight that is no leaf's");
      ensemble.trees[tree][node].value += weights->floats(i);
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

  const onnx::NodeProto& node_;
  const std::size_t features_;
  const onnx::AttributeProto *tree_ids_ = nullptr, *node_ids_ = nullptr, *feature_ids_ = nullptr,
                             *values_ = nullptr, *modes_ = nullptr, *lefts_ = nullptr,
                             *rights_ = nullptr, *missing_ = nullptr, *covers_ = nullptr;
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
