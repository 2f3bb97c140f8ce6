// Models that look back over an entity's last rows: over real HTTP, in files, over a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>

#include "base/limits.h"
#include "codec/json.h"
#include "model/scorer.h"
#include "serve/csv.h"
#include "serve/inference.h"
#include "serve/run_queue.h"
#include "serve/score_file.h"
#include "serve/tests/serving_fixture.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class WindowsTest : public ScoringHttpTest {
 protected:
  // 0.9 where the mean torque of a unit's last two rows is over 60, else 0.1.
  static std::shared_ptr<const ModelPackage> Package(const std::string& version = "1",
                                                     std::size_t rows = 2) {
    fixture::PackageFiles files;
    files.model = {.features = 4, .feature = 3, .split = 60};
    files.windows = {.entity = "unit_id",
                     .time = "operator_note",
                     .features = {{"mean", WindowStatistic::kMean, "torque_nm", rows}}};
    return fixture::LoadFixture(files, version);
  }
  static std::string Row(std::string_view unit, int torque) {
    return fmt::format(R"({{"type":"L","torque_nm":{},"tool_wear_min":1,"unit_id":"{}"}})", torque,
                       unit);
  }
  // Whether it is 0.9.
  bool High(std::string_view unit, int torque) {
    const HttpReply reply = Call("POST", "/v1/score?model=milling", Row(unit, torque));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return ParseJson(reply.body).value()["results"][0]["score"].get<double>() > 0.5;
  }
  static bool HighIn(const ModelRepository& repository, float torque,
                     const std::string& version = "") {
    const auto model = repository.Find("milling", version);
    RowBatch batch;
    batch.package = model->package;
    batch.rows = 1;
    batch.features = {0, torque, 1};
    batch.texts = {{"a"}, {"a"}};
    EXPECT_TRUE(LookBack(batch, *model->windows));
    EXPECT_TRUE(ScoreRows(batch));
    return batch.score[0] > 0.5;
  }
  // The one file of rows.
  std::filesystem::path File() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::directory_iterator(state_))
      if (entry.path().extension() == ".windows") found = entry.path();
    return found;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("windows").value();
  std::filesystem::path state_ = directory_.path() / "state";
};

TEST_F(WindowsTest, EveryProtocolTakesUpTheRowsOfItsEntity) {
  Serve("milling", Package());
  StartServer(Parts());
  EXPECT_TRUE(High("a", 80));
  EXPECT_FALSE(High("b", 50));
  EXPECT_TRUE(High("a", 50)) << "80 and 50";
  EXPECT_FALSE(High("a", 50)) << "50 and 50";
  const HttpReply infer = Call(
      "POST", "/v2/models/milling/infer",
      R"({"parameters":{"unit_id":"b"},"inputs":[{"name":"input","datatype":"FP32","shape":[1,3],"data":[0,80,1]}]})");
  ASSERT_EQ(infer.status, 200) << infer.body;
  EXPECT_GT(ParseJson(infer.body).value()["outputs"][0]["data"][1].get<float>(), 0.5F);
  const HttpReply lines = Call("POST", "/v1/score?model=milling",
                               Row("b", 78) + "\n" + Row("b", 41) + "\n", "application/x-ndjson");
  EXPECT_EQ(lines.status, 200) << lines.body;
  const HttpReply table =
      Call("POST", "/v1/score?model=milling",
           "type,torque_nm,tool_wear_min,unit_id\nL,41,1,b\nL,80,1,b\n", "text/csv");
  EXPECT_EQ(table.status, 200) << table.body;
  EXPECT_TRUE(High("b", 41)) << "80 and 41";
  EXPECT_FALSE(High("b", 41));
  const Json document = ParseJson(Call("GET", "/v1/models", "").body).value();
  EXPECT_EQ(document["models"][0]["windows"]["entity"], "unit_id") << document;
}

TEST_F(WindowsTest, BadEntitiesAreRefusedAndMissingOnesAreAlone) {
  Serve("milling", Package());
  StartServer(Parts());
  const HttpReply refused =
      Call("POST", "/v1/score?model=milling", Row(std::string(limits::kEntityBytes + 1, 'u'), 50));
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("field unit_id: an entity of 257 bytes"));
  const HttpReply nobody =
      Call("POST", "/v1/score?model=milling", "type,torque_nm,tool_wear_min\nL,41,1\n", "text/csv");
  EXPECT_THAT(nobody.body, HasSubstr("the CSV header has no column for unit_id"));
  EXPECT_TRUE(High("", 80));
  EXPECT_FALSE(High("", 50)) << "no row before";
  EXPECT_THAT(Call("GET", "/metrics", "").body,
              HasSubstr("skerry_window_entities_forgotten_total{model=\"milling\"} 0"));
}

TEST_F(WindowsTest, QueuedRequestsOfABatchLookBackEach) {
  ScoringParts parts = Parts();
  ASSERT_TRUE(repository_.Put("milling", {.package = Package(), .run_us = 5'000}));
  RunQueue queue(parts, {.threads = 1, .batch_rows = 8});
  parts.queue = &queue;
  const Inference inference(parts);
  std::vector<std::future<float>> answers;
  for (const float torque : {80.0F, 50.0F, 50.0F, 80.0F}) {
    InferRequest request;
    Tensor& input = request.inputs.emplace_back();
    input.name = "input";
    input.Resize(TensorType::kFloat32, {1, 3});
    const std::array<float, 3> row = {0, torque, 1};
    std::ranges::copy(row, input.MutableView<float>().begin());
    request.parameters["unit_id"] = {.texts = {"a"}};
    auto promise = std::make_shared<std::promise<float>>();
    answers.push_back(promise->get_future());
    inference.Infer(repository_.Find("milling"), std::move(request), {},
                    [promise](const Result<InferResponse>& response) {
                      promise->set_value(response ? response->batch->score[0] : -1);
                    });
  }
  std::vector<bool> high;
  for (auto& answer : answers) high.push_back(answer.get() > 0.5F);
  EXPECT_THAT(high, testing::ElementsAre(true, true, false, true));
}

TEST_F(WindowsTest, FilesAreScoredInTheirOrderByAnyNumberOfThreads) {
  std::string csv = "Type,Torque [Nm],Tool wear [min],unit_id\n";
  for (int i = 0; i < 9'000; ++i) csv += fmt::format("L,{},1,u{}\n", i / 7 % 3 * 30 + 20, i % 7);
  const std::filesystem::path in = directory_.path() / "in.csv";
  fixture::WriteBytes(in, csv);
  const std::filesystem::path parquet = directory_.path() / "in.parquet";
  const auto engine = TabularEngine::Open({}).value();
  ASSERT_TRUE(
      engine->Query(fmt::format("COPY (FROM read_csv({})) TO {} (FORMAT parquet)",
                                QuoteLiteral(in.string()), QuoteLiteral(parquet.string()))));
  std::vector<std::vector<std::string>> predictions;
  for (const auto& [file, threads] : {std::pair(in, 1), std::pair(in, 4), std::pair(parquet, 4)}) {
    const std::filesystem::path out = directory_.path() / fmt::format("{}.csv", predictions.size());
    const auto report = ScoreFile({.in = file, .out = out, .threads = threads}, Package());
    ASSERT_TRUE(report) << report.error().message();
    const Table scored =
        engine
            ->Query(
                fmt::format("SELECT prediction::VARCHAR AS p FROM read_csv({}, parallel = false)",
                            QuoteLiteral(out.string())))
            .value();
    predictions.push_back(scored.columns[0].texts);
  }
  // A unit's torque goes 20, 50, 80, 20, ...: the means are 20, 35, 65, 50, 35, 65, ...
  for (std::size_t i = 0; i < 9'000; ++i)
    ASSERT_EQ(predictions[0][i] == "1", i / 7 % 3 == 2) << "row " << i;
  EXPECT_EQ(predictions[0], predictions[1]);
  EXPECT_EQ(predictions[0], predictions[2]);
}

TEST_F(WindowsTest, RowsOutliveTheProcessAndTheVersion) {
  {
    ModelRepository repository;
    ASSERT_TRUE(repository.windows().KeepIn(state_));
    ASSERT_TRUE(repository.Put("milling", {Package()}));
    EXPECT_TRUE(HighIn(repository, 80));
    ASSERT_TRUE(repository.windows().Stop());
  }
  ModelRepository again;
  ASSERT_TRUE(again.windows().KeepIn(state_));
  ASSERT_TRUE(again.Put("milling", {Package()}));
  ASSERT_TRUE(again.Put("milling", {Package("2")}));
  EXPECT_TRUE(HighIn(again, 41)) << "80 and 41, by the next version";
  EXPECT_FALSE(HighIn(again, 41));
  ASSERT_TRUE(again.Put("milling", {Package("3", 5)}));
  EXPECT_TRUE(HighIn(again, 80)) << "it keeps other rows, so it begins anew";
}

TEST_F(WindowsTest, VersionThatIsLoadedAgainFindsItsRowsInTheFile) {
  ModelRepository repository;
  ASSERT_TRUE(repository.windows().KeepIn(state_));
  ASSERT_TRUE(repository.Put("milling", {Package()}));
  EXPECT_TRUE(HighIn(repository, 80));
  ASSERT_TRUE(repository.Remove("milling"));
  EXPECT_EQ(repository.Find("milling"), nullptr);  // nor does this thread hold it any more
  ASSERT_TRUE(repository.windows().Save());
  const auto table = DecodeTable(ReadFile(File(), limits::kWindowFileBytes).value()).value();
  EXPECT_EQ(table.columns[0].texts, std::vector<std::string>{"a"});
  ASSERT_TRUE(repository.Put("milling", {Package()}));
  EXPECT_TRUE(HighIn(repository, 41)) << "80 and 41";
}

TEST_F(WindowsTest, DamagedFileIsToldAndBegunAnew) {
  {
    ModelRepository repository;
    ASSERT_TRUE(repository.windows().KeepIn(state_));
    ASSERT_TRUE(repository.Put("milling", {Package()}));
    EXPECT_TRUE(HighIn(repository, 80));
  }
  std::string bytes = ReadFile(File(), limits::kWindowFileBytes).value();
  bytes[bytes.size() / 2] ^= 1;
  fixture::WriteBytes(File(), bytes);
  ModelRepository again;
  ASSERT_TRUE(again.windows().KeepIn(state_));
  ASSERT_TRUE(again.Put("milling", {Package()}));
  EXPECT_FALSE(HighIn(again, 41)) << "without 80";
  EXPECT_TRUE(again.windows().Save());
}

TEST_F(WindowsTest, SavingThatFailsIsCountedAndTriedAgain) {
  ModelRepository repository;
  repository.CountIn(metrics_);
  ASSERT_TRUE(repository.windows().KeepIn(state_));
  ASSERT_TRUE(repository.Put("milling", {Package()}));
  EXPECT_TRUE(HighIn(repository, 80));
  std::filesystem::remove_all(state_);
  const Status failed = repository.windows().Save();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("of model milling's entities are not saved"));
  EXPECT_THAT(metrics_.RenderPrometheusText(),
              HasSubstr("skerry_window_saves_failed_total{model=\"milling\"} "));
  std::filesystem::create_directory(state_);
  EXPECT_TRUE(repository.windows().Save());
  EXPECT_FALSE(File().empty());
}

}  // namespace
}  // namespace skerry
