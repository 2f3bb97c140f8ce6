#include "model/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <thread>

#include "base/limits.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

using testing::HasSubstr;

template <typename T>
Tensor Make(std::string name, TensorType type, std::vector<std::int64_t> shape,
            std::vector<T> values) {
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.Resize(type, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.MutableView<T>().begin());
  return tensor;
}

Tensor Floats(std::string name, std::vector<std::int64_t> shape, std::vector<float> values) {
  return Make<float>(std::move(name), TensorType::kFloat32, std::move(shape), std::move(values));
}

TEST(OnnxSession, RunsEveryKindOfTensor) {
  const auto session = OnnxSession::LoadBytes(fixture::ManyTensorsModelBytes(), "many").value();
  Tensor word;
  word.name = "word";
  word.Resize(TensorType::kString, {2});
  word.strings = {"käse", std::string("a\0b", 3)};
  const std::vector<Tensor> inputs = {
      word,
      Make<double>("wide", TensorType::kFloat64, {2, 2}, {1, 2, 3, 4}),
      Make<std::int64_t>("count", TensorType::kInt64, {1},
                         {std::numeric_limits<std::int64_t>::min()}),
      Make<bool>("flag", TensorType::kBool, {2}, {true, false}),
      Floats("b", {1, 2}, {10, 20}),
      Floats("a", {1, 2}, {1, 2})};
  const auto outputs = session->Run(inputs);
  ASSERT_TRUE(outputs) << outputs.error().message();
  ASSERT_EQ(outputs->size(), 5U);
  EXPECT_THAT((*outputs)[0].View<float>(), testing::ElementsAre(11, 22));
  EXPECT_EQ((*outputs)[3].strings.at(1).size(), 3U);
  EXPECT_EQ((*outputs)[3].strings.at(0), "käse");
  const std::vector<std::string> wanted = {"count_out", "sum"};
  const auto chosen = session->Run(inputs, wanted);
  ASSERT_TRUE(chosen);
  EXPECT_EQ((*chosen)[0].name, "count_out");
  EXPECT_EQ((*chosen)[0].View<std::int64_t>()[0], std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ((*chosen)[1].name, "sum");
}

TEST(OnnxSession, WrongTensorsAreRefusedByName) {
  const auto session = OnnxSession::LoadBytes(fixture::AddModelBytes(), "add").value();
  const Tensor a = Floats("a", {1, 2}, {1, 2});
  const auto refusal = [&](std::vector<Tensor> given, std::vector<std::string> wanted = {}) {
    const auto outputs = session->Run(given, wanted);
    EXPECT_FALSE(outputs);
    if (outputs) return std::string();
    EXPECT_EQ(outputs.error().code(), ErrorCode::kInvalidArgument);
    return outputs.error().message();
  };
  EXPECT_THAT(refusal({a}), HasSubstr("\"b\" is missing"));
  EXPECT_THAT(refusal({a, Floats("c", {1, 2}, {1, 2})}), HasSubstr("\"c\""));
  EXPECT_THAT(refusal({a, a}), HasSubstr("twice"));
  EXPECT_THAT(refusal({a, Floats("b", {2}, {1, 2})}), HasSubstr("expected shape [-1,2]"));
  EXPECT_THAT(refusal({a, Make<double>("b", TensorType::kFloat64, {1, 2}, {1, 2})}),
              HasSubstr("expected datatype FP32, got FP64"));
  EXPECT_THAT(refusal({a, Floats("b", {1, 2}, {1, 2})}, {"product"}), HasSubstr("\"product\""));
  Tensor short_data = a;
  short_data.name = "b";
  short_data.bytes.resize(4);
  EXPECT_THAT(refusal({a, short_data}), HasSubstr("2 elements, got 1"));
}

TEST(OnnxSession, OutputsHaveTheRowsThatTheGraphGivesThem) {
  const auto session = OnnxSession::LoadBytes(fixture::AddModelBytes(), "add").value();
  const auto shape_of = [&](std::vector<Tensor> inputs) {
    const auto outputs = session->Run(inputs);
    EXPECT_TRUE(outputs) << outputs.error().message();
    return outputs ? (*outputs)[0].shape : std::vector<std::int64_t>();
  };
  EXPECT_THAT(shape_of({Floats("b", {2, 2}, {1, 2, 3, 4}), Floats("a", {2, 2}, {1, 1, 1, 1})}),
              testing::ElementsAre(2, 2));
  EXPECT_THAT(shape_of({Floats("a", {0, 2}, {}), Floats("b", {0, 2}, {})}),
              testing::ElementsAre(0, 2));
  // Broadcast: another number of rows than the first input's.
  EXPECT_THAT(shape_of({Floats("b", {3, 2}, {1, 2, 3, 4, 5, 6}), Floats("a", {1, 2}, {1, 1})}),
              testing::ElementsAre(3, 2));
  const auto last = session->Run({{Floats("a", {1, 2}, {1, 2}), Floats("b", {1, 2}, {3, 4})}});
  ASSERT_TRUE(last) << last.error().message();
  EXPECT_THAT((*last)[0].View<float>(), testing::ElementsAre(4, 6));
}

TEST(OnnxSession, ManyThreadsShareOneSession) {
  const auto session = OnnxSession::LoadBytes(fixture::TreeModelBytes({}), "tree").value();
  const std::size_t output = session->RequireMatrix(3, "probabilities", 2).value();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const std::vector<float> in = {0, 65, 1, 0, 20, 1};
      std::vector<float> out(4);
      for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(session->RunMatrix(in, 2, 3, output, out, 2));
        ASSERT_FLOAT_EQ(out[1], 0.9F);
        ASSERT_FLOAT_EQ(out[3], 0.1F);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(OnnxSession, RunsTheQuantizedShuffleNet) {
  const char* data = std::getenv("SKERRY_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "SKERRY_TEST_DATA is not set: no onnx_shufflenet_int8";
  const auto session = OnnxSession::Load(std::filesystem::path(data) / "onnx_shufflenet_int8" /
                                         "shufflenet-v2-12-int8.onnx");
  ASSERT_TRUE(session) << session.error().message();
  ASSERT_EQ((*session)->inputs().size(), 1U);
  Tensor image;
  image.name = (*session)->inputs()[0].name;
  image.Resize(TensorType::kFloat32, {1, 3, 224, 224});
  const std::vector<Tensor> inputs = {image};
  const auto outputs = (*session)->Run(inputs);
  ASSERT_TRUE(outputs) << outputs.error().message();
  EXPECT_EQ(outputs->front().elements(), 1000U);
}

TEST(Tensor, ShapesAreBounded) {
  EXPECT_EQ(CountElements(std::vector<std::int64_t>{2, 3}).value(), 6U);
  EXPECT_EQ(CountElements(std::vector<std::int64_t>{}).value(), 1U);
  EXPECT_EQ(CountElements(std::vector<std::int64_t>{0, 1'000'000'000'000}).value(), 0U);
  EXPECT_EQ(CountElements(std::vector<std::int64_t>{1LL << 40, 1LL << 40}).error().code(),
            ErrorCode::kTooLarge);
  EXPECT_EQ(CountElements(std::vector<std::int64_t>{-1}).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(CountElements(std::vector<std::int64_t>(limits::kTensorRank + 1, 1)).error().code(),
            ErrorCode::kTooLarge);
}

TEST(Tensor, TypeNamesAreThoseOfTheProtocol) {
  EXPECT_EQ(ParseTensorType("FP32").value(), TensorType::kFloat32);
  EXPECT_EQ(ParseTensorType("BYTES").value(), TensorType::kString);
  EXPECT_EQ(TensorTypeName(TensorType::kUint16), "UINT16");
  EXPECT_THAT(ParseTensorType("float32").error().message(), HasSubstr("FP32"));
}

}  // namespace
}  // namespace skerry
