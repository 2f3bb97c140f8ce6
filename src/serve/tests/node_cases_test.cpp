// ONNX's own operator cases through Inference: every case that ONNX Runtime itself passes gives the
// reference tensors.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "model/tests/tensor_file.h"
#include "serve/inference.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

double HalfToDouble(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const double mantissa = half & 1023;
  double value = std::ldexp(mantissa, -24);
  if (exponent == 31)
    value = mantissa == 0 ? INFINITY : NAN;
  else if (exponent > 0)
    value = std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -value : value;
}

bool Near(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= 1e-5 + 1e-3 * std::abs(b);
}

template <typename T, typename Read>
bool AllNear(const Tensor& a, const Tensor& b, Read read) {
  for (std::size_t i = 0; i < a.View<T>().size(); ++i)
    if (!Near(read(a.View<T>()[i]), read(b.View<T>()[i]))) return false;
  return true;
}

bool Same(const Tensor& a, const Tensor& b) {
  if (a.type != b.type || a.shape != b.shape || a.bytes.size() != b.bytes.size()) return false;
  if (a.type == TensorType::kFloat16) return AllNear<std::uint16_t>(a, b, HalfToDouble);
  const auto plain = [](double value) { return value; };
  if (a.type == TensorType::kFloat32) return AllNear<float>(a, b, plain);
  if (a.type == TensorType::kFloat64) return AllNear<double>(a, b, plain);
  return a.bytes == b.bytes && a.strings == b.strings;
}

struct Outcome {
  bool unnamed_type = false;  // FP8, BF16, ... : no case for this protocol
  std::string wrong{};
};

class NodeCases {
 public:
  Outcome Run(const fs::path& directory) {
    auto package = LoadBareOnnx(directory / "model.onnx", "case");
    if (!package)
      return {package.error().code() == ErrorCode::kUnimplemented, package.error().message()};
    if (!repository_.Put("case", {std::move(*package), CaptureMode::kOff, nullptr}))
      return {.wrong = "cannot be served"};
    const auto model = inference_.Find("case", "").value();
    InferRequest request;
    const fs::path data = directory / "test_data_set_0";
    for (const TensorSpec& spec : model->package->predictor->inputs()) {
      auto tensor =
          fixture::ReadTensorFile(data / fmt::format("input_{}.pb", request.inputs.size()));
      if (!tensor) return {.unnamed_type = true, .wrong = "input of an unnamed type"};
      tensor->name = spec.name;
      request.inputs.push_back(std::move(*tensor));
    }
    Outcome outcome{.wrong = "no answer"};
    inference_.Infer(model, std::move(request), {}, [&](const Result<InferResponse>& response) {
      outcome = response ? Compare(response->outputs, data)
                         : Outcome{.wrong = response.error().message()};
    });
    return outcome;
  }

 private:
  static Outcome Compare(const std::vector<Tensor>& outputs, const fs::path& data) {
    std::size_t expected = 0;
    for (; fs::exists(data / fmt::format("output_{}.pb", expected)); ++expected) {
      const auto reference = fixture::ReadTensorFile(data / fmt::format("output_{}.pb", expected));
      if (!reference) return {.unnamed_type = true, .wrong = "output of an unnamed type"};
      if (expected >= outputs.size() || !Same(outputs[expected], *reference))
        return {.wrong = fmt::format("output {} differs", expected)};
    }
    return {.wrong = outputs.size() == expected ? "" : "another number of outputs"};
  }

  SystemClock clock_;
  MetricRegistry metrics_;
  RowNumbers row_numbers_{InstanceId::Random()};
  ModelRepository repository_;
  Inference inference_{{.repository = &repository_,
                        .row_numbers = &row_numbers_,
                        .clock = &clock_,
                        .metrics = &metrics_}};
};

TEST(OnnxNodeCases, GiveTheReferenceTensors) {
  const char* root = std::getenv("SKERRY_TEST_DATA");
  if (root == nullptr) GTEST_SKIP() << "SKERRY_TEST_DATA is not set";
  const fs::path cases = fs::path(root) / "onnx_node_tests";
  if (!fs::exists(cases)) GTEST_SKIP() << cases << " is not there";
  const auto unpacked = TemporaryDirectory::Create("nodes").value();
  const std::string unpack = fmt::format("tar -xzf '{}/onnx_v1.17.0_node_simple.tar.gz' -C '{}'",
                                         cases.string(), unpacked.path().string());
  ASSERT_EQ(std::system(unpack.c_str()), 0);
  std::ifstream results(cases / "ORT_RESULTS.tsv");
  std::size_t same = 0;
  std::string unnamed;
  NodeCases runner;
  for (std::string line; std::getline(results, line);) {
    std::istringstream fields(line);
    std::string name;
    std::string result;
    if (!(fields >> name >> result) || result != "match") continue;
    const Outcome outcome = runner.Run(unpacked.path() / name);
    if (outcome.unnamed_type)
      unnamed += fmt::format("{}: {}\n", name, outcome.wrong);
    else
      EXPECT_EQ(outcome.wrong, "") << name;
    if (outcome.wrong.empty()) ++same;
  }
  EXPECT_GE(same, 1000U);
  EXPECT_EQ(unnamed, "");
}

}  // namespace
}  // namespace skerry
