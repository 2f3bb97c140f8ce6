#include "model/tests/fixture_package.h"

#include <onnx-ml.pb.h>

#include <cstdlib>
#include <fstream>
#include <string_view>

#include "storage/file.h"

namespace skerry::fixture {
namespace {

void AddValue(onnx::ValueInfoProto* value, const std::string& name, int type,
              const std::vector<std::int64_t>& shape) {
  value->set_name(name);
  auto* tensor = value->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  for (const std::int64_t dimension : shape) {
    auto* one = tensor->mutable_shape()->add_dim();
    if (dimension >= 0)
      one->set_dim_value(dimension);
    else
      one->set_dim_param("N");
  }
}

onnx::NodeProto* AddNode(onnx::GraphProto* graph, const std::string& op,
                         const std::vector<std::string>& in, const std::string& out) {
  auto* node = graph->add_node();
  node->set_op_type(op);
  for (const std::string& name : in) node->add_input(name);
  node->add_output(out);
  return node;
}

onnx::AttributeProto* AddAttribute(onnx::NodeProto* node, const std::string& name,
                                   onnx::AttributeProto::AttributeType type) {
  auto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(type);
  return attribute;
}

void AddInts(onnx::NodeProto* node, const std::string& name,
             const std::vector<std::int64_t>& values) {
  auto* attribute = AddAttribute(node, name, onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute->add_ints(value);
}

void AddFloats(onnx::NodeProto* node, const std::string& name, const std::vector<float>& values) {
  auto* attribute = AddAttribute(node, name, onnx::AttributeProto::FLOATS);
  for (const float value : values) attribute->add_floats(value);
}

onnx::ModelProto StartModel(std::int64_t opset) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.set_producer_name("fixture");
  auto* standard = model.add_opset_import();
  standard->set_domain("");
  standard->set_version(opset);
  auto* trees = model.add_opset_import();
  trees->set_domain("ai.onnx.ml");
  trees->set_version(3);
  model.mutable_graph()->set_name("fixture");
  return model;
}

// A tree of one split and two leaves.
void AddTree(onnx::GraphProto* graph, const TreeModel& tree, const std::string& output) {
  auto* node = AddNode(graph, "TreeEnsembleRegressor", {tree.input}, output);
  node->set_domain("ai.onnx.ml");
  AddAttribute(node, "n_targets", onnx::AttributeProto::INT)->set_i(1);
  AddInts(node, "nodes_treeids", {0, 0, 0});
  AddInts(node, "nodes_nodeids", {0, 1, 2});
  AddInts(node, "nodes_featureids", {tree.feature, 0, 0});
  AddFloats(node, "nodes_values", {tree.split, 0, 0});
  AddInts(node, "nodes_truenodeids", {1, 0, 0});
  AddInts(node, "nodes_falsenodeids", {2, 0, 0});
  AddInts(node, "nodes_missing_value_tracks_true", {1, 0, 0});
  auto* modes = AddAttribute(node, "nodes_modes", onnx::AttributeProto::STRINGS);
  for (const char* mode : {tree.explained ? "BRANCH_LT" : "BRANCH_LEQ", "LEAF", "LEAF"})
    modes->add_strings(mode);
  if (tree.explained) AddFloats(node, "nodes_hitrates", {10, 7, 3});
  AddInts(node, "target_treeids", {0, 0});
  AddInts(node, "target_nodeids", {1, 2});
  AddInts(node, "target_ids", {0, 0});
  AddFloats(node, "target_weights", {tree.low, tree.high});
}

}  // namespace

std::string TreeModelBytes(const TreeModel& tree) {
  onnx::ModelProto model = StartModel(tree.opset);
  onnx::GraphProto* graph = model.mutable_graph();
  const bool predictor = tree.output == "probabilities";
  AddValue(graph->add_input(), tree.input, onnx::TensorProto::FLOAT,
           {tree.fixed_rows, tree.features});
  AddValue(graph->add_output(), tree.output, onnx::TensorProto::FLOAT,
           {tree.fixed_rows, predictor ? 2 : 1});
  AddTree(graph, tree, tree.explained ? "margin" : predictor ? "positive" : tree.output);
  if (tree.explained) AddNode(graph, "Sigmoid", {"margin"}, "positive");
  if (predictor) {
    auto* one = graph->add_initializer();
    one->set_name("one");
    one->set_data_type(onnx::TensorProto::FLOAT);
    one->add_dims(1);
    one->add_float_data(1);
    AddNode(graph, "Sub", {"one", "positive"}, "negative");
    auto* concat = AddNode(graph, "Concat", {"negative", "positive"}, tree.output);
    AddAttribute(concat, "axis", onnx::AttributeProto::INT)->set_i(1);
  }
  return model.SerializeAsString();
}

std::string AddModelBytes() {
  onnx::ModelProto model = StartModel(17);
  onnx::GraphProto* graph = model.mutable_graph();
  AddValue(graph->add_input(), "a", onnx::TensorProto::FLOAT, {-1, 2});
  AddValue(graph->add_input(), "b", onnx::TensorProto::FLOAT, {-1, 2});
  AddValue(graph->add_output(), "sum", onnx::TensorProto::FLOAT, {-1, 2});
  AddNode(graph, "Add", {"a", "b"}, "sum");
  return model.SerializeAsString();
}

std::string WordModelBytes() {
  onnx::ModelProto model = StartModel(17);
  onnx::GraphProto* graph = model.mutable_graph();
  AddValue(graph->add_input(), "word", onnx::TensorProto::STRING, {-1});
  AddValue(graph->add_output(), "word_out", onnx::TensorProto::STRING, {-1});
  AddNode(graph, "Identity", {"word"}, "word_out");
  return model.SerializeAsString();
}

std::string ManyTensorsModelBytes() {
  onnx::ModelProto model = StartModel(17);
  onnx::GraphProto* graph = model.mutable_graph();
  AddValue(graph->add_input(), "a", onnx::TensorProto::FLOAT, {-1, 2});
  AddValue(graph->add_input(), "b", onnx::TensorProto::FLOAT, {-1, 2});
  AddValue(graph->add_output(), "sum", onnx::TensorProto::FLOAT, {-1, 2});
  AddNode(graph, "Add", {"a", "b"}, "sum");
  struct Pass {
    const char* name;
    int type;
    std::vector<std::int64_t> shape;
  };
  const std::vector<Pass> passes = {{"flag", onnx::TensorProto::BOOL, {-1}},
                                    {"count", onnx::TensorProto::INT64, {-1}},
                                    {"word", onnx::TensorProto::STRING, {-1}},
                                    {"wide", onnx::TensorProto::DOUBLE, {2, 2}}};
  for (const Pass& pass : passes) {
    const std::string out = std::string(pass.name) + "_out";
    AddValue(graph->add_input(), pass.name, pass.type, pass.shape);
    AddValue(graph->add_output(), out, pass.type, pass.shape);
    AddNode(graph, "Identity", {pass.name}, out);
  }
  return model.SerializeAsString();
}

ModelSchema Schema() {
  ModelSchema schema;
  schema.model = "milling";
  schema.task = ModelTask::kBinary;
  schema.label_column = "Machine failure";
  schema.positive = "1";
  schema.classes = {"0", "1"};
  schema.fields = {
      {"type", "Type", FieldRole::kFeature, FieldType::kCategory, {"L", "M", "H"}},
      {"torque_nm", "Torque [Nm]", FieldRole::kFeature, FieldType::kNumber, {}},
      {"tool_wear_min", "Tool wear [min]", FieldRole::kFeature, FieldType::kNumber, {}},
      {"unit_id", "unit_id", FieldRole::kId, FieldType::kText, {}},
      {"operator_note", "operator_note", FieldRole::kContext, FieldType::kText, {}}};
  return schema;
}

ModelReference Reference() {
  ModelReference reference;
  reference.rows = 1000;
  reference.min_group = 5;
  reference.threshold = 0.5;
  reference.anomaly_threshold = 0.6;
  reference.score_edges = {0.2, 0.5};
  reference.score_counts = {900, 0, 100};
  reference.features = {{"type", 0, 0, {}, {600, 300, 100}, 0},
                        {"torque_nm", 10, 80, {30, 40, 50}, {250, 250, 250, 250}, 0},
                        {"tool_wear_min", 0, 250, {100, 200}, {400, 400, 190}, 10}};
  return reference;
}

void WriteBytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) std::abort();
}

void WritePackage(const std::filesystem::path& directory, const PackageFiles& files) {
  std::filesystem::create_directories(directory);
  ModelSchema schema = Schema();
  schema.model = files.name;
  schema.derived = files.derived;
  schema.windows = files.windows;
  WriteBytes(directory / "model.onnx", TreeModelBytes(files.model));
  WriteBytes(directory / "schema.json", DumpJsonPretty(schema.ToJson()));
  WriteBytes(directory / "reference.json", DumpJsonPretty(files.reference.ToJson()));
  WriteBytes(directory / "card.md", "# milling\n");
  if (!files.detector) return;
  TreeModel detector;
  detector.split = 70;
  detector.low = 0.3F;
  detector.high = 0.8F;
  detector.output = "anomaly_score";
  WriteBytes(directory / "detector.onnx", TreeModelBytes(detector));
}

std::shared_ptr<const ModelPackage> LoadFixture(const PackageFiles& files,
                                                const std::string& version) {
  const TemporaryDirectory directory = TemporaryDirectory::Create("fixture").value();
  WritePackage(directory.path(), files);
  return LoadPackage(directory.path(), {.name = files.name, .version = version}).value();
}

}  // namespace skerry::fixture
