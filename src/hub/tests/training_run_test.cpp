// Training runs, as far as they go without a child: what is asked for, what is allowed, what a log
// tells, a run that waits. Whole runs are driven from the outside (tests/hub_train_test.py).
#include <gmock/gmock.h>

#include <fstream>

#include "hub/run_log.h"
#include "hub/tests/hub_fixture.h"
#include "hub/train_request.h"
#include "hub/training_grounds.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Json Spec() {
  return {
      {"kind", "train"}, {"model", "pumps:1"}, {"data", {"/tables/a.csv"}}, {"label", "failed"}};
}

std::string WhyNot(const std::string& member, const Json& value) {
  Json spec = Spec();
  spec[member] = value;
  const auto request = TrainRequest::FromJson(spec);
  return request ? "taken" : request.error().message();
}

TEST(TrainRequestTest, OptionsBecomeThoseOfTheCommand) {
  Json spec = Spec();
  spec.update({{"task", "classification"},
               {"ignore", {"a", "b c"}},
               {"time", "day"},
               {"learning_rate", 0.1},
               {"trees", 50},
               {"threshold", "cost=1:20"},
               {"from_disk", true},
               {"seed", 18446744073709551615U}});
  const TrainRequest request = Must(TrainRequest::FromJson(spec));
  EXPECT_EQ(request.name, "pumps");
  EXPECT_EQ(request.version, "1");
  EXPECT_FALSE(request.on_spark());
  EXPECT_THAT(request.options,
              ElementsAre("--label=failed", "--task=classification", "--time=day", "--ignore=a",
                          "--ignore=b c", "--threshold=cost=1:20", "--seed=18446744073709551615",
                          "--trees=50", "--learning-rate=0.1", "--from-disk"));
  ASSERT_EQ(request.named.size(), 4U);
  EXPECT_EQ(request.named[3].member, "ignore[1]");
}

TEST(TrainRequestTest, RefusalNamesTheMember) {
  EXPECT_THAT(WhyNot("treez", 4), AllOf(HasSubstr("unknown key 'treez'"), HasSubstr("trees")));
  EXPECT_THAT(WhyNot("out", "/etc"), HasSubstr("unknown key 'out'"));
  EXPECT_THAT(WhyNot("spark_conf", "a=b"), HasSubstr("unknown key"));
  EXPECT_EQ(WhyNot("trees", 0), "run.trees: is from 1 to 100000, not 0");
  EXPECT_THAT(WhyNot("trees", -1), HasSubstr("run.trees"));
  EXPECT_EQ(WhyNot("holdout", 0.95), "run.holdout: is from 0 to 0.9, not 0.95");
  EXPECT_THAT(WhyNot("depth", "six"), HasSubstr("run.depth"));
  EXPECT_THAT(WhyNot("task", "dream"), AllOf(HasSubstr("run.task"), HasSubstr("multiclass")));
  EXPECT_THAT(WhyNot("threshold", "f2"), HasSubstr("run.threshold"));
  EXPECT_THAT(WhyNot("calibration", "x"), HasSubstr("run.calibration"));
  EXPECT_THAT(WhyNot("detector", "x"), HasSubstr("run.detector"));
  EXPECT_THAT(WhyNot("objective", "x"), HasSubstr("run.objective"));
  EXPECT_THAT(WhyNot("model", "pumps"), HasSubstr("run.model"));
  EXPECT_THAT(WhyNot("label", ""), HasSubstr("run.label"));
  EXPECT_THAT(WhyNot("label", std::string("a\0b", 3)), HasSubstr("run.label"));
  EXPECT_THAT(WhyNot("ignore", {"a,b"}), HasSubstr("run.ignore[0]"));
  EXPECT_THAT(WhyNot("data", Json::array()), HasSubstr("run.data"));
  EXPECT_THAT(WhyNot("data", "a.csv"), HasSubstr("run.data"));
  EXPECT_THAT(WhyNot("engine", "dask"), AllOf(HasSubstr("run.engine"), HasSubstr("spark")));
  EXPECT_THAT(WhyNot("engine", "spark"), HasSubstr("one of run.master and run.livy"));
  EXPECT_THAT(WhyNot("master", "yarn"), HasSubstr("run.master"));
  EXPECT_THAT(WhyNot("columns", "x"), HasSubstr("run.columns"));
  Json spec = Spec();
  spec.erase("label");
  EXPECT_THAT(TrainRequest::FromJson(spec).error().message(), HasSubstr("run.label"));
  spec["task"] = "anomaly";
  EXPECT_TRUE(TrainRequest::FromJson(spec));
  EXPECT_FALSE(TrainRequest::FromJson(Json::array()));
}

TEST(TrainRequestTest, OneNameMoreThanTheLimitIsRefused) {
  Json names = Json::array();
  for (std::size_t i = 0; i <= limits::kFilesPerTable; ++i) names.push_back("/a");
  EXPECT_THAT(WhyNot("data", names), HasSubstr("kFilesPerTable"));
}

class TrainingGroundsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"tables/more", "lake", "other"}) fs::create_directories(at_ / name);
    for (const char* name : {"tables/a.csv", "tables/more/b.csv", "lake/c.parquet", "other/key"})
      std::ofstream(at_ / name) << "x\n";
    fs::create_symlink(at_ / "other/key", at_ / "tables/link.csv");
    grounds_.directories = {at_ / "tables/"};
    grounds_.addresses = {"s3://plant/machines/"};
    Must(grounds_.Settle(at_ / "hub"));
  }
  Result<std::vector<std::string>> Resolve(const std::string& name, bool on_spark = false) {
    TrainRequest request;
    request.data = {name};
    if (on_spark) request.master = "yarn";
    return grounds_.Resolve(request, at_ / "lake");
  }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("grounds"));
  const fs::path at_ = fs::canonical(directory_.path());
  TrainingGrounds grounds_;
};

TEST_F(TrainingGroundsTest, FilesOfTheDirectoryAndTheLakeAreTaken) {
  const std::string tables = at_ / "tables";
  EXPECT_THAT(Must(Resolve(tables + "/a.csv")), ElementsAre(tables + "/a.csv"));
  EXPECT_THAT(Must(Resolve(tables + "/more/../mor?/*.csv")), ElementsAre(tables + "/mor?/*.csv"));
  EXPECT_THAT(Must(Resolve("lake/*.parquet")), ElementsAre(at_ / "lake/*.parquet"));
  EXPECT_THAT(Must(Resolve("s3://plant/machines/*.csv", true)),
              ElementsAre("s3://plant/machines/*.csv"));
}

TEST_F(TrainingGroundsTest, NothingElseIs) {
  const std::string tables = at_ / "tables";
  for (const std::string& name :
       std::vector<std::string>{"/etc/passwd", at_ / "other/key", tables + "/../other/key", tables,
                                tables + "/link.csv", tables + "/*.csv", tables + "2/a.csv",
                                "lake/../other/key", "a.csv", "../a.csv", "file:/etc/passwd"}) {
    const auto resolved = Resolve(name);
    ASSERT_FALSE(resolved) << name;
    EXPECT_EQ(resolved.error().code(), ErrorCode::kPermissionDenied) << name;
    EXPECT_THAT(resolved.error().message(), HasSubstr("run.data[0]")) << name;
  }
  EXPECT_EQ(Resolve(tables + "/none.csv").error().code(), ErrorCode::kNotFound);
  for (const std::string name : {"s3://plant/machines2/a", "s3://plant/machines/../a",
                                 "file:///etc/passwd", "s3://plant/machines/"}) {
    EXPECT_FALSE(Resolve(name)) << name;
    EXPECT_EQ(Resolve(name, true).error().code(), ErrorCode::kPermissionDenied) << name;
  }
  EXPECT_THAT(Must(Resolve("s3://plant/machines/a.csv")), ElementsAre("s3://plant/machines/a.csv"));
}

TEST_F(TrainingGroundsTest, ClusterThatIsNotNamedIsRefused) {
  TrainRequest request;
  request.livy = "http://evil.example";
  EXPECT_THAT(grounds_.CheckEngine(request).error().message(),
              AllOf(HasSubstr("run.livy"), HasSubstr("--train-livy")));
  request.livy.clear();
  request.master = "yarn";
  EXPECT_THAT(grounds_.CheckEngine(request).error().message(), HasSubstr("run.master"));
}

TEST_F(TrainingGroundsTest, OperatorsMistakesAreTold) {
  const auto settled = [&](const auto& change) {
    TrainingGrounds grounds;
    change(grounds);
    const Status done = grounds.Settle(at_ / "other/hub");
    return done ? std::string() : done.error().message();
  };
  EXPECT_THAT(settled([&](auto& g) { g.directories = {at_ / "nowhere"}; }),
              HasSubstr("no directory"));
  EXPECT_THAT(settled([&](auto& g) { g.directories = {at_ / "other"}; }), HasSubstr("not apart"));
  EXPECT_THAT(settled([&](auto& g) { g.addresses = {"s3://plant"}; }),
              HasSubstr("--train-address"));
  EXPECT_THAT(settled([&](auto& g) { g.livy = {"http://l"}; }), HasSubstr("--return-listen"));
}

TEST(RunLogTest, ProgressIsTheNewestStepAndItsStage) {
  Json progress = ProgressOf("reading a.csv\nwarning: few rows\ninner fold 2 of 5, 2 at work\n");
  EXPECT_EQ(progress["step"], "inner fold 2 of 5, 2 at work");
  EXPECT_EQ(progress["step_fraction"], 0.2);
  EXPECT_EQ(progress["tasks_fraction"], nullptr);
  progress = ProgressOf("inner fold 2 of 5, 2 at work\nstage 12: 3 of 8 tasks\n");
  EXPECT_EQ(progress["step_fraction"], 0.2);
  EXPECT_EQ(progress["tasks"], "stage 12: 3 of 8 tasks");
  EXPECT_EQ(progress["tasks_fraction"], 0.375);
  progress = ProgressOf("stage 12: 3 of 8 tasks\nfitting 40 trees, 2 at work");
  EXPECT_EQ(progress["step"], "fitting 40 trees, 2 at work");
  EXPECT_EQ(progress["tasks"], "");
  EXPECT_EQ(ProgressOf("inner fold 9 of 0")["step_fraction"], nullptr);
  EXPECT_EQ(ProgressOf("")["step"], "");
}

TEST(RunLogTest, ErrorIsTheCommandsOwn) {
  EXPECT_EQ(ErrorToldIn("a\nskerry train: no such column\nTry: skerry train --help\n"),
            "no such column");
  EXPECT_EQ(ErrorToldIn("a\nb\n"), "");
  EXPECT_EQ(LastLine("a\nb\n\n"), "b");
}

class TrainingRunTest : public HubTest {
 protected:
  void SetUp() override {
    fs::create_directories(tables_);
    std::ofstream(tables_ / "a.csv") << "load,failed\n1,0\n2,1\n";
    HubOptions options;
    options.training.directories = {tables_};
    StartHub(options);
  }
  HttpReply Post(const Json& change) {
    Json spec = Spec();
    spec["data"] = {(tables_ / "a.csv").string()};
    spec.update(change);
    return Admin("POST", "/v1/runs", spec.dump());
  }
  const fs::path tables_ = directory_.path() / "tables";
};

TEST_F(TrainingRunTest, WhatIsWrongIsToldAtOnce) {
  const auto expect = [&](const Json& change, int status, const std::string& words) {
    const HttpReply reply = Post(change);
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_THAT(reply.body, HasSubstr(words));
  };
  expect({{"data", {"/etc/passwd"}}}, 403, "run.data[0]");
  expect({{"data", {(Data() / "admin.token").string()}}}, 403, "run.data[0]");
  expect({{"label", "faild"}}, 400, "run.label: a.csv has no column \\\"faild\\\"; it has load");
  expect({{"context", {"load", "site"}}}, 400, "run.context[1]");
  expect({{"treez", 1}}, 400, "treez");
  expect({{"engine", "spark"}, {"master", "local[*]"}}, 403, "run.master");
  expect({{"kind", "dream"}}, 400, "run.kind");
  EXPECT_EQ(Call(NobodyOptions(), "POST", "/v1/runs", Spec().dump()).status, 401);
  EXPECT_EQ(AdminJson("GET", "/v1/runs")["runs"].size(), 0U);
  EXPECT_EQ(Admin("POST", "/v1/runs/0a1b2c3d4e5f/cancel").status, 404);
  EXPECT_EQ(Admin("GET", "/v1/runs/0a1b2c3d4e5f/log").status, 404);
}

}  // namespace
}  // namespace skerry
