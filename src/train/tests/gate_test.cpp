#include "train/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "base/random.h"
#include "model/package.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "train/evaluate.h"
#include "train/retrain.h"
#include "train/tests/training_data.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

// Rows as policy releases them: features by field name, the wear in buckets of 10.
Table Released(const Table& rows, const ModelSchema& schema, const std::string& bucketed) {
  Table released;
  for (const Field* field : schema.features()) {
    Column column = *rows.Find(field->column);
    column.name = "in_" + field->name;
    if (field->name == bucketed) {
      column.name += "__bucket";
      for (std::int64_t& value : column.ints) value = value / 10 * 10;
    }
    released.columns.push_back(std::move(column));
  }
  Column label = *rows.Find(schema.label_column);
  label.name = "label";
  released.columns.push_back(std::move(label));
  Column probability{.name = "sample_prob", .type = ColumnType::kDouble};
  for (std::size_t i = 0; i < rows.rows(); ++i) probability.AppendDouble(0.5);
  released.columns.push_back(std::move(probability));
  return released;
}

Table ReadSlow(const Table& table) {  // the speed encoder reads 15 % low
  Table drifted = table;
  Column& speed = *drifted.Find("Rotational speed [rpm]");
  speed.type = ColumnType::kDouble;
  speed.doubles.clear();
  for (const std::int64_t value : speed.ints)
    speed.doubles.push_back(static_cast<double>(value) * 0.85);
  speed.ints.clear();
  return drifted;
}

void PermuteLabels(Table& released, std::uint64_t seed) {
  SeededRandom random(seed);
  random.Shuffle(released.Find("label")->ints);
}

class GateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("gate");
    ASSERT_TRUE(directory);
    directory_.emplace(std::move(*directory));
    auto engine = TabularEngine::Open({});
    ASSERT_TRUE(engine) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }

  // A champion on a small machine, and its rows.
  Table TrainSmallChampion() {
    WriteText(path("base.csv"), MachineCsv(500, 1));
    TrainOptions options;
    options.data = {path("base.csv")};
    options.label = "Failed";
    options.id = {"Unit"};
    options.threshold = ThresholdGoal::Parse("cost=1:9").value();
    options.calibration = CalibrationKind::kSigmoid;
    options.holdout = 0;
    options.out = path("champion");
    options.parameters.trees = 30;
    options.detector.trees = 10;
    const auto report = Train(options);
    EXPECT_TRUE(report) << report.error().ToString();
    return *engine_->ReadFile(path("base.csv"), {});
  }
  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<TabularEngine> engine_;
};

RetrainOptions SmallRetraining(const GateTest&, const std::filesystem::path& champion,
                               const std::filesystem::path& out) {
  RetrainOptions options;
  options.champion = champion;
  options.version = "2";
  options.out = out;
  return options;
}

TEST_F(GateTest, RetrainingAloneOnReleasedRowsUsesTheBucketsMiddle) {
  const Table base = TrainSmallChampion();
  const auto champion = LoadPackage(path("champion"), {});
  ASSERT_TRUE(champion);
  RetrainOptions options = SmallRetraining(*this, path("champion"), path("challenger"));
  options.released = Released(base, (*champion)->schema, "");
  Column& torque = *options.released.Find("in_torque_nm");
  torque.name = "in_torque_nm__bucket";
  for (double& value : torque.doubles) value = std::floor(value / 10) * 10;
  const double lowest = *std::min_element(torque.doubles.begin(), torque.doubles.end());
  const auto report = Retrain(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->version, "2");
  EXPECT_EQ(report->training_rows, 500U);
  EXPECT_EQ(report->parameters.trees, 30);
  const auto challenger = LoadPackage(path("challenger"), {});
  ASSERT_TRUE(challenger);
  EXPECT_EQ((*challenger)->schema, (*champion)->schema);
  EXPECT_EQ((*challenger)->reference.Find("torque_nm")->min, lowest + 5);
  EXPECT_EQ((*challenger)->reference.threshold_goal, ThresholdGoal::Parse("cost=1:9").value())
      << "what the champion's is for";
  EXPECT_EQ(report->calibration.function.kind, CalibrationKind::kSigmoid);
}

TEST_F(GateTest, UnusableReleasedRowsAreRefused) {
  const Table base = TrainSmallChampion();
  const auto champion = LoadPackage(path("champion"), {});
  ASSERT_TRUE(champion);
  const Table released = Released(base, (*champion)->schema, "");
  const auto refusal = [&](const std::function<void(RetrainOptions&)>& spoil) {
    RetrainOptions options = SmallRetraining(*this, path("champion"), path("challenger"));
    options.released = released;
    spoil(options);
    const auto report = Retrain(options);
    EXPECT_FALSE(std::filesystem::exists(path("challenger")));
    return report ? std::string("it was trained") : report.error().message();
  };
  EXPECT_THAT(refusal([](RetrainOptions& o) { o.released = {}; }), HasSubstr("no labelled row"));
  EXPECT_THAT(refusal([](RetrainOptions& o) { o.label_column = "truth"; }),
              HasSubstr("no label column 'truth'"));
  EXPECT_THAT(refusal([](RetrainOptions& o) { o.released.Find("label")->ints[3] = 7; }),
              HasSubstr("label '7' of released row 4"));
  EXPECT_THAT(refusal([](RetrainOptions& o) { o.released.Find("sample_prob")->doubles[1] = 0; }),
              HasSubstr("sample_prob of released row 2 is 0"));
  EXPECT_THAT(refusal([](RetrainOptions& o) {
                for (std::int64_t& label : o.released.Find("label")->ints) label = 0;
              }),
              HasSubstr("only 0 training rows have label '1'"));
}

TEST_F(GateTest, TheSameModelGainsNothingAndIsRefused) {
  const Table base = TrainSmallChampion();
  const auto gate = Gate({.champion = path("champion"),
                          .challenger = path("champion"),
                          .holdouts = {{"clean", &base}},
                          .gain_on = "clean",
                          .max_loss = {{"clean", 0.05}}});
  ASSERT_TRUE(gate) << gate.error().ToString();
  EXPECT_FALSE(gate->passed);
  ASSERT_EQ(gate->reasons.size(), 2U);
  EXPECT_THAT(gate->reasons[0], HasSubstr("lower 95 % bound of the gain is not above 0"));
  EXPECT_EQ(gate->holdouts.at("clean").gain.value, 0);
}

TEST_F(GateTest, UnknownHoldoutOrMissingColumnIsAnError) {
  Table base = TrainSmallChampion();
  GateOptions options{.champion = path("champion"),
                      .challenger = path("champion"),
                      .holdouts = {{"clean", &base}},
                      .gain_on = "drifted"};
  EXPECT_THAT(Gate(options).error().message(), HasSubstr("'drifted', which is not given"));
  options.gain_on = "clean";
  base.columns.erase(base.columns.begin());
  EXPECT_THAT(Gate(options).error().message(), HasSubstr("'Speed [rpm]'"));
}

TEST_F(GateTest, EvaluationAgreesWithTheReport) {
  WriteText(path("holdout.csv"), MachineCsv(400, 9));
  const Table base = TrainSmallChampion();
  const auto holdout = engine_->ReadFile(path("holdout.csv"), {});
  ASSERT_TRUE(holdout);
  const auto champion = LoadPackage(path("champion"), {});
  ASSERT_TRUE(champion) << champion.error().ToString();
  const auto report = Evaluate(**champion, *holdout, {});
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->rows, 400U);
  EXPECT_GT(report->scores.auc.value, 0.8);
  EXPECT_LE(report->scores.auc.low, report->scores.auc.value);
}

// The whole story on real data: champion on clean rows; a speed encoder that reads low; labels for
// drifted rows come back; the challenger passes, one trained on permuted labels does not.
class Ai4iStory : public GateTest, public ::testing::WithParamInterface<std::uint64_t> {};

TEST_P(Ai4iStory, LabelledDriftedRowsPassTheGateAndPermutedLabelsDoNot) {
  const auto file = Ai4iFile();
  if (!file) GTEST_SKIP() << "SKERRY_TEST_DATA is not set";
  const auto table = engine_->ReadFile(*file, {});
  ASSERT_TRUE(table);
  const std::vector<std::size_t> order = ShuffledRows(table->rows(), GetParam());
  const std::span rows(order);
  const Table base = SelectRows(*table, rows.first(6'000));
  const Table labelled = ReadSlow(SelectRows(*table, rows.subspan(6'000, 1'500)));
  const Table clean = SelectRows(*table, rows.subspan(8'000));
  const Table drifted = ReadSlow(clean);
  ASSERT_TRUE(engine_->WriteCsv(base, path("base.csv")));

  TrainOptions training;
  training.data = {path("base.csv")};
  training.label = "Machine failure";
  training.ignore = {"UDI", "TWF", "HDF", "PWF", "OSF", "RNF"};
  training.id = {"Product ID"};
  training.seed = GetParam();
  training.holdout = 0;
  training.out = path("champion");
  ASSERT_TRUE(Train(training));
  const auto champion = LoadPackage(path("champion"), {});
  ASSERT_TRUE(champion);

  RetrainOptions retraining;
  retraining.champion = path("champion");
  retraining.base = base;
  retraining.released = Released(labelled, (*champion)->schema, "tool_wear_min");
  retraining.bucket_widths = {{"tool_wear_min", 10}};
  retraining.version = "2";
  retraining.seed = GetParam();
  retraining.out = path("challenger");
  const auto retrained = Retrain(retraining);
  ASSERT_TRUE(retrained) << retrained.error().ToString();
  PermuteLabels(retraining.released, GetParam());
  retraining.out = path("permuted");
  ASSERT_TRUE(Retrain(retraining));

  GateOptions gate{.champion = path("champion"),
                   .challenger = path("challenger"),
                   .holdouts = {{"clean", &clean}, {"drifted", &drifted}},
                   .gain_on = "drifted",
                   .max_loss = {{"clean", 0.05}}};
  const auto passed = Gate(gate);
  ASSERT_TRUE(passed) << passed.error().ToString();
  EXPECT_TRUE(passed->passed) << passed->ToText();
  std::cout << "seed " << GetParam() << "\n" << passed->ToText();
  gate.challenger = path("permuted");
  const auto refused = Gate(gate);
  ASSERT_TRUE(refused) << refused.error().ToString();
  EXPECT_FALSE(refused->passed) << refused->ToText();
  EXPECT_THAT(refused->ToText(), HasSubstr("cannot be told from chance"));
  std::cout << refused->ToText();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Ai4iStory, ::testing::Values(1U, 8U));

}  // namespace
}  // namespace skerry
