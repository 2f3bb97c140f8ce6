// Open Inference Protocol messages to tensors and back: every datatype, both forms, and lies.
#include "rpc/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace skerry {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;
using testing::ElementsAre;
using testing::HasSubstr;

ModelInferRequest::InferInputTensor& AddInput(ModelInferRequest& message, const std::string& name,
                                              const std::string& datatype,
                                              const std::vector<std::int64_t>& shape) {
  auto& input = *message.add_inputs();
  input.set_name(name);
  input.set_datatype(datatype);
  input.mutable_shape()->Assign(shape.begin(), shape.end());
  return input;
}

std::string RefusalOf(ModelInferRequest message, ErrorCode code = ErrorCode::kInvalidArgument) {
  const Result<DecodedRequest> decoded = DecodeRequest(message);
  if (decoded) return "accepted";
  EXPECT_EQ(decoded.error().code(), code);
  return decoded.error().message();
}

Tensor Numbers(TensorType type) {
  Tensor tensor;
  tensor.name = std::string(TensorTypeName(type));
  tensor.Resize(type, {3});
  for (std::size_t i = 0; i < tensor.bytes.size(); ++i)
    tensor.bytes[i] =
        type == TensorType::kBool ? static_cast<char>(i % 2) : static_cast<char>(i + 40);
  return tensor;
}

// The answer's tensor, sent back as a request's.
Tensor ThroughTheWire(const Tensor& tensor, TensorForm form) {
  ModelInferResponse answer;
  AddOutput(tensor, form, answer);
  ModelInferRequest request;
  const auto& output = answer.outputs(0);
  auto& input = AddInput(request, output.name(), output.datatype(),
                         {output.shape().begin(), output.shape().end()});
  if (form == TensorForm::kRaw)
    request.add_raw_input_contents(answer.raw_output_contents(0));
  else
    *input.mutable_contents() = output.contents();
  (*request.mutable_parameters())["binary_data_output"].set_bool_param(form == TensorForm::kRaw);
  ModelInferRequest received;
  EXPECT_TRUE(received.ParseFromString(request.SerializeAsString()));
  Result<DecodedRequest> decoded = DecodeRequest(received);
  if (!decoded) {
    ADD_FAILURE() << decoded.error().message();
    return {};
  }
  EXPECT_EQ(decoded->form, form);
  return decoded->request.inputs.at(0);
}

class EveryType : public testing::TestWithParam<TensorType> {};

TEST_P(EveryType, SurvivesBothForms) {
  const Tensor tensor = Numbers(GetParam());
  for (const TensorForm form : {TensorForm::kRaw, TensorForm::kTyped}) {
    if (FormFor({&tensor, 1}, form) != form) continue;
    const Tensor back = ThroughTheWire(tensor, form);
    EXPECT_EQ(back.name, tensor.name);
    EXPECT_EQ(back.type, tensor.type);
    EXPECT_EQ(back.shape, tensor.shape);
    EXPECT_EQ(back.bytes, tensor.bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Convert, EveryType,
                         testing::Values(TensorType::kBool, TensorType::kInt8, TensorType::kInt16,
                                         TensorType::kInt32, TensorType::kInt64, TensorType::kUint8,
                                         TensorType::kUint16, TensorType::kUint32,
                                         TensorType::kUint64, TensorType::kFloat16,
                                         TensorType::kFloat32, TensorType::kFloat64),
                         [](const auto& each) { return std::string(TensorTypeName(each.param)); });

TEST(Convert, TextsSurviveBothForms) {
  Tensor tensor;
  tensor.name = "texts";
  tensor.Resize(TensorType::kString, {2, 2});
  tensor.strings = {"", "wind", std::string("a\0b", 3), "höhe"};
  for (const TensorForm form : {TensorForm::kRaw, TensorForm::kTyped}) {
    const Tensor back = ThroughTheWire(tensor, form);
    EXPECT_EQ(back.shape, tensor.shape);
    EXPECT_EQ(back.strings, tensor.strings);
  }
}

TEST(Convert, Float16MakesAnAnswerRaw) {
  const std::vector<Tensor> tensors = {Numbers(TensorType::kFloat32),
                                       Numbers(TensorType::kFloat16)};
  EXPECT_EQ(FormFor(tensors, TensorForm::kTyped), TensorForm::kRaw);
}

TEST(Convert, ReadsIdOutputsAndParameters) {
  ModelInferRequest message;
  message.set_id("r-1");
  message.add_outputs()->set_name("score");
  auto& classes = *message.add_outputs();
  classes.set_name("probabilities");
  (*classes.mutable_parameters())["classification"].set_int64_param(2);
  (*message.mutable_parameters())["unit"].set_string_param("M14");
  (*message.mutable_parameters())["shift"].set_int64_param(-2);
  (*message.mutable_parameters())["night"].set_bool_param(true);
  const Result<DecodedRequest> decoded = DecodeRequest(message);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->request.id, "r-1");
  ASSERT_EQ(decoded->request.outputs.size(), 2U);
  EXPECT_EQ(decoded->request.outputs[0].name, "score");
  EXPECT_EQ(decoded->request.outputs[0].classification, 0U);
  EXPECT_EQ(decoded->request.outputs[1].classification, 2U);
  EXPECT_THAT(decoded->request.parameters.at("unit").texts, ElementsAre("M14"));
  EXPECT_THAT(decoded->request.parameters.at("shift").texts, ElementsAre("-2"));
  EXPECT_THAT(decoded->request.parameters.at("night").texts, ElementsAre("true"));
}

TEST(Convert, RefusesAClassificationThatIsNoCount) {
  ModelInferRequest message;
  auto& output = *message.add_outputs();
  output.set_name("probabilities");
  (*output.mutable_parameters())["classification"].set_string_param("two");
  EXPECT_THAT(RefusalOf(message), HasSubstr("\"two\" came"));
}

TEST(Convert, AnyRawByteButZeroIsTrue) {
  ModelInferRequest message;
  AddInput(message, "x", "BOOL", {2});
  message.add_raw_input_contents(std::string("\0\x07", 2));
  const Result<DecodedRequest> decoded = DecodeRequest(message);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->request.inputs[0].bytes, std::string("\0\1", 2));
}

TEST(Convert, RefusesAnUnknownDatatype) {
  ModelInferRequest message;
  AddInput(message, "x", "FP12", {1});
  EXPECT_THAT(RefusalOf(message), HasSubstr("\"x\""));
}

TEST(Convert, RefusesShapesThatLie) {
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{3}, {-1}, {0}, {2, 2}}) {
    ModelInferRequest message;
    AddInput(message, "x", "FP32", shape);
    message.add_raw_input_contents(std::string(8, '\0'));
    EXPECT_THAT(RefusalOf(message), HasSubstr("\"x\"")) << ShapeText(shape);
  }
  ModelInferRequest message;
  AddInput(message, "x", "FP32", {std::int64_t{1} << 40, std::int64_t{1} << 40});
  message.add_raw_input_contents(std::string(8, '\0'));
  EXPECT_THAT(RefusalOf(message, ErrorCode::kTooLarge), HasSubstr("\"x\""));
}

TEST(Convert, RefusesTooManyDimensionsAndTooLongIds) {
  ModelInferRequest message;
  AddInput(message, "x", "FP32", std::vector<std::int64_t>(limits::kTensorRank + 1, 1));
  message.add_raw_input_contents(std::string(4, '\0'));
  EXPECT_THAT(RefusalOf(message, ErrorCode::kTooLarge), HasSubstr("dimensions"));
  ModelInferRequest long_id;
  long_id.set_id(std::string(limits::kRequestIdBytes + 1, 'i'));
  EXPECT_THAT(RefusalOf(long_id, ErrorCode::kTooLarge), HasSubstr("id"));
}

TEST(Convert, RefusesTooManyTensors) {
  ModelInferRequest message;
  for (std::size_t i = 0; i <= limits::kTensorsPerRequest; ++i) AddInput(message, "x", "FP32", {0});
  EXPECT_THAT(RefusalOf(message, ErrorCode::kTooLarge), HasSubstr("inputs"));
}

TEST(Convert, RefusesTypedContentsOfAnotherDatatype) {
  ModelInferRequest message;
  AddInput(message, "x", "FP32", {1}).mutable_contents()->add_fp64_contents(1);
  EXPECT_THAT(RefusalOf(message), HasSubstr("fp32_contents"));
}

TEST(Convert, RefusesNumbersOutsideTheirDatatype) {
  ModelInferRequest message;
  AddInput(message, "x", "INT8", {1}).mutable_contents()->add_int_contents(300);
  EXPECT_THAT(RefusalOf(message), HasSubstr("element 0 is 300"));
}

TEST(Convert, RefusesTypedFloat16) {
  ModelInferRequest message;
  AddInput(message, "x", "FP16", {1}).mutable_contents()->add_fp32_contents(1);
  EXPECT_THAT(RefusalOf(message), HasSubstr("raw_input_contents"));
}

TEST(Convert, RefusesRawContentsThatDoNotMatchTheInputs) {
  ModelInferRequest message;
  AddInput(message, "x", "FP32", {0});
  message.add_raw_input_contents("");
  message.add_raw_input_contents("");
  EXPECT_THAT(RefusalOf(message), HasSubstr("2 elements for 1 inputs"));
}

TEST(Convert, RefusesBothForms) {
  ModelInferRequest message;
  AddInput(message, "x", "FP32", {1}).mutable_contents()->add_fp32_contents(1);
  message.add_raw_input_contents(std::string(4, '\0'));
  EXPECT_THAT(RefusalOf(message), HasSubstr("beside raw_input_contents"));
}

TEST(Convert, RefusesRawTextsThatLie) {
  const std::vector<std::string> bodies = {std::string(""), std::string("\5\0\0\0abc", 7),
                                           std::string("\xff\xff\xff\xff", 4),
                                           std::string("\1\0\0\0ab", 6), std::string("\1\0\0", 3)};
  for (const std::string& body : bodies) {
    ModelInferRequest message;
    AddInput(message, "x", "BYTES", {1});
    message.add_raw_input_contents(body);
    EXPECT_THAT(RefusalOf(message), HasSubstr("\"x\"")) << body.size();
  }
}

}  // namespace
}  // namespace skerry
