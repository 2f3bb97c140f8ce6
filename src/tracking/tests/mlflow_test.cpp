// Against a server of this process that keeps what it is asked; tests/mlflow_test.py drives a real
// MLflow.
#include "tracking/mlflow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "http/server.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MlflowTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto answer = [this](std::string body) {
      return [this, body](HttpRequest& request, Responder responder) {
        const std::lock_guard lock(mutex_);
        if (!request.body.empty()) asked_.push_back(ParseJson(request.body).value());
        responder.Send(HttpResponse::JsonText(200, body));
      };
    };
    const std::string api = "/api/2.0/mlflow/";
    std::vector<Route> routes{
        {"GET", api + "experiments/get-by-name", RouteKind::kInline,
         answer(R"({"experiment": {"experiment_id": "7", "lifecycle_stage": "active"}})")},
        {"POST", api + "runs/create", RouteKind::kInline,
         answer(R"({"run": {"info": {"run_id": "r1", "artifact_uri": "s3://elsewhere"}}})")},
        {"POST", api + "runs/log-batch", RouteKind::kInline, answer("{}")},
        {"POST", api + "runs/update", RouteKind::kInline, answer("{}")},
        {"GET", "/other/api/2.0/mlflow/experiments/get-by-name", RouteKind::kInline,
         [](HttpRequest&, Responder responder) {
           responder.Send(HttpResponse::Text(200, "<html>"));
         }}};
    server_ = HttpServer::Start({}, std::move(routes), metrics_).value();
    url_ = fmt::format("http://127.0.0.1:{}", server_->port());
  }

  MetricRegistry metrics_;
  std::mutex mutex_;
  std::vector<Json> asked_;
  std::unique_ptr<HttpServer> server_;
  std::string url_;
};

TEST_F(MlflowTest, RequestsAreOfTheSizeThatMlflowTakes) {
  MlflowRun run = MlflowRun::Start({.url = url_ + "/"}, "m:1", {}).value();
  EXPECT_EQ(run.id(), "r1");
  EXPECT_FALSE(run.takes_files());
  EXPECT_EQ(run.page(), url_ + "/#/experiments/7/runs/r1");
  asked_.clear();
  MlflowParameters parameters;
  MlflowMetrics metrics;
  for (int i = 0; i < 250; ++i) parameters.emplace_back(fmt::format("p{}", i), "v");
  for (int i = 0; i < 2'500; ++i) metrics.emplace_back(fmt::format("m{}", i), i);
  metrics.emplace_back("none", std::nan(""));
  ASSERT_TRUE(run.LogParameters(parameters));
  ASSERT_TRUE(run.LogMetrics(metrics));
  std::vector<std::size_t> sizes;
  for (const Json& body : asked_)
    sizes.push_back(body.contains("params") ? body["params"].size() : body["metrics"].size());
  EXPECT_THAT(sizes, ElementsAre(100U, 100U, 50U, 1'000U, 1'000U, 500U));
}

TEST_F(MlflowTest, KeysAndValuesAreMadeWhatMlflowTakes) {
  MlflowRun run = MlflowRun::Start({.url = url_}, "m:1", {}).value();
  std::string umlauts;
  for (int i = 0; i < 300; ++i) umlauts += "ü";
  asked_.clear();
  ASSERT_TRUE(run.LogParameters({{"types.Speed [rpm]:ä", umlauts}, {std::string(400, 'k'), "v"}}));
  const Json& params = asked_.at(0)["params"];
  EXPECT_EQ(params[0]["key"], "types.Speed _rpm____");
  const auto value = params[0]["value"].get<std::string>();
  EXPECT_EQ(value.size(), 499U) << "cut between two characters";
  EXPECT_TRUE(value.ends_with("ü..."));
  EXPECT_EQ(params[1]["key"].get<std::string>().size(), 250U);
}

TEST_F(MlflowTest, ServersThatAreNotThereOrSomethingElseAreNamed) {
  const auto other = MlflowRun::Start({.url = url_ + "/other"}, "m:1", {});
  EXPECT_THAT(other.error().message(), HasSubstr("is it an MLflow server?"));
  const auto none = MlflowRun::Start({.url = url_ + "/none"}, "m:1", {});
  EXPECT_THAT(none.error().message(), HasSubstr("is it an MLflow server?"));
  const std::string gone = url_;
  server_.reset();
  const auto unreachable = MlflowRun::Start({.url = gone}, "m:1", {});
  EXPECT_EQ(unreachable.error().code(), ErrorCode::kUnavailable);
  EXPECT_THAT(unreachable.error().message(), HasSubstr(gone));
  EXPECT_EQ(MlflowRun::Start({.url = "sqlite:///x"}, "m", {}).error().code(),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skerry
