// Graphs as converters make them become packages whose answers are the graphs' own.
#include "train/import_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx-ml.pb.h>

#include <cmath>
#include <fstream>

#include "model/package.h"
#include "storage/file.h"
#include "train/onnx_graph.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kWeights[] = {0.5F, -2.0F};

float Probability(float a, float b) {
  return 1 / (1 + std::exp(-(a * kWeights[0] + b * kWeights[1])));
}

void AddInput(onnx::ModelProto& model, const std::string& name, onnx::TensorProto::DataType type,
              std::int64_t columns) {
  onnx::ValueInfoProto& value = *model.mutable_graph()->add_input();
  DescribeMatrix(value, name, static_cast<std::size_t>(columns));
  value.mutable_type()->mutable_tensor_type()->set_elem_type(type);
}

onnx::ModelProto EmptyModel() {
  onnx::ModelProto model = StartGraph("made elsewhere", 1);
  model.mutable_graph()->clear_input();
  model.set_producer_name("test");
  return model;
}

// X [N,2] of the type -> logistic regression; the probability of class 1 is "p".
onnx::ModelProto Logistic(onnx::TensorProto::DataType type) {
  onnx::ModelProto model = EmptyModel();
  onnx::GraphProto& graph = *model.mutable_graph();
  AddInput(model, "X", type, 2);
  AddMatrixConstant(graph, "input", kWeights, 2, 1);  // a name that the package has a use for
  AddCast(graph, "X", "floats", onnx::TensorProto::FLOAT);
  AddGraphNode(graph, "MatMul", {"floats", "input"}, "margin");
  AddGraphNode(graph, "Sigmoid", {"margin"}, "p");
  return model;
}

// The same as tree converters end it: a map of the classes' probabilities for each row.
onnx::ModelProto WithMaps(onnx::ModelProto model) {
  onnx::GraphProto& graph = *model.mutable_graph();
  AddNumberConstant(graph, "one", 1);
  AddGraphNode(graph, "Sub", {"one", "p"}, "q");
  onnx::NodeProto& both = AddGraphNode(graph, "Concat", {"q", "p"}, "both");
  onnx::AttributeProto& axis = *both.add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(1);
  onnx::NodeProto& maps = AddGraphNode(graph, "ZipMap", {"both"}, "output_probability");
  maps.set_domain("ai.onnx.ml");
  onnx::AttributeProto& classes = *maps.add_attribute();
  classes.set_name("classlabels_strings");
  classes.set_type(onnx::AttributeProto::STRINGS);
  classes.add_strings("bad");
  classes.add_strings("good");
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("ai.onnx.ml");
  opset.set_version(3);
  onnx::ValueInfoProto& output = *graph.add_output();
  output.set_name("output_probability");
  auto& map =
      *output.mutable_type()->mutable_sequence_type()->mutable_elem_type()->mutable_map_type();
  map.set_key_type(onnx::TensorProto::STRING);
  map.mutable_value_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  return model;
}

class ImportModelTest : public testing::Test {
 protected:
  void SetUp() override { options_.label = "state"; }
  Result<ImportedModel> Import(const onnx::ModelProto& model, const std::string& sample) {
    EXPECT_TRUE(WriteFileDurably(directory_.path() / "graph.onnx", SerializeGraph(model)));
    EXPECT_TRUE(WriteFileDurably(directory_.path() / "sample.csv", sample));
    options_.model = directory_.path() / "graph.onnx";
    options_.sample = directory_.path() / "sample.csv";
    options_.name = "lathe";
    options_.version = "3";
    options_.out = directory_.path() / "package";
    return ImportModel(options_);
  }
  std::vector<float> Answers(const std::vector<float>& rows, std::size_t columns) {
    const auto package = LoadPackage(options_.out, {});
    EXPECT_TRUE(package) << package.error().ToString();
    if (!package) return {};
    const std::size_t count = rows.size() / columns;
    const std::size_t out = PredictorColumns((*package)->schema);
    std::vector<float> answers(count * out);
    EXPECT_TRUE((*package)->predictor->RunMatrix(rows, count, columns, (*package)->predictor_output,
                                                 answers, out));
    return answers;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::Create("import");
  ImportOptions options_;
};

TEST_F(ImportModelTest, MapsOfProbabilitiesBecomeTheOutputOfAPackage) {
  const auto imported = Import(WithMaps(Logistic(onnx::TensorProto::DOUBLE)),
                               "a,b,state\n1,2,bad\n3.5,-1,good\n0,0,bad\n");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->schema.task, ModelTask::kBinary);
  EXPECT_THAT(imported->schema.classes, ElementsAre("bad", "good"));
  EXPECT_EQ(imported->schema.positive, "good");
  EXPECT_EQ(imported->schema.feature_count(), 2U);
  const std::vector<float> answers = Answers({3.5F, -1, 0, 0}, 2);
  EXPECT_NEAR(answers[1], Probability(3.5F, -1), 1e-6);
  EXPECT_NEAR(answers[0] + answers[1], 1, 1e-6);
  EXPECT_NEAR(answers[3], 0.5, 1e-6);
}

TEST_F(ImportModelTest, APackagesOwnPredictorMayBeImportedAgain) {
  const onnx::ModelProto model = WithMaps(Logistic(onnx::TensorProto::FLOAT));
  ASSERT_TRUE(Import(model, "a,b\n1,2\n3.5,-1\n"));
  onnx::ModelProto own;
  ASSERT_TRUE(own.ParseFromString(*ReadFile(options_.out / "model.onnx", 1U << 20U)));
  options_.out = directory_.path() / "again";
  const auto bytes = SerializeGraph(own);
  ASSERT_TRUE(WriteFileDurably(directory_.path() / "graph.onnx", bytes));
  const auto imported = ImportModel(options_);
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->compared_rows, 2U);
  EXPECT_NEAR(Answers({3.5F, -1}, 2)[1], Probability(3.5F, -1), 1e-6);
}

TEST_F(ImportModelTest, TheFirstClassMayBeTheOneToFind) {
  options_.positive = "bad";
  const auto imported = Import(WithMaps(Logistic(onnx::TensorProto::FLOAT)), "a,b\n1,2\n3.5,-1\n");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_THAT(imported->schema.classes, ElementsAre("good", "bad"));
  EXPECT_NEAR(Answers({3.5F, -1}, 2)[0], Probability(3.5F, -1), 1e-6);
}

TEST_F(ImportModelTest, OneProbabilityOfWholeNumbersBecomesTwo) {
  onnx::ModelProto model = Logistic(onnx::TensorProto::INT64);
  DescribeMatrix(*model.mutable_graph()->add_output(), "p", 1);
  options_.task = "classification";
  const auto imported = Import(model, "a,b\n1,2\n3,-1\n");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_THAT(imported->schema.classes, ElementsAre("0", "1"));
  const std::vector<float> answers = Answers({3, -1, NAN, -1}, 2);
  EXPECT_NEAR(answers[1], Probability(3, -1), 1e-6);
  EXPECT_NEAR(answers[3], Probability(0, -1), 1e-6) << "a whole number that is missing is 0";
}

TEST_F(ImportModelTest, InputsAreFoundByNameAndTextsAreTheCategoriesWords) {
  // kind [N,1] of texts, "Speed [rpm]" [N] of numbers -> speed * (2 for "fast", else 1).
  onnx::ModelProto model = EmptyModel();
  onnx::GraphProto& graph = *model.mutable_graph();
  AddInput(model, "kind", onnx::TensorProto::STRING, 1);
  AddInput(model, "Speed [rpm]", onnx::TensorProto::FLOAT, 1);
  onnx::TensorProto& fast = *graph.add_initializer();
  fast.set_name("fast");
  fast.set_data_type(onnx::TensorProto::STRING);
  fast.add_dims(1);
  fast.add_string_data("fast");
  AddNumberConstant(graph, "two", 2);
  AddNumberConstant(graph, "one", 1);
  AddGraphNode(graph, "Equal", {"kind", "fast"}, "is_fast");
  AddGraphNode(graph, "Where", {"is_fast", "two", "one"}, "factor");
  AddGraphNode(graph, "Mul", {"Speed [rpm]", "factor"}, "variable");
  DescribeMatrix(*graph.add_output(), "variable", 1);
  model.mutable_opset_import(0)->set_version(19);  // texts are equal from there on
  options_.id = {"machine"};
  const auto imported =
      Import(model, "machine,Speed [rpm],kind\nm1,100,fast\nm2,50.5,slow\nm3,7,\n");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->schema.task, ModelTask::kRegression);
  EXPECT_EQ(imported->schema.Find("machine")->role, FieldRole::kId);
  EXPECT_THAT(imported->schema.Find("kind")->categories, ElementsAre("fast", "slow"));
  // Known words, a missing one, one that the sample had not.
  EXPECT_THAT(Answers({10, 0, 10, 1, 10, NAN, 10, 2}, 2), ElementsAre(20, 10, 10, 10));
}

TEST_F(ImportModelTest, WhatDoesNotFitIsNamedAndNothingIsLeft) {
  const onnx::ModelProto model = WithMaps(Logistic(onnx::TensorProto::FLOAT));
  const auto refused = [&](const std::string& sample, const std::string& why) {
    const auto imported = Import(model, sample);
    ASSERT_FALSE(imported) << why;
    EXPECT_THAT(imported.error().message(), HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(options_.out));
  };
  refused("a,b,c\n1,2,3\n", "has 2 columns, and the sample 3 features");
  refused("a,kind\n1,x\n", "takes numbers, and the feature \"kind\" is a category");
  options_.output = "margin";
  refused("a,b\n1,2\n", "the outputs are output_probability");
  options_.output.clear();
  options_.positive = "other";
  refused("a,b\n1,2\n", "the classes are bad, good");
  options_.positive.clear();
  options_.label.clear();
  refused("a,b\n1,2\n", "--label");
  options_.label = "state";
  ASSERT_TRUE(Import(model, "a,b\n1,2\n"));
  EXPECT_EQ(Import(model, "a,b\n1,2\n").error().code(), ErrorCode::kAlreadyExists);
  EXPECT_TRUE(WriteFileDurably(directory_.path() / "not.onnx", "text"));
  options_.model = directory_.path() / "not.onnx";
  options_.out = directory_.path() / "other";
  EXPECT_EQ(ImportModel(options_).error().code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace skerry
