#include "train/onnx_export.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx-ml.pb.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace skerry {
namespace {

constexpr std::int64_t kIrVersion = 8;
constexpr std::int64_t kOpset = 17;
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

  // Covers, where the trees have them, as nodes_hitrates.
  void AddTrees(const std::vector<Tree>& trees) {
    onnx::AttributeProto& tree_ids = Add("nodes_treeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& node_ids = Add("nodes_nodeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& features = Add("nodes_featureids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& values = Add("nodes_values", onnx::AttributeProto::FLOATS);
    onnx::AttributeProto& modes = Add("nodes_modes", onnx::AttributeProto::STRINGS);
    onnx::AttributeProto& lefts = Add("nodes_truenodeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& rights = Add("nodes_falsenodeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& missing =
        Add("nodes_missing_value_tracks_true", onnx::AttributeProto::INTS);
    onnx::AttributeProto& target_trees = Add("target_treeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& target_nodes = Add("target_nodeids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& target_ids = Add("target_ids", onnx::AttributeProto::INTS);
    onnx::AttributeProto& weights = Add("target_weights", onnx::AttributeProto::FLOATS);
    for (std::size_t tree = 0; tree < trees.size(); ++tree) {
      for (std::size_t i = 0; i < trees[tree].size(); ++i) {
        const TreeNode& node = trees[tree][i];
        const bool leaf = node.is_leaf();
        tree_ids.add_ints(static_cast<std::int64_t>(tree));
        node_ids.add_ints(static_cast<std::int64_t>(i));
        features.add_ints(leaf ? 0 : node.feature);
        values.add_floats(leaf ? 0 : node.threshold);
        modes.add_strings(leaf ? "LEAF" : "BRANCH_LT");
        lefts.add_ints(leaf ? 0 : node.left);
        rights.add_ints(leaf ? 0 : node.right);
        missing.add_ints(!leaf && node.missing_left ? 1 : 0);
        if (!leaf) continue;
        target_trees.add_ints(static_cast<std::int64_t>(tree));
        target_nodes.add_ints(static_cast<std::int64_t>(i));
        target_ids.add_ints(static_cast<std::int64_t>(tree % targets_));
        weights.add_floats(node.value);
      }
    }
    if (!trees.empty() && trees[0][0].cover > 0) AddCovers(trees);
  }

 private:
  void AddCovers(const std::vector<Tree>& trees) {
    onnx::AttributeProto& covers = Add("nodes_hitrates", onnx::AttributeProto::FLOATS);
    for (const Tree& tree : trees)
      for (const TreeNode& node : tree) covers.add_floats(node.cover);
  }
  onnx::AttributeProto& Add(const char* name, onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }
  onnx::NodeProto& node_;
  const std::size_t targets_;
};

void DescribeMatrix(onnx::ValueInfoProto& value, const char* name, std::size_t columns) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  tensor.mutable_shape()->add_dim()->set_dim_param("N");
  tensor.mutable_shape()->add_dim()->set_dim_value(static_cast<std::int64_t>(columns));
}

onnx::ModelProto StartModel(const char* graph, std::size_t features) {
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("skerry");
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
  onnx::OperatorSetIdProto& ml = *model.add_opset_import();
  ml.set_domain("ai.onnx.ml");
  ml.set_version(kMlOpset);
  model.mutable_graph()->set_name(graph);
  DescribeMatrix(*model.mutable_graph()->add_input(), "input", features);
  return model;
}

void AddConstant(onnx::GraphProto& graph, const char* name, float value) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_float_data(value);
}

onnx::NodeProto& AddNode(onnx::GraphProto& graph, const char* op,
                         std::initializer_list<const char*> inputs, const char* output) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(output);
  for (const char* input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

void AddAxis(onnx::NodeProto& node) {
  onnx::AttributeProto& axis = *node.add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(1);
}

// Nodes of their own: ONNX Runtime leaves post_transform LOGISTIC out where there is one target.
void AddLogistic(onnx::GraphProto& graph) {
  AddNode(graph, "Sigmoid", {"margin"}, "positive");
  AddConstant(graph, "one", 1);
  AddNode(graph, "Sub", {"one", "positive"}, "negative");
  AddAxis(AddNode(graph, "Concat", {"negative", "positive"}, "probabilities"));
}

std::string Serialize(const onnx::ModelProto& model) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    model.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace

std::string ExportBoostedTrees(const BoostedTrees& ensemble, std::size_t features) {
  onnx::ModelProto model = StartModel("boosted_trees", features);
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::size_t outputs = ensemble.base_margins.size();
  const bool identity = ensemble.link == Link::kIdentity;
  TreeEnsembleNode trees(
      AddNode(graph, "TreeEnsembleRegressor", {"input"}, identity ? "value" : "margin"), outputs);
  trees.AddText("post_transform", "NONE");
  trees.AddFloats("base_values", ensemble.base_margins);
  trees.AddTrees(ensemble.trees);
  switch (ensemble.link) {
    case Link::kLogistic: AddLogistic(graph); break;
    case Link::kSoftmax: AddAxis(AddNode(graph, "Softmax", {"margin"}, "probabilities")); break;
    case Link::kExp: AddNode(graph, "Exp", {"margin"}, "value"); break;
    case Link::kIdentity: break;
  }
  if (ensemble.link == Link::kLogistic || ensemble.link == Link::kSoftmax)
    DescribeMatrix(*graph.add_output(), "probabilities", std::max<std::size_t>(outputs, 2));
  else
    DescribeMatrix(*graph.add_output(), "value", 1);
  return Serialize(model);
}

std::string ExportIsolationForest(const IsolationForest& forest, std::size_t features) {
  onnx::ModelProto model = StartModel("isolation_forest", features);
  onnx::GraphProto& graph = *model.mutable_graph();
  TreeEnsembleNode trees(AddNode(graph, "TreeEnsembleRegressor", {"input"}, "path_sum"));
  trees.AddText("post_transform", "NONE");
  trees.AddText("aggregate_function", "SUM");
  trees.AddTrees(forest.trees);
  // 2^(-sum / (trees * c)) as e^(sum * scale).
  const double scale =
      -std::log(2.0) / (static_cast<double>(forest.trees.size()) * forest.normal_path);
  AddConstant(graph, "scale", static_cast<float>(scale));
  AddNode(graph, "Mul", {"path_sum", "scale"}, "exponent");
  AddNode(graph, "Exp", {"exponent"}, "anomaly_score");
  DescribeMatrix(*graph.add_output(), "anomaly_score", 1);
  return Serialize(model);
}

}  // namespace skerry
