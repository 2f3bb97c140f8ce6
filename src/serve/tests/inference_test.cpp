// The seam that the protocols share, without any protocol.
#include "serve/inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Refuses or keeps at once, and remembers how many rows it saw.
class PromptSink final : public CaptureSink {
 public:
  void Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) override {
    rows += batch->rows;
    done(answer);
  }
  void CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) override {
    rows += batch->rows;
    if (!answer && lost != nullptr) lost->Add(batch->rows);
  }
  std::size_t rows = 0;
  Status answer;
};

class InferenceTest : public ServedModelsTest {
 protected:
  void ServeMilling(CaptureMode mode) { Serve("milling", fixture::LoadFixture(), mode); }
  static InferRequest TwoRows() {
    InferRequest request;
    request.id = "r1";
    Tensor input;
    input.name = "input";
    input.Resize(TensorType::kFloat32, {2, 3});
    const std::vector<float> values = {0, 65, 10, 1, 20, 5};
    std::copy(values.begin(), values.end(), input.MutableView<float>().begin());
    request.inputs.push_back(std::move(input));
    return request;
  }
  Result<InferResponse> Infer(InferRequest request, InferContext context = {}) {
    ScoringParts parts = Parts();
    parts.capture = &sink_;
    const Inference inference(std::move(parts));
    std::optional<Result<InferResponse>> answer;
    inference.Infer(inference.Find("milling", "1").value(), std::move(request), std::move(context),
                    [&answer](Result<InferResponse> response) { answer = std::move(response); });
    EXPECT_TRUE(answer.has_value());
    return std::move(*answer);
  }

  PromptSink sink_;
};

TEST_F(InferenceTest, AnswersAPackageWithItsBatchAndTensorsOnDemand) {
  ServeMilling(CaptureMode::kOff);
  const auto response = Infer(TwoRows());
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->id, "r1");
  EXPECT_EQ(response->model->package->name, "milling");
  const auto all = PackageOutputs(*response->batch, {});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_THAT(all[0].shape, ElementsAre(2, 2));
  EXPECT_THAT(all[1].strings, ElementsAre("1", "0"));
  const auto chosen = PackageOutputs(*response->batch, {"score"});
  ASSERT_EQ(chosen.size(), 1U);
  EXPECT_THAT(chosen[0].View<float>(), ElementsAre(testing::FloatEq(0.9F), testing::FloatEq(0.1F)));
  EXPECT_EQ(sink_.rows, 0U);
}

TEST_F(InferenceTest, SyncCaptureThatFailsFailsTheRequest) {
  ServeMilling(CaptureMode::kSync);
  sink_.answer = Fail(ErrorCode::kResourceExhausted, "the queue is full");
  const auto response = Infer(TwoRows());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kUnavailable);
  EXPECT_THAT(response.error().message(), HasSubstr("the queue is full"));
  EXPECT_EQ(sink_.rows, 2U);
}

TEST_F(InferenceTest, AsyncCaptureThatFailsStillAnswers) {
  ServeMilling(CaptureMode::kAsync);
  sink_.answer = Fail(ErrorCode::kResourceExhausted, "the queue is full");
  EXPECT_TRUE(Infer(TwoRows()));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("skerry_rows_capture_failed_total{model=\"milling\"} 2"));
}

TEST_F(InferenceTest, WorkThatNobodyWaitsForDoesNotBegin) {
  ServeMilling(CaptureMode::kOff);
  const auto late = Infer(TwoRows(), {.deadline = std::chrono::steady_clock::now()});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::kDeadlineExceeded);
  const auto gone = Infer(TwoRows(), {.cancelled = [] { return true; }});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(row_numbers_.taken(), 0U);
}

}  // namespace
}  // namespace skerry
