// Graph outputs that are no tensors, as tree converters emit them, come back as plain tensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx-ml.pb.h>

#include "model/session.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void AddInput(onnx::GraphProto& graph, const char* name) {
  auto* input = graph.add_input();
  input->set_name(name);
  auto* tensor = input->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(onnx::TensorProto::FLOAT);
  tensor->mutable_shape()->add_dim()->set_dim_param("n");
  tensor->mutable_shape()->add_dim()->set_dim_value(2);
}

// "zip": one map a row of "a", with the keys 7 and 9; "pair": the sequence (a, b).
std::unique_ptr<OnnxSession> LoadModel() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  auto* domain = model.add_opset_import();
  domain->set_domain("ai.onnx.ml");
  domain->set_version(3);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("outputs");
  AddInput(graph, "a");
  AddInput(graph, "b");
  auto* zip = graph.add_node();
  zip->set_op_type("ZipMap");
  zip->set_domain("ai.onnx.ml");
  zip->add_input("a");
  zip->add_output("zip");
  auto* labels = zip->add_attribute();
  labels->set_name("classlabels_int64s");
  labels->set_type(onnx::AttributeProto::INTS);
  labels->add_ints(7);
  labels->add_ints(9);
  auto* pair = graph.add_node();
  pair->set_op_type("SequenceConstruct");
  pair->add_input("a");
  pair->add_input("b");
  pair->add_output("pair");
  auto* map_output = graph.add_output();
  map_output->set_name("zip");
  auto* map = map_output->mutable_type()->mutable_sequence_type()->mutable_elem_type();
  map->mutable_map_type()->set_key_type(onnx::TensorProto::INT64);
  map->mutable_map_type()->mutable_value_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::FLOAT);
  auto* sequence = graph.add_output();
  sequence->set_name("pair");
  sequence->mutable_type()
      ->mutable_sequence_type()
      ->mutable_elem_type()
      ->mutable_tensor_type()
      ->set_elem_type(onnx::TensorProto::FLOAT);
  return OnnxSession::LoadBytes(model.SerializeAsString(), "outputs").value();
}

Tensor Rows(std::string name, std::vector<float> values) {
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.Resize(TensorType::kFloat32, {static_cast<std::int64_t>(values.size() / 2), 2});
  std::copy(values.begin(), values.end(), tensor.MutableView<float>().begin());
  return tensor;
}

TEST(PlainOutputs, MapsBecomeValuesAndKeys) {
  const auto session = LoadModel();
  const std::vector<Tensor> given = {Rows("a", {0.25, 0.75, 1, 0}), Rows("b", {0, 0, 0, 0})};
  const auto outputs = session->Run(given);
  ASSERT_TRUE(outputs) << outputs.error().message();
  ASSERT_EQ(outputs->size(), 3U);
  EXPECT_EQ((*outputs)[0].name, "zip");
  EXPECT_THAT((*outputs)[0].shape, ElementsAre(2, 2));
  EXPECT_THAT((*outputs)[0].View<float>(), ElementsAre(0.25F, 0.75F, 1, 0));
  EXPECT_EQ((*outputs)[1].name, "zip_keys");
  EXPECT_THAT((*outputs)[1].View<std::int64_t>(), ElementsAre(7, 9));
  const auto keys = session->Run(given, std::vector<std::string>{"zip_keys"});
  ASSERT_TRUE(keys) << keys.error().message();
  EXPECT_EQ(keys->size(), 1U);
}

TEST(PlainOutputs, SequencesOfOneShapeAreStacked) {
  const auto session = LoadModel();
  const std::vector<Tensor> given = {Rows("a", {1, 2}), Rows("b", {3, 4})};
  const auto outputs = session->Run(given, std::vector<std::string>{"pair"});
  ASSERT_TRUE(outputs) << outputs.error().message();
  EXPECT_THAT((*outputs)[0].shape, ElementsAre(2, 1, 2));
  EXPECT_THAT((*outputs)[0].View<float>(), ElementsAre(1, 2, 3, 4));
  const std::vector<Tensor> ragged = {Rows("a", {1, 2}), Rows("b", {3, 4, 5, 6})};
  const auto refused = session->Run(ragged, std::vector<std::string>{"pair"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnimplemented);
  EXPECT_THAT(refused.error().message(), HasSubstr("equal shapes"));
}

}  // namespace
}  // namespace skerry
