// Requests that wait for a thread: limits, deadlines, clients that leave, batches.
#include "serve/run_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "codec/json.h"
#include "http/tests/raw_connection.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

// Asked by the queue's thread before it begins a request, and keeps it there until it is opened.
class Gate {
 public:
  std::function<bool()> Hold() {
    return [this] {
      reached_.set_value();
      opened_.get_future().wait();
      return false;
    };
  }
  void AwaitReached() { reached_.get_future().wait(); }
  void Open() { opened_.set_value(); }

 private:
  std::promise<void> reached_, opened_;
};

class RunQueueTest : public ScoringHttpTest {
 protected:
  void Start(RunQueueOptions options, bool server = false) {
    parts_ = Parts();
    ASSERT_TRUE(repository_.Put("milling", {.package = fixture::LoadFixture(), .run_us = 5'000}));
    ASSERT_TRUE(repository_.Put(
        "add", {.package = Bare("add", fixture::AddModelBytes()), .run_us = 5'000}));
    queue_ = std::make_unique<RunQueue>(parts_, options);
    parts_.queue = queue_.get();
    inference_ = std::make_unique<Inference>(parts_);
    if (server) StartServer(parts_);
  }
  void TearDown() override {
    ScoringHttpTest::TearDown();
    queue_.reset();
  }

  using Answer = std::future<Result<InferResponse>>;
  Answer Ask(const std::string& name, InferRequest request, InferContext context = {}) {
    auto promise = std::make_shared<std::promise<Result<InferResponse>>>();
    Answer answer = promise->get_future();
    inference_->Infer(
        repository_.Find(name), std::move(request), std::move(context),
        [promise](Result<InferResponse> response) { promise->set_value(std::move(response)); });
    return answer;
  }
  // Keeps the queue's one thread.
  Answer AskAndHold(Gate& gate) {
    Answer held = Ask("milling", Row(65), {.deadline = {}, .cancelled = gate.Hold()});
    gate.AwaitReached();
    return held;
  }
  static InferRequest Row(float torque) {
    InferRequest request;
    request.inputs.push_back(Matrix("input", 1, {0, torque, 10}));
    return request;
  }
  static Tensor Matrix(const std::string& name, std::int64_t rows, std::vector<float> values) {
    Tensor tensor;
    tensor.name = name;
    tensor.Resize(TensorType::kFloat32, {rows, static_cast<std::int64_t>(values.size()) / rows});
    std::ranges::copy(values, tensor.MutableView<float>().begin());
    return tensor;
  }
  static InferRequest Sum(std::int64_t rows, float first) {
    InferRequest request;
    std::vector<float> values(static_cast<std::size_t>(rows) * 2, first);
    request.inputs.push_back(Matrix("a", rows, values));
    request.inputs.push_back(Matrix("b", rows, values));
    return request;
  }
  StatisticsReading Statistics(const std::string& name) {
    return repository_.Statistics(name, "").value()[0];
  }
  std::string Metrics() { return TritonMetricsText(repository_.Statistics("", "").value()); }

  ScoringParts parts_;
  std::unique_ptr<RunQueue> queue_;
  std::unique_ptr<Inference> inference_;
};

TEST_F(RunQueueTest, TakesOnlyModelsSlowerThanItsLimit) {
  Start({.threads = 1, .inline_limit = microseconds(5'000)});
  EXPECT_FALSE(inference_->IsQueued(*repository_.Find("milling")));
  ServedModel slower = *repository_.Find("milling");
  slower.run_us = 5'001;
  EXPECT_TRUE(inference_->IsQueued(slower));
}

TEST_F(RunQueueTest, RefusesWhatIsOverTheModelsLimitAndAnswersTheRest) {
  Start({.threads = 1, .requests_per_model = 2});
  Gate gate;
  Answer held = AskAndHold(gate);
  Answer first = Ask("milling", Row(65)), second = Ask("milling", Row(10));
  const auto refused = Ask("milling", Row(65)).get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  Answer other = Ask("add", Sum(1, 1));  // another model's lane has its own room
  EXPECT_THAT(Metrics(),
              HasSubstr("nv_inference_pending_request_count{model=\"milling\",version=\"1\"} 2\n"));
  gate.Open();
  EXPECT_TRUE(held.get());
  EXPECT_NEAR(first.get()->batch->score[0], 0.9, 1e-6);
  EXPECT_NEAR(second.get()->batch->score[0], 0.1, 1e-6);
  EXPECT_TRUE(other.get());
  EXPECT_EQ(Statistics("milling").success.count, 3U);
  EXPECT_EQ(Statistics("milling").failures[static_cast<std::size_t>(FailureReason::kRejected)], 1U);
  EXPECT_GT(Statistics("milling").queue.ns, 0U);
  EXPECT_THAT(Metrics(),
              HasSubstr("nv_inference_pending_request_count{model=\"milling\",version=\"1\"} 0\n"));
}

TEST_F(RunQueueTest, DoesNotRunWhatNobodyWaitsForAnyMore) {
  Start({.threads = 1});
  Gate gate;
  Answer held = AskAndHold(gate);
  Answer late =
      Ask("milling", Row(65),
          {.deadline = std::chrono::steady_clock::now() + microseconds(1), .cancelled = {}});
  Answer left = Ask("milling", Row(65), {.deadline = {}, .cancelled = [] { return true; }});
  gate.Open();
  EXPECT_EQ(late.get().error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(left.get().error().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE(held.get());
  EXPECT_EQ(Statistics("milling").execution_count, 1U);
  EXPECT_EQ(Statistics("milling").failures[static_cast<std::size_t>(FailureReason::kRejected)], 1U);
  EXPECT_EQ(Statistics("milling").failures[static_cast<std::size_t>(FailureReason::kCanceled)], 1U);
}

TEST_F(RunQueueTest, DoesNotRunTheRequestOfAConnectionThatWasClosed) {
  Start({.threads = 1}, true);
  Gate gate;
  Answer held = AskAndHold(gate);
  {
    const std::string body =
        R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[0,65,10]}]})";
    RawConnection left(server_->port());
    ASSERT_TRUE(left.Write(
        fmt::format("POST /v2/models/milling/infer HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body)));
    while (Statistics("milling").pending == 0) std::this_thread::yield();
  }
  gate.Open();
  EXPECT_TRUE(held.get());
  queue_->Stop();  // the thread may be between the two
  EXPECT_EQ(Statistics("milling").execution_count, 1U);
  while (Statistics("milling").failures[static_cast<std::size_t>(FailureReason::kCanceled)] == 0)
    std::this_thread::yield();
}

TEST_F(RunQueueTest, WaitsForNobodyOnceItIsFlushed) {
  Start({.threads = 1, .batch_rows = 64, .batch_delay = std::chrono::hours(1)});
  Answer waiting = Ask("milling", Row(65));
  queue_->Flush();
  EXPECT_NEAR(waiting.get()->batch->score[0], 0.9, 1e-6);
  EXPECT_NEAR(Ask("milling", Row(10)).get()->batch->score[0], 0.1, 1e-6);
}

TEST_F(RunQueueTest, EndsWhatStillWaitsWhenItIsStopped) {
  Start({.threads = 1, .batch_rows = 64, .batch_delay = std::chrono::hours(1)});
  Answer waiting = Ask("milling", Row(65));
  queue_->Stop();
  EXPECT_EQ(waiting.get().error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(Ask("milling", Row(65)).get().error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(Statistics("milling").execution_count, 0U);
}

TEST_F(RunQueueTest, RowsOfSeveralRequestsShareARunAndEachGetsItsOwn) {
  Start({.threads = 1, .batch_rows = 8});
  Gate gate;
  Answer held = AskAndHold(gate);
  Answer high = Ask("milling", Row(65)), low = Ask("milling", Row(10));
  InferRequest wrong = Row(65);
  wrong.inputs[0].name = "nothing";
  Answer refused = Ask("milling", std::move(wrong));
  Answer one = Ask("add", Sum(1, 1)), three = Ask("add", Sum(3, 2));
  InferRequest chosen = Sum(1, 5);
  chosen.outputs.push_back({"sum"});
  Answer apart = Ask("add", std::move(chosen));
  gate.Open();
  EXPECT_NEAR(high.get()->batch->score[0], 0.9, 1e-6);
  const Result<InferResponse> second = low.get();
  EXPECT_NEAR(second->batch->score[0], 0.1, 1e-6);
  EXPECT_EQ(second->batch->rows, 1U);
  EXPECT_EQ(refused.get().error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(one.get()->outputs[0].View<float>()[0], 2.0F);
  const Result<InferResponse> sums = three.get();
  EXPECT_EQ(sums->outputs[0].shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(sums->outputs[0].View<float>()[5], 4.0F);
  EXPECT_EQ(apart.get()->outputs[0].View<float>()[1], 10.0F);
  EXPECT_EQ(Statistics("milling").execution_count, 2U);  // the held one, then both together
  EXPECT_EQ(Statistics("milling").inference_count, 3U);
  EXPECT_EQ(Statistics("add").execution_count, 2U);  // one that asked for outputs by name ran alone
  EXPECT_EQ(Statistics("add").inference_count, 5U);
  ASSERT_EQ(Statistics("add").batches.size(), 2U);
  EXPECT_EQ(Statistics("add").batches[1].batch_size, 4U);
}

TEST_F(RunQueueTest, ClassesOfTextAreRefusedInABatchToo) {
  Start({.threads = 1, .batch_rows = 8});
  Serve("words", Bare("words", fixture::WordModelBytes()));
  InferRequest request;
  request.inputs.emplace_back();
  request.inputs[0].name = "word";
  request.inputs[0].Resize(TensorType::kString, {1});
  request.outputs.push_back({.name = "word_out", .classification = 1});
  Gate gate;
  Answer held = AskAndHold(gate);
  Answer first = Ask("words", request), second = Ask("words", request);
  gate.Open();
  EXPECT_TRUE(held.get());
  for (Answer* answer : {&first, &second}) {
    const Result<InferResponse> refused = answer->get();
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("has no classes"));
  }
}

TEST_F(RunQueueTest, ABatchThatIsNotFullGoesWhenItsDelayIsOver) {
  Start({.threads = 1, .batch_rows = 2, .batch_delay = microseconds(2'000)});
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Ask("milling", Row(65)).get());
  EXPECT_GE(std::chrono::steady_clock::now() - began, microseconds(2'000));
}

TEST_F(RunQueueTest, EndingAnswersWhatStillWaits) {
  Start({.threads = 1});
  Gate gate;
  Answer held = AskAndHold(gate);
  Answer waiting = Ask("milling", Row(65));
  std::jthread ending([this] { queue_.reset(); });
  gate.Open();
  EXPECT_TRUE(held.get());
  ending.join();
  const auto left = waiting.get();
  EXPECT_TRUE(left || left.error().code() == ErrorCode::kUnavailable);
}

constexpr const char* kBody =
    R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[0,65,10]}]%s})";

std::string BodyWith(const std::string& more) {
  std::string body = kBody;
  return body.replace(body.find("%s"), 2, more);
}

TEST_F(RunQueueTest, OverRestAFullQueueIs503WithRetryAfterAndALateRequest504) {
  Start({.threads = 1, .requests_per_model = 1}, true);
  const auto post = [this](const std::string& body) {
    return Call("POST", "/v2/models/milling/infer", body);
  };
  EXPECT_EQ(post(BodyWith("")).status, 200);
  EXPECT_EQ(post(BodyWith(R"(,"parameters":{"timeout":60000000})")).status, 200);
  EXPECT_EQ(post(BodyWith(R"(,"parameters":{"timeout":"soon"})")).status, 400);
  Gate gate;
  Answer held = AskAndHold(gate);
  auto late = std::async(std::launch::async, post, BodyWith(R"(,"parameters":{"timeout":1})"));
  while (Statistics("milling").success.count + repository_.Find("milling")->statistics->pending() <
         3)
    std::this_thread::yield();
  const HttpReply full = post(BodyWith(""));
  EXPECT_EQ(full.status, 503);
  EXPECT_FALSE(FindHeader(full.headers, "Retry-After").empty());
  EXPECT_THAT(full.body, HasSubstr("1 requests wait"));
  gate.Open();
  EXPECT_EQ(late.get().status, 504);
  EXPECT_TRUE(held.get());
}

}  // namespace
}  // namespace skerry
