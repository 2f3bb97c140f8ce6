#include "train/window_choice.h"

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
#include "train/retrain.h"
#include "train/tests/training_data.h"
#include "train/trainer.h"
#include "train/training_set.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A machine fails where its load rose over its last ten hours, which no row of it tells.
std::string RisingCsv(std::size_t rows, std::uint64_t seed) {
  SeededRandom random(seed);
  std::vector<double> loads(20, 0), drifts(20, 0);
  std::string csv = "hour,machine,load,heat,Failed\n";
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t machine = random.NextBelow(20);
    if (random.NextBelow(12) == 0) drifts[machine] = random.NextBelow(3) == 0 ? 4 : -1;
    loads[machine] = 0.9 * loads[machine] + drifts[machine] + random.NextGaussian();
    const double noise = 30 * random.NextGaussian();
    csv += fmt::format("{},m{},{},{:.3f},{}\n", i, machine,
                       random.NextBelow(20) == 0 ? "" : fmt::format("{:.4f}", loads[machine]),
                       noise, drifts[machine] > 0 ? 1 : 0);
  }
  return csv;
}

class WindowChoiceTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = TemporaryDirectory::Create("window").value();
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }

  TrainOptions Options(std::string_view csv, const std::string& windows = "machine:3,10") {
    WriteText(path("data.csv"), csv);
    TrainOptions options;
    options.data = {path("data.csv")};
    options.label = "Failed";
    options.time_column = "hour";
    options.windows = WindowOptions::Parse(windows).value();
    options.out = path("package");
    options.parameters.trees = 40;
    options.parameters.depth = 4;
    options.detector.trees = 10;
    return options;
  }
  Table Read(const std::string& name) const {
    const auto engine = TabularEngine::Open({}).value();
    return engine->ReadFile(path(name), {}).value();
  }
  std::string Bytes(const std::string& file) { return ReadFile(path(file), 64U << 20U).value(); }
  void ExpectRefused(const TrainOptions& options, ErrorCode code, const std::string& words) {
    const auto report = Train(options);
    ASSERT_FALSE(report) << words;
    EXPECT_EQ(report.error().code(), code) << report.error().ToString();
    EXPECT_THAT(report.error().ToString(), HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(options.out));
  }
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST_F(WindowChoiceTest, OptionIsAColumnAndLengths) {
  const WindowOptions options = WindowOptions::Parse("plant:machine:30,5,30").value();
  EXPECT_EQ(options.entity, "plant:machine");
  EXPECT_THAT(options.rows, ElementsAre(5, 30));
  for (const char* text : {"machine", ":5", "machine:", "machine:1", "machine:5,", "machine:5x",
                           "machine:-5", "machine:1001"})
    EXPECT_FALSE(WindowOptions::Parse(text)) << text;
  EXPECT_THAT(WindowOptions::Parse("machine:1001").error().message(), HasSubstr("kWindowRows"));
}

TEST_F(WindowChoiceTest, EveryStatisticOfEveryNumberIsTakenAndTold) {
  const auto report = Train(Options(RisingCsv(1'500, 1)));
  ASSERT_TRUE(report) << report.error().ToString();
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  const ModelSchema& schema = (*package)->schema;
  EXPECT_EQ(schema.windows.entity, "machine");
  EXPECT_EQ(schema.windows.time, "hour");
  ASSERT_EQ(schema.windows.size(), 26U);
  EXPECT_EQ(schema.windows.features[0].name, "load_mean_3");
  EXPECT_EQ(schema.windows.features[12].name, "load_lag_1");
  EXPECT_EQ(schema.Find("machine")->role, FieldRole::kId);
  EXPECT_EQ((*package)->reference.features.size(), 2U) << "drift is of the fields alone";
  EXPECT_EQ(report->gains.size(), 28U);
  EXPECT_THAT(Bytes("package/card.md"), HasSubstr("`load_slope_10`: slope of load over 10 rows"));
  EXPECT_EQ(report->ToJson()["windows"]["features"].size(), 26U);
  EXPECT_THAT(Bytes("package/provenance.json"), HasSubstr("\"windows\""));
}

TEST_F(WindowChoiceTest, HistoryTellsWhatARowDoesNot) {
  const auto windowed = Train(Options(RisingCsv(3'000, 2)));
  ASSERT_TRUE(windowed) << windowed.error().ToString();
  TrainOptions options = Options(RisingCsv(3'000, 2));
  options.windows = {};
  options.ignore = {"machine"};
  options.out = path("plain");
  const auto plain = Train(options);
  ASSERT_TRUE(plain) << plain.error().ToString();
  EXPECT_GT(windowed->model.auc.low, plain->model.auc.high);
}

TEST_F(WindowChoiceTest, ScoringComputesTheBitsOfTraining) {
  TrainOptions options = Options(RisingCsv(2'000, 3));
  options.derive = 1;
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  const auto package = LoadPackage(path("package"), {}).value();
  const Table table = Read("data.csv");
  const LabelledRows rows = EncodeRows(table, package->schema, "").value();
  ASSERT_EQ(rows.windows.rows(), table.rows());
  const std::vector<float> judged = OutputsOf(*package, rows).value();
  WindowState state(package->schema);
  const std::vector<const Field*> texts = package->schema.texts();
  for (std::size_t row = 0; row < table.rows(); ++row) {  // one by one, as requests bring them
    RowBatch batch;
    batch.package = package;
    batch.rows = 1;
    batch.features.assign(rows.features.row(row).begin(), rows.features.row(row).end());
    for (const Field* field : texts)
      batch.texts.push_back({CellText(*table.Find(field->column), row)});
    ASSERT_TRUE(LookBack(batch, state));
    ASSERT_TRUE(ScoreRows(batch));
    ASSERT_TRUE(SameBits(batch.windows, rows.windows.row(row))) << row;
    ASSERT_EQ(batch.score[0], judged[row]) << row;
  }
}

TEST_F(WindowChoiceTest, RowsAreOrderedByTimeWhereverTheyStand) {
  ASSERT_TRUE(Train(Options(RisingCsv(1'000, 4))));
  const auto package = LoadPackage(path("package"), {}).value();
  const Table table = Read("data.csv");
  const LabelledRows rows = EncodeRows(table, package->schema, "").value();
  const std::vector<std::size_t> order = ShuffledRows(table.rows(), 9);
  const LabelledRows shuffled = EncodeRows(SelectRows(table, order), package->schema, "").value();
  EXPECT_TRUE(SameBits(shuffled.windows.values, rows.windows.Select(order).values));
  // What comes later changes nothing of what was.
  std::vector<std::size_t> earlier(600);
  for (std::size_t i = 0; i < earlier.size(); ++i) earlier[i] = i;
  const LabelledRows first = EncodeRows(SelectRows(table, earlier), package->schema, "").value();
  EXPECT_TRUE(SameBits(first.windows.values, rows.windows.Select(earlier).values));
}

TEST_F(WindowChoiceTest, OtherTablesAreJudgedWithTheirWindows) {
  ASSERT_TRUE(Train(Options(RisingCsv(2'000, 5))));
  TrainOptions options = Options(RisingCsv(2'000, 5));
  options.windows = {};
  options.out = path("plain");
  options.ignore = {"machine"};
  ASSERT_TRUE(Train(options));
  WriteText(path("later.csv"), RisingCsv(2'000, 6));
  const Table later = Read("later.csv");
  const auto package = LoadPackage(path("package"), {}).value();
  const auto evaluated = Evaluate(*package, later, {.plots = true});
  ASSERT_TRUE(evaluated) << evaluated.error().ToString();
  EXPECT_GT(evaluated->scores.auc.value, 0.85);
  const auto compared = ComparePaired(path("plain"), path("package"), later, {});
  ASSERT_TRUE(compared) << compared.error().ToString();
  EXPECT_GT(compared->gain.low, 0);
  Table without = later;
  std::erase_if(without.columns, [](const Column& column) { return column.name == "hour"; });
  const auto refused = Evaluate(*package, without, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("column for the time of windows 'hour'"));
}

TEST_F(WindowChoiceTest, WhatCannotBeIsRefusedBeforeAnythingIsWritten) {
  const std::string csv = RisingCsv(300, 7);
  TrainOptions options = Options(csv);
  options.time_column = "";
  ExpectRefused(options, ErrorCode::kInvalidArgument, "name the column that orders the rows");
  options = Options(csv);
  options.windows.entity = "unit";
  ExpectRefused(options, ErrorCode::kInvalidArgument, "entity of windows");
  options = Options(csv);
  options.windows.entity = "hour";
  ExpectRefused(options, ErrorCode::kInvalidArgument, "named twice");
  options = Options(csv);
  options.ignore = {"machine"};
  ExpectRefused(options, ErrorCode::kInvalidArgument, "column 'machine' is left out");
  options = Options(csv);
  options.windows.columns = {"machine"};
  ExpectRefused(options, ErrorCode::kInvalidArgument, "'machine' is no feature of numbers");
  options = Options(csv);
  options.windows.entity = "";
  options.windows.columns = {"load"};
  ExpectRefused(options, ErrorCode::kInvalidArgument, "add --window");
  options = Options(csv);
  options.task = "anomaly";
  options.label = "";
  ExpectRefused(options, ErrorCode::kInvalidArgument, "leave out --window");
  options = Options(csv);
  options.spark.master = "local[1]";
  ExpectRefused(options, ErrorCode::kUnimplemented, "embedded engine alone");
  options = Options(csv);
  options.from_disk = true;
  ExpectRefused(options, ErrorCode::kUnimplemented, "rows fit in memory");
  options = Options(csv + std::string(",m1,2,3,0\n"));
  ExpectRefused(options, ErrorCode::kInvalidArgument, "hour");
  options = Options(csv + "400," + std::string(limits::kEntityBytes + 1, 'm') + ",2,3,0\n");
  ExpectRefused(options, ErrorCode::kInvalidArgument, "kEntityBytes");
}

TEST_F(WindowChoiceTest, FeaturesAndNumbersAreBounded) {
  ModelSchema schema;
  schema.fields = {{"machine", "machine", FieldRole::kId, FieldType::kText, {}},
                   {"hour", "hour", FieldRole::kContext, FieldType::kText, {}}};
  for (int i = 0; i < 40; ++i)
    schema.fields.push_back({fmt::format("f{}", i),
                             fmt::format("F {}", i),
                             FieldRole::kFeature,
                             FieldType::kNumber,
                             {}});
  TrainOptions options;
  options.time_column = "hour";
  options.windows = WindowOptions::Parse("machine:3,9").value();
  const Status many = ChooseWindows(options, 100, schema);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code(), ErrorCode::kTooLarge);
  EXPECT_THAT(many.error().message(), HasSubstr("520 window features of 40 columns"));
  EXPECT_THAT(many.error().message(), HasSubstr("kWindowFeatures is 512"));
  options.windows.columns = {"F 3", "F 5", "F 3"};
  const Status large = ChooseWindows(options, limits::kWholeTableCells / 26 + 1, schema);
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message(), HasSubstr("kWholeTableCells"));
  ASSERT_TRUE(ChooseWindows(options, limits::kWholeTableCells / 26, schema));
  EXPECT_EQ(schema.windows.size(), 26U);
}

TEST_F(WindowChoiceTest, RetrainingSaysThatItCannot) {
  ASSERT_TRUE(Train(Options(RisingCsv(1'000, 8))));
  RetrainOptions retrain;
  retrain.champion = path("package");
  retrain.out = path("next");
  retrain.version = "2";
  retrain.released = Read("data.csv");
  const auto refused = Retrain(retrain);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnimplemented);
  EXPECT_THAT(refused.error().message(), HasSubstr("looks back over an entity's last rows"));
}

}  // namespace
}  // namespace skerry
