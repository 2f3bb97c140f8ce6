#include "train/onnx_export.h"

#include <onnx-ml.pb.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "train/onnx_graph.h"

namespace skerry {
namespace {

constexpr std::int64_t kMlOpset = 3;

// The parallel arrays that TreeEnsembleRegressor wants (ONNX operators, ai.onnx.ml, version 3).
class TreeEnsembleNode {
 public:
  // Tree i is of target i % targets.
  explicit TreeEnsembleNode(onnx::NodeProto& node, std::size_t targets = 1)
      : node_(node), targets_(targets) {
    node_.set_op_type("TreeEnsembleRegressor");
    node_.set_domain("ai.onnx.ml");
    AddInt("n_targets", static_cast<std::int64_t>(targets));
  }

  // Settings are added before the trees.
  void AddText(const char* name, const char* value) {
    onnx::AttributeProto& attribute = Add(name, onnx::AttributeProto::STRING);
    attribute.set_s(value);
  }
  void AddInt(const char* name, std::int64_t value) {
    Add(name, onnx::AttributeProto::INT).set_i(value);
  }
  void AddFloats(const char* name, std::span<const float> values) {
    onnx::AttributeProto& attribute = Add(name, onnx::AttributeProto::FLOATS);
    for (const float value : values) attribute.add_floats(value);
  }

  // Covers, where the trees have them, as nodes_hitrates. A split by category is a chain of
  // BRANCH_EQ nodes with one true child, as ONNX Runtime takes for set membership: the split's own
  // node first, the others behind the tree's.
  void AddTrees(const std::vector<Tree>& trees) {
    covers_ = !trees.empty() && trees.back()[0].cover > 0;
    for (const Tree& tree : trees) AddTree(tree);
    if (!covers_) return;
    onnx::AttributeProto& hitrates = Add("nodes_hitrates", onnx::AttributeProto::FLOATS);
    for (const float cover : hitrates_) hitrates.add_floats(cover);
  }

 private:
  void AddTree(const Tree& tree) {
    const auto id = static_cast<std::int64_t>(trees_++);
    std::vector<TreeNode> links;  // of chains, beyond their first nodes
    for (std::size_t i = 0; i < tree.size(); ++i) {
      const TreeNode& node = tree[i];
      const auto index = static_cast<std::int64_t>(i);
      if (node.is_leaf()) {
        AddNode(id, index, node, "LEAF", 0, 0, 0);
        target_trees_.add_ints(id);
        target_nodes_.add_ints(index);
        target_ids_.add_ints(id % static_cast<std::int64_t>(targets_));
        weights_.add_floats(node.value);
      } else if (node.categories.empty()) {
        AddNode(id, index, node, "BRANCH_LT", node.threshold, node.left, node.right);
      } else {
        AddLink(id, index, node, tree.size(), links);
      }
    }
    for (std::size_t i = 0; i < links.size(); ++i)
      AddNode(id, static_cast<std::int64_t>(tree.size() + i), links[i], "BRANCH_EQ",
              links[i].threshold, links[i].right, links[i].left);
  }

  // The first node of a chain; appends the others, whose left is the node after them.
  void AddLink(std::int64_t tree, std::int64_t index, const TreeNode& node, std::size_t nodes,
               std::vector<TreeNode>& links) {
    const std::size_t more = node.categories.size() - 1;
    const auto next = static_cast<int>(nodes + links.size());
    AddNode(tree, index, node, "BRANCH_EQ", node.categories[0], node.right,
            more == 0 ? node.left : next);
    for (std::size_t k = 1; k <= more; ++k) {
      TreeNode link = node;
      link.threshold = node.categories[k];
      link.left = k == more ? node.left : next + static_cast<int>(k);
      links.push_back(std::move(link));
    }
  }

  void AddNode(std::int64_t tree, std::int64_t index, const TreeNode& node, const char* mode,
               float value, int yes, int no) {
    const bool equals = !node.categories.empty();
    tree_ids_.add_ints(tree);
    node_ids_.add_ints(index);
    features_.add_ints(node.is_leaf() ? 0 : node.feature);
    values_.add_floats(value);
    modes_.add_strings(mode);
    trues_.add_ints(yes);
    falses_.add_ints(no);
    missing_.add_ints(!node.is_leaf() && node.missing_left != equals ? 1 : 0);
    hitrates_.push_back(node.cover);
  }
  onnx::AttributeProto& Add(const char* name, onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }
  using Type = onnx::AttributeProto;
  onnx::NodeProto& node_;
  const std::size_t targets_;
  std::size_t trees_ = 0;
  bool covers_ = false;
  std::vector<float> hitrates_;
  // References into `node_`: its attributes are allocated one by one.
  onnx::AttributeProto& tree_ids_ = Add("nodes_treeids", Type::INTS);
  onnx::AttributeProto& node_ids_ = Add("nodes_nodeids", Type::INTS);
  onnx::AttributeProto& features_ = Add("nodes_featureids", Type::INTS);
  onnx::AttributeProto& values_ = Add("nodes_values", Type::FLOATS);
  onnx::AttributeProto& modes_ = Add("nodes_modes", Type::STRINGS);
  onnx::AttributeProto& trues_ = Add("nodes_truenodeids", Type::INTS);
  onnx::AttributeProto& falses_ = Add("nodes_falsenodeids", Type::INTS);
  onnx::AttributeProto& missing_ = Add("nodes_missing_value_tracks_true", Type::INTS);
  onnx::AttributeProto& target_trees_ = Add("target_treeids", Type::INTS);
  onnx::AttributeProto& target_nodes_ = Add("target_nodeids", Type::INTS);
  onnx::AttributeProto& target_ids_ = Add("target_ids", Type::INTS);
  onnx::AttributeProto& weights_ = Add("target_weights", Type::FLOATS);
};

onnx::ModelProto StartTrees(const char* graph, std::size_t features) {
  onnx::ModelProto model = StartGraph(graph, features);
  onnx::OperatorSetIdProto& ml = *model.add_opset_import();
  ml.set_domain("ai.onnx.ml");
  ml.set_version(kMlOpset);
  return model;
}

void AddAxis(onnx::NodeProto& node) {
  onnx::AttributeProto& axis = *node.add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(1);
}

// Nodes of their own: ONNX Runtime leaves post_transform LOGISTIC out where there is one target.
void AddLogistic(onnx::GraphProto& graph) {
  AddGraphNode(graph, "Sigmoid", {"margin"}, "positive");
  AddNumberConstant(graph, "one", 1);
  AddGraphNode(graph, "Sub", {"one", "positive"}, "negative");
  AddAxis(AddGraphNode(graph, "Concat", {"negative", "positive"}, "probabilities"));
}

}  // namespace

std::string ExportBoostedTrees(const BoostedTrees& ensemble, std::size_t features) {
  onnx::ModelProto model = StartTrees("boosted_trees", features);
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::size_t outputs = ensemble.base_margins.size();
  const bool identity = ensemble.link == MarginLink::kIdentity;
  TreeEnsembleNode trees(
      AddGraphNode(graph, "TreeEnsembleRegressor", {"input"}, identity ? "value" : "margin"),
      outputs);
  trees.AddText("post_transform", "NONE");
  // The base margins are trees of one leaf each, since XGBoost adds the others to them, in float32
  // and in this order; base_values would be added at the end.
  std::vector<Tree> all;
  for (const float margin : ensemble.base_margins) all.push_back({{.value = margin}});
  all.insert(all.end(), ensemble.trees.begin(), ensemble.trees.end());
  trees.AddTrees(all);
  switch (ensemble.link) {
    case MarginLink::kLogistic: AddLogistic(graph); break;
    case MarginLink::kSoftmax:
      AddAxis(AddGraphNode(graph, "Softmax", {"margin"}, "probabilities"));
      break;
    case MarginLink::kExp: AddGraphNode(graph, "Exp", {"margin"}, "value"); break;
    case MarginLink::kIdentity: break;
  }
  if (ensemble.link == MarginLink::kLogistic || ensemble.link == MarginLink::kSoftmax)
    DescribeMatrix(*graph.add_output(), "probabilities", std::max<std::size_t>(outputs, 2));
  else
    DescribeMatrix(*graph.add_output(), "value", 1);
  return SerializeGraph(model);
}

std::string ExportIsolationForest(const IsolationForest& forest, std::size_t features) {
  onnx::ModelProto model = StartTrees("isolation_forest", features);
  onnx::GraphProto& graph = *model.mutable_graph();
  TreeEnsembleNode trees(AddGraphNode(graph, "TreeEnsembleRegressor", {"input"}, "path_sum"));
  trees.AddText("post_transform", "NONE");
  trees.AddText("aggregate_function", "SUM");
  trees.AddTrees(forest.trees);
  // 2^(-sum / (trees * c)) as e^(sum * scale).
  const double scale =
      -std::log(2.0) / (static_cast<double>(forest.trees.size()) * forest.normal_path);
  AddNumberConstant(graph, "scale", static_cast<float>(scale));
  AddGraphNode(graph, "Mul", {"path_sum", "scale"}, "exponent");
  AddGraphNode(graph, "Exp", {"exponent"}, "anomaly_score");
  DescribeMatrix(*graph.add_output(), "anomaly_score", 1);
  return SerializeGraph(model);
}

}  // namespace skerry
