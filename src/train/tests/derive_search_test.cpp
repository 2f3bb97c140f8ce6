#include "train/derive_search.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/limits.h"
#include "base/random.h"
#include "model/package.h"
#include "model/row_batch.h"
#include "model/scorer.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "train/evaluate.h"
#include "train/gate.h"
#include "train/graph_runs.h"
#include "train/model_fit.h"
#include "train/retrain.h"
#include "train/tests/training_data.h"
#include "train/training_set.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class DeriveSearchTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = TemporaryDirectory::Create("derive").value();
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }

  TrainOptions Options(std::string_view csv, std::size_t derive) {
    WriteText(path("data.csv"), csv);
    TrainOptions options;
    options.data = {path("data.csv")};
    options.label = "Failed";
    options.id = {"Unit"};
    options.out = path("package");
    options.derive = derive;
    options.parameters.trees = 60;
    options.parameters.depth = 4;
    options.detector.trees = 10;
    return options;
  }
  std::string Bytes(const std::string& file) { return ReadFile(path(file), 64U << 20U).value(); }
};

// A failure is a product over a limit; heat and noise have no part in it.
std::string ProductCsv(std::size_t rows, std::uint64_t seed) {
  SeededRandom random(seed);
  std::string csv = "speed,torque,heat,Unit,Failed\n";
  for (std::size_t i = 0; i < rows; ++i) {
    const double speed = 10 + 90 * random.NextDouble();
    const double torque = 10 + 90 * random.NextDouble();
    const bool failed = speed * torque > 3'000;
    csv += fmt::format("{:.3f},{:.3f},{:.3f},u{},{}\n", speed, torque, random.NextDouble(), i,
                       failed ? 1 : 0);
  }
  return csv;
}

TEST_F(DeriveSearchTest, FindsWhatTheLabelIsMadeOfAndStopsThere) {
  const auto report = Train(Options(ProductCsv(1'500, 1), 4));
  ASSERT_TRUE(report) << report.error().ToString();
  ASSERT_EQ(report->derived.chosen.size(), 1U);
  const DerivedChoice& choice = report->derived.chosen[0];
  EXPECT_EQ(choice.feature.Words(), "speed x torque");
  EXPECT_LT(choice.loss_after, choice.loss_before / 2);
  EXPECT_EQ(report->derived.candidates, 9U);
  EXPECT_EQ(report->derived.rows, report->training_rows);
  EXPECT_EQ(report->gains[0].first, "speed_times_torque");
  EXPECT_THAT(report->ToText(), HasSubstr("speed x torque"));
  EXPECT_EQ(report->ToJson()["derived"]["chosen"][0]["operation"], "product");
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  EXPECT_EQ((*package)->schema.derived, report->derived.features());
  EXPECT_EQ((*package)->reference.features.size(), 3U) << "drift is of the fields alone";
  EXPECT_THAT(Bytes("package/card.md"), HasSubstr("`speed_times_torque`: speed x torque"));
}

TEST_F(DeriveSearchTest, SameSeedGivesTheSameChoiceAndBytes) {
  TrainOptions options = Options(MachineCsv(1'500, 3), 3);
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_FALSE(report->derived.chosen.empty());
  options.out = path("again");
  ASSERT_TRUE(Train(options));
  for (const char* file : {"model.onnx", "detector.onnx", "schema.json", "reference.json"})
    EXPECT_EQ(Bytes(fmt::format("package/{}", file)), Bytes(fmt::format("again/{}", file))) << file;
}

TEST_F(DeriveSearchTest, ScoringComputesTheBitsOfTraining) {
  ASSERT_TRUE(Train(Options(MachineCsv(1'500, 3), 2)));
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  ASSERT_FALSE((*package)->derived.empty());
  const auto engine = TabularEngine::Open({}).value();
  const Table table = engine->ReadFile(path("data.csv"), {}).value();
  const FeatureMatrix features = EncodeFeatures(table, (*package)->schema).value();
  const FeatureMatrix trained = features.WithDerived(DerivedColumns((*package)->schema), {});
  RowBatch batch;
  batch.package = *package;
  batch.rows = features.rows();
  batch.features = features.values;
  ASSERT_TRUE(ScoreRows(batch));
  ASSERT_EQ(batch.inputs.size(), trained.values.size());
  EXPECT_EQ(std::memcmp(batch.inputs.data(), trained.values.data(),
                        trained.values.size() * sizeof(float)),
            0);
  // One row at a time, as requests bring them.
  for (std::size_t row = 0; row < 50; ++row) {
    RowBatch one;
    one.package = *package;
    one.rows = 1;
    one.features.assign(features.row(row).begin(), features.row(row).end());
    ASSERT_TRUE(ScoreRows(one));
    EXPECT_EQ(one.score[0], batch.score[row]);
  }
  const std::vector<float> judged = RunPredictor(**package, {.features = features}).value();
  for (std::size_t row = 0; row < batch.rows; ++row)
    ASSERT_EQ(judged[row * 2 + 1], batch.score[row]);
}

TEST_F(DeriveSearchTest, LabelsThatMeanNothingDeriveNothing) {
  SeededRandom random(5);
  std::string csv = "a,b,c,Unit,Failed\n";
  for (int i = 0; i < 1'500; ++i)
    csv += fmt::format("{:.3f},{:.3f},{:.3f},u{},{}\n", random.NextGaussian(),
                       random.NextGaussian(), random.NextGaussian(), i, random.NextBelow(2));
  const auto report = Train(Options(csv, 5));
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_TRUE(report->derived.chosen.empty());
  EXPECT_THAT(report->ToText(), HasSubstr("none helps"));
  const Json schema = ParseJson(Bytes("package/schema.json")).value();
  EXPECT_EQ(schema["format"], "skerry-schema/1");
  EXPECT_FALSE(schema.contains("derived"));
}

TEST_F(DeriveSearchTest, NumbersAndSeveralClassesHaveThemToo) {
  SeededRandom random(6);
  std::string csv = "a,b,c,ratio,kind\n";
  for (int i = 0; i < 2'000; ++i) {
    const double a = 1 + 9 * random.NextDouble();
    const double b = 1 + 9 * random.NextDouble();
    const double d = a - b;
    csv += fmt::format("{:.3f},{:.3f},{:.3f},{:.4f},{}\n", a, b, random.NextGaussian(), a / b,
                       d < -2  ? "low"
                       : d < 2 ? "mid"
                               : "high");
  }
  TrainOptions options = Options(csv, 1);
  options.id.clear();
  options.label = "ratio";
  options.task = "regression";
  options.ignore = {"kind"};
  const auto numbers = Train(options);
  ASSERT_TRUE(numbers) << numbers.error().ToString();
  ASSERT_EQ(numbers->derived.chosen.size(), 1U);
  EXPECT_EQ(numbers->derived.chosen[0].feature.Words(), "a / b");
  options.label = "kind";
  options.task = "";
  options.ignore = {"ratio"};
  options.out = path("kinds");
  const auto classes = Train(options);
  ASSERT_TRUE(classes) << classes.error().ToString();
  ASSERT_EQ(classes->derived.chosen.size(), 1U);
  EXPECT_EQ(classes->derived.chosen[0].feature.Words(), "a - b");
  const auto package = LoadPackage(path("kinds"), {});
  ASSERT_TRUE(package);
  const auto judged =
      Evaluate(**package, TabularEngine::Open({}).value()->ReadFile(path("data.csv"), {}).value(),
               {.bootstrap = {.resamples = 20}});
  ASSERT_TRUE(judged) << judged.error().ToString();
}

TEST_F(DeriveSearchTest, ColumnsAndRowsThatAreTriedAreLimited) {
  SeededRandom random(7);
  const std::size_t columns = limits::kDeriveNumbers + 2;
  const std::size_t rows = limits::kDeriveRows + 4'000;
  std::string csv = "Unit,Failed";
  for (std::size_t i = 0; i < columns; ++i) csv += fmt::format(",x{}", i);
  for (std::size_t row = 0; row < rows; ++row) {
    csv += fmt::format("\nu{},{}", row, random.NextBelow(2));
    for (std::size_t i = 0; i < columns; ++i) csv += fmt::format(",{}", random.NextBelow(50));
  }
  TrainOptions options = Options(csv, 1);
  options.holdout = 0;
  options.parameters.trees = 2;
  options.parameters.depth = 3;
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->derived.rows, limits::kDeriveRows);
  EXPECT_EQ(report->derived.candidates,
            limits::kDeriveNumbers * (limits::kDeriveNumbers - 1) / 2 * 3);
}

TEST_F(DeriveSearchTest, WhereTheyCannotBeIsSaid) {
  TrainOptions options = Options(MachineCsv(300, 1), limits::kDerivedFeatures + 1);
  EXPECT_THAT(Train(options).error().message(), HasSubstr("kDerivedFeatures"));
  options.derive = 1;
  options.spark.master = "local[1]";
  EXPECT_THAT(Train(options).error().message(), HasSubstr("embedded engine alone"));
  options.spark.master.clear();
  options.task = "anomaly";
  options.label.clear();
  EXPECT_THAT(Train(options).error().message(), HasSubstr("leave out --derive"));
}

TEST_F(DeriveSearchTest, RetrainingKeepsTheChampions) {
  TrainOptions options = Options(MachineCsv(1'200, 3), 1);
  options.holdout = 0;
  ASSERT_TRUE(Train(options));
  const auto champion = LoadPackage(path("package"), {});
  ASSERT_FALSE((*champion)->schema.derived.empty());
  const auto engine = TabularEngine::Open({}).value();
  RetrainOptions again;
  again.champion = path("package");
  again.version = "2";
  again.out = path("challenger");
  again.base = engine->ReadFile(path("data.csv"), {}).value();
  // Released without speed: what is derived of it is missing there.
  for (const char* column : {"Torque [Nm]", "Failed"}) {
    again.released.columns.push_back(*again.base.Find(column));
    again.released.columns.back().name = *column == 'T' ? "in_torque_nm" : "label";
  }
  const auto report = Retrain(again);
  ASSERT_TRUE(report) << report.error().ToString();
  const auto challenger = LoadPackage(path("challenger"), {});
  ASSERT_TRUE(challenger) << challenger.error().ToString();
  EXPECT_EQ((*challenger)->schema, (*champion)->schema);
  const auto compared =
      ComparePaired(path("package"), path("challenger"), again.base, {.resamples = 20});
  ASSERT_TRUE(compared) << compared.error().ToString();
  EXPECT_GT(compared->champion, 0.7);
}

}  // namespace
}  // namespace skerry
