#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <numeric>

#include "model/package.h"
#include "storage/file.h"
#include "train/tests/training_data.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kMaxBytes = 64U << 20U;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("train");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }

  TrainOptions Options(std::string_view csv) {
    WriteText(path("data.csv"), csv);
    TrainOptions options;
    options.data = {path("data.csv")};
    options.label = "Failed";
    options.out = path("package");
    options.parameters.trees = 40;
    options.detector.trees = 20;
    return options;
  }
  // The error of a training that must fail, leaving nothing behind.
  std::string Refusal(const TrainOptions& options, ErrorCode code = ErrorCode::kInvalidArgument) {
    const auto report = Train(options);
    if (report) return "it was trained";
    EXPECT_EQ(report.error().code(), code) << report.error().ToString();
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path("")))
      ++files;
    EXPECT_EQ(files, options.data.size()) << "something was left behind";
    return report.error().message();
  }

  // How many rows' scores the package's reference holds.
  std::uint64_t ReferenceScores() {
    const auto package = LoadPackage(path("package"), {});
    EXPECT_TRUE(package) << package.error().ToString();
    const std::vector<std::uint64_t>& counts = (*package)->reference.score_counts;
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  }

  std::optional<TemporaryDirectory> directory_;
};

TEST_F(TrainerTest, PackageLoadsAndHoldsEveryFile) {
  const auto report = Train(Options(MachineCsv(1'200, 1)));
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->training_rows, 960U);
  EXPECT_EQ(report->holdout_rows, 240U);
  EXPECT_LE(report->max_model_difference, 1e-5);
  EXPECT_LE(report->max_detector_difference, 1e-5);
  EXPECT_GT(report->model.auc.value, 0.8);
  for (const char* file :
       {"model.onnx", "detector.onnx", "schema.json", "reference.json", "card.md", "report.json"})
    EXPECT_TRUE(std::filesystem::exists(path("package") / file)) << file;
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  const ModelSchema& schema = (*package)->schema;
  EXPECT_EQ(schema.feature_count(), 3U);
  EXPECT_EQ(schema.Find("grade")->categories, (std::vector<std::string>{"A", "B", "C"}));
  EXPECT_EQ(schema.Find("unit")->role, FieldRole::kId);
  EXPECT_EQ(schema.classes, (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ((*package)->reference.rows, 960U);
  EXPECT_EQ(ReferenceScores(), 240U) << "the scores to compare with are of rows held out";
  EXPECT_GT((*package)->reference.features[0].missing, 0U);
}

TEST_F(TrainerTest, SameSeedGivesTheSameModelBytes) {
  TrainOptions options = Options(MachineCsv(600, 2));
  ASSERT_TRUE(Train(options));
  options.out = path("again");
  ASSERT_TRUE(Train(options));
  for (const char* file : {"model.onnx", "detector.onnx", "schema.json", "reference.json"})
    EXPECT_EQ(*ReadFile(path("package") / file, kMaxBytes),
              *ReadFile(path("again") / file, kMaxBytes))
        << file;
  options.seed = 2;
  options.out = path("other");
  ASSERT_TRUE(Train(options));
  EXPECT_NE(*ReadFile(path("package/model.onnx"), kMaxBytes),
            *ReadFile(path("other/model.onnx"), kMaxBytes));
}

TEST_F(TrainerTest, EveryRowTrainsWhenTheHoldoutIsAFile) {
  TrainOptions options = Options(MachineCsv(600, 3));
  WriteText(path("holdout.csv"), MachineCsv(300, 4));
  options.holdout = 0;
  options.holdout_data = {path("holdout.csv")};
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->training_rows, 600U);
  EXPECT_EQ(report->holdout_rows, 300U);
  EXPECT_EQ(ReferenceScores(), 300U);
}

TEST_F(TrainerTest, SeveralFilesAreOneTable) {
  TrainOptions options = Options(MachineCsv(400, 5));
  WriteText(path("more.csv"), MachineCsv(200, 6));
  options.data.push_back(path("more.csv"));
  options.holdout = 0;
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->training_rows, 600U);
  EXPECT_EQ(report->holdout_rows, 0U);
  EXPECT_EQ(ReferenceScores(), 600U) << "the inner folds stand in";
}

TEST_F(TrainerTest, WordsAreClassesAndTrueIsPositive) {
  std::string csv = "x,ok\n";
  for (int i = 0; i < 200; ++i) csv += fmt::format("{},{}\n", i, i > 100 ? "yes" : "no");
  TrainOptions options = Options(csv);
  options.label = "ok";
  ASSERT_TRUE(Train(options));
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package);
  EXPECT_EQ((*package)->schema.positive, "yes");
}

TEST_F(TrainerTest, NanInFeaturesIsMissing) {
  std::string csv = "x,z,Failed\n";
  for (int i = 0; i < 300; ++i)
    csv += fmt::format("{},{},{}\n", i % 3 == 0 ? "NaN" : std::to_string(i % 50),
                       i % 5 == 0 ? "" : "0.5", i % 50 > 25 ? 1 : 0);
  const auto report = Train(Options(csv));
  ASSERT_TRUE(report) << report.error().ToString();
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package);
  EXPECT_NEAR(static_cast<double>((*package)->reference.features[0].missing), 80, 20);
}

TEST_F(TrainerTest, MissingLabelColumnIsNamedWithThoseThereAre) {
  TrainOptions options = Options(MachineCsv(100, 1));
  options.label = "Broken";
  EXPECT_THAT(Refusal(options), HasSubstr("no label column 'Broken'; it has 'Speed [rpm]'"));
}

TEST_F(TrainerTest, OneClassAloneIsRefused) {
  EXPECT_THAT(Refusal(Options("x,Failed\n1,0\n2,0\n")), HasSubstr("one class only"));
}

TEST_F(TrainerTest, MoreThanTwoClassesAreRefused) {
  EXPECT_THAT(Refusal(Options("x,Failed\n1,0\n2,1\n3,2\n")), HasSubstr("3 different values"));
}

TEST_F(TrainerTest, BlankLabelsAreRefusedWithTheirRows) {
  EXPECT_THAT(Refusal(Options("x,Failed\n1,0\n2,\n3,1\n4,NaN\n")),
              HasSubstr("blank in 2 of 4 rows (row 2, 4)"));
}

TEST_F(TrainerTest, TooFewRowsOfAClassAreRefused) {
  std::string csv = "x,Failed\n";
  for (int i = 0; i < 100; ++i) csv += fmt::format("{},{}\n", i, i < 5 ? 1 : 0);
  TrainOptions options = Options(csv);
  options.holdout = 0;
  EXPECT_THAT(Refusal(options), HasSubstr("only 5 training rows have label '1'"));
}

TEST_F(TrainerTest, NoRowsAreRefused) {
  EXPECT_THAT(Refusal(Options("x,Failed\n")), HasSubstr("no rows"));
}

TEST_F(TrainerTest, AWordAmongNumbersIsNamedWithItsRow) {
  std::string csv = "x,Failed\n";
  for (int i = 0; i < 200; ++i)
    csv += fmt::format("{},{}\n", i == 41 ? "broken" : std::to_string(i), i % 2);
  EXPECT_THAT(Refusal(Options(csv)),
              HasSubstr("column 'x' holds numbers, but row 42 says 'broken'"));
}

TEST_F(TrainerTest, InfinityIsRefused) {
  std::string csv = "x,Failed\n";
  for (int i = 0; i < 50; ++i) csv += fmt::format("{},{}\n", i == 7 ? "inf" : "1.5", i % 2);
  EXPECT_THAT(Refusal(Options(csv)), HasSubstr("row 8"));
}

TEST_F(TrainerTest, TooManyColumnsAreRefused) {
  std::string line = "Failed";
  for (int i = 0; i < 4'096; ++i) line += fmt::format(",c{}", i);
  EXPECT_THAT(Refusal(Options(line + "\n1\n"), ErrorCode::kTooLarge),
              HasSubstr("the limit is 4096"));
}

TEST_F(TrainerTest, NothingLeftToLearnFromIsRefused) {
  TrainOptions options = Options("x,Failed\n1,0\n2,1\n");
  options.ignore = {"x"};
  EXPECT_THAT(Refusal(options), HasSubstr("no column is left"));
}

TEST_F(TrainerTest, AColumnNamedTwiceOrUnknownIsRefused) {
  TrainOptions options = Options(MachineCsv(100, 1));
  options.id = {"Unit"};
  options.ignore = {"Unit"};
  EXPECT_THAT(Refusal(options), HasSubstr("'Unit' is named twice"));
  options.ignore = {"Unti"};
  EXPECT_THAT(Refusal(options), HasSubstr("no column to ignore 'Unti'"));
}

TEST_F(TrainerTest, ExistingOutputIsNotTouched) {
  TrainOptions options = Options(MachineCsv(100, 1));
  options.out = path("data.csv");
  EXPECT_THAT(Refusal(options, ErrorCode::kAlreadyExists), HasSubstr("is there already"));
}

TEST_F(TrainerTest, BadNamesAreRefused) {
  TrainOptions options = Options(MachineCsv(100, 1));
  options.name = "Milling Machine";
  EXPECT_THAT(Refusal(options), HasSubstr("model name"));
}

TEST_F(TrainerTest, InterruptionLeavesNothing) {
  TrainOptions options = Options(MachineCsv(600, 1));
  int asked = 0;
  options.cancelled = [&] { return ++asked > 20; };
  EXPECT_THAT(Refusal(options, ErrorCode::kUnavailable), HasSubstr("interrupted"));
}

TEST(ShuffledRows, IsAPermutationThatTheSeedDecides) {
  std::vector<std::size_t> order = ShuffledRows(1'000, 7);
  EXPECT_EQ(order, ShuffledRows(1'000, 7));
  EXPECT_NE(order, ShuffledRows(1'000, 8));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
}

TEST_F(TrainerTest, Ai4iReachesTheExpectedFigures) {
  const auto file = Ai4iFile();
  if (!file) GTEST_SKIP() << "SKERRY_TEST_DATA is not set";
  TrainOptions options;
  options.data = {*file};
  options.label = "Machine failure";
  options.ignore = {"UDI", "TWF", "HDF", "PWF", "OSF", "RNF"};
  options.name = "milling";
  options.out = path("package");
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  std::cout << report->ToText();
  EXPECT_GT(report->model.auc.value, 0.94);
  EXPECT_GT(report->model.average_precision.value, 0.68);
  EXPECT_NEAR(report->logistic_regression.auc.value, 0.90, 0.05);
  EXPECT_NEAR(report->logistic_regression.average_precision.value, 0.45, 0.12);
  EXPECT_GT(report->model.average_precision.low,
            report->logistic_regression.average_precision.value);
  EXPECT_EQ(report->majority.auc.value, 0.5);
  EXPECT_LE(report->max_model_difference, 1e-5);
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  EXPECT_EQ((*package)->schema.Find("product_id")->role, FieldRole::kId);
  EXPECT_EQ((*package)->schema.feature_count(), 6U);
}

}  // namespace
}  // namespace skerry
