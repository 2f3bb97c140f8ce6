#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <numeric>

#include "base/random.h"
#include "model/package.h"
#include "storage/file.h"
#include "train/graph_runs.h"
#include "train/model_fit.h"
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
  EXPECT_LE(report->max_model_difference, 1e-6);
  EXPECT_LE(report->max_detector_difference, 1e-5);
  EXPECT_GT(report->model.auc.value, 0.8);
  for (const char* file : {"model.onnx", "detector.onnx", "schema.json", "reference.json",
                           "card.md", "report.json", "provenance.json"})
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

TEST_F(TrainerTest, SameSeedGivesTheSamePackageBytes) {
  TrainOptions options = Options(MachineCsv(600, 2));
  ASSERT_TRUE(Train(options));
  options.out = path("again");
  ASSERT_TRUE(Train(options));
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("package"))) {
    const std::filesystem::path file = entry.path().filename();
    EXPECT_EQ(*ReadFile(entry.path(), kMaxBytes), *ReadFile(path("again") / file, kMaxBytes))
        << file;
    ++files;
  }
  EXPECT_GE(files, 13U);  // six plots among them
  options.seed = 2;
  options.out = path("other");
  ASSERT_TRUE(Train(options));
  EXPECT_NE(*ReadFile(path("package/model.onnx"), kMaxBytes),
            *ReadFile(path("other/model.onnx"), kMaxBytes));
}

TEST_F(TrainerTest, ThresholdsAreChosenForWhatIsAskedAndTold) {
  TrainOptions options = Options(MachineCsv(2'000, 21));
  options.detector.alarm_rate = 0.03;
  std::vector<TrainReport> reports;
  for (const char* goal : {"f1", "cost=1:20", "alarm-rate=0.05"}) {
    options.threshold = *ThresholdGoal::Parse(goal);
    options.out = path(fmt::format("package-{}", reports.size()));
    const auto report = Train(options);
    ASSERT_TRUE(report) << report.error().ToString();
    reports.push_back(*report);
    const auto package = LoadPackage(options.out, {});
    ASSERT_TRUE(package) << package.error().ToString();
    EXPECT_EQ((*package)->reference.threshold_goal, options.threshold);
    EXPECT_EQ((*package)->reference.anomaly_alarm_rate, 0.03);
  }
  EXPECT_LT(reports[1].threshold, reports[0].threshold) << "what is missed costs more";
  EXPECT_EQ(reports[0].cross_validation.cost, std::nullopt);
  const Confusion& costly = reports[1].model.confusion;
  EXPECT_NEAR(reports[1].model.cost->value,
              static_cast<double>(costly.false_positive + 20 * costly.false_negative) / 400, 1e-12);
  EXPECT_LE(reports[1].model.cost->low, reports[1].model.cost->value);
  EXPECT_NEAR(reports[2].cross_validation.alarm_rate.value, 0.05, 0.001);
  EXPECT_LE(reports[2].cross_validation.alarm_rate.value, 0.05);
  // The detector's: at most the stated share of class 0 on rows that each detector did not see.
  const auto& [name, rate] = reports[0].alarm_folds.figures.at(1);
  EXPECT_EQ(name, "false_alarm_rate");
  EXPECT_NEAR(rate.value, 0.03, 0.001);
  EXPECT_LE(rate.value, 0.03);
}

TEST_F(TrainerTest, CalibrationsAreExportedAndJudged) {
  TrainOptions options = Options(MachineCsv(2'000, 23));
  for (const auto kind : {CalibrationKind::kSigmoid, CalibrationKind::kIsotonic}) {
    options.calibration = kind;
    options.out = path(std::string(CalibrationName(kind)));
    const auto report = Train(options);
    ASSERT_TRUE(report) << report.error().ToString();
    EXPECT_LE(report->max_model_difference, 1e-6);
    const CalibrationReport& calibration = report->calibration;
    EXPECT_EQ(calibration.function.kind, kind);
    EXPECT_EQ(calibration.holdout.bins.size(), 10U);
    EXPECT_EQ(calibration.holdout_before.bins.size(), 10U);
    EXPECT_LT(calibration.holdout.brier.value, calibration.holdout_before.brier.value + 0.01);
    const auto package = LoadPackage(options.out, {});
    ASSERT_TRUE(package) << package.error().ToString();
    EXPECT_EQ((*package)->trees.has_value(), kind == CalibrationKind::kSigmoid)
        << "what is still a tree ensemble is explained";
  }
  options.label = "";
  options.task = "anomaly";
  options.out = path("none");
  EXPECT_FALSE(Train(options));
}

TEST_F(TrainerTest, AThresholdIsOfTwoClasses) {
  TrainOptions options = Options(MachineCsv(600, 22));
  options.threshold = *ThresholdGoal::Parse("cost=1:9");
  options.task = "anomaly";
  options.label = "";
  EXPECT_THAT(Refusal(options), HasSubstr("leave out --threshold cost=1:9"));
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

TEST_F(TrainerTest, CopiesStayOnOneSideAndAreCounted) {
  // Every row four times: a model that has seen a row's copy would know its label.
  SeededRandom random(9);
  std::string csv = "a,b,Failed\n";
  for (int i = 0; i < 300; ++i) {
    const std::string line = fmt::format("{:.4f},{:.4f},{}\n", random.NextDouble(),
                                         random.NextDouble(), random.NextBelow(2));
    for (int copy = 0; copy < 4; ++copy) csv += line;
  }
  const auto report = Train(Options(csv));
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->split.copies, 900U);
  EXPECT_EQ(report->holdout_rows, 240U);
  EXPECT_LT(report->model.auc.value, 0.65) << "labels are noise";
  EXPECT_LT(report->cross_validation.auc.value, 0.6) << "labels are noise";
  ASSERT_EQ(report->warnings.size(), 1U);
  EXPECT_THAT(report->warnings[0], HasSubstr("900 of 1200 rows have the features of an earlier"));
}

TEST_F(TrainerTest, FewDifferentRowsRepeatByNature) {
  std::string csv = "grade,shift,Failed\n";
  SeededRandom random(4);
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t grade = random.NextBelow(3);
    csv += fmt::format("{},{},{}\n", "ABC"[grade], "xy"[random.NextBelow(2)],
                       random.NextDouble() < 0.2 * static_cast<double>(grade) ? 1 : 0);
  }
  const auto report = Train(Options(csv));
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->holdout_rows, 100U);
  ASSERT_EQ(report->warnings.size(), 1U);
  EXPECT_THAT(report->warnings[0], HasSubstr("repeat by nature"));
}

// The label is a matter of the unit alone, and each row carries a trace of its unit.
std::string UnitCsv() {
  SeededRandom random(3);
  std::string csv = "trace,wear,unit,day,Failed\n";
  for (int i = 0; i < 800; ++i) {
    const int unit = i % 40;
    const int failed = unit * 7 % 10 < 3 ? 1 : 0;
    csv += fmt::format("{:.3f},{:.3f},u{},2026-01-{:02},{}\n", unit + 0.1 * random.NextDouble(),
                       random.NextDouble(), unit, 1 + i * 28 / 800, failed);
  }
  return csv;
}

TEST_F(TrainerTest, GroupsAreOnOneSide) {
  TrainOptions options = Options(UnitCsv());
  options.ignore = {"day", "unit"};
  options.parameters.trees = 200;
  const auto leaking = Train(options);
  ASSERT_TRUE(leaking) << leaking.error().ToString();
  EXPECT_GT(leaking->model.auc.value, 0.9) << "units are known again by their trace";
  options.out = path("honest");
  options.group_column = "unit";
  const auto honest = Train(options);
  ASSERT_TRUE(honest) << honest.error().ToString();
  EXPECT_EQ(honest->split.groups, 40U);
  EXPECT_EQ(honest->holdout_rows, 160U) << "eight units, whole";
  EXPECT_LT(honest->cross_validation.auc.value, 0.7) << "an unseen unit cannot be known";
}

TEST_F(TrainerTest, TheLatestDaysAreHeldOut) {
  TrainOptions options = Options(UnitCsv());
  options.time_column = "day";
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->holdout_rows, 171U) << "the last six days, whole";
  EXPECT_EQ(report->split.time_column, "day");
  const auto card = ReadFile(path("package/card.md"), kMaxBytes);
  ASSERT_TRUE(card);
  EXPECT_THAT(*card, HasSubstr("the latest rows by `day` were held out"));
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package);
  EXPECT_EQ((*package)->schema.Find("day")->role, FieldRole::kContext);
}

TEST_F(TrainerTest, ATimeColumnOfWordsIsRefused) {
  TrainOptions options = Options(UnitCsv());
  options.time_column = "unit";
  EXPECT_THAT(Refusal(options), HasSubstr("time column 'unit' holds text"));
  options.time_column = "hour";
  EXPECT_THAT(Refusal(options), HasSubstr("no time column 'hour'"));
  options.time_column = "Failed";
  EXPECT_THAT(Refusal(options), HasSubstr("'Failed' is named twice"));
}

TEST_F(TrainerTest, WeightsCountRows) {
  // One row in two says the opposite, and weighs next to nothing.
  std::string csv = "x,w,Failed\n";
  SeededRandom random(8);
  for (int i = 0; i < 600; ++i) {
    const double x = random.NextDouble();
    const bool trusted = i % 2 == 0;
    csv += fmt::format("{:.5f},{},{}\n", x, trusted ? "1" : "0.001", (x > 0.5) == trusted ? 1 : 0);
  }
  TrainOptions options = Options(csv);
  options.weight_column = "w";
  options.holdout = 0;
  ASSERT_TRUE(Train(options));
  WriteText(path("clean.csv"), "x,Failed\n0.9,1\n0.8,1\n0.2,0\n0.1,0\n");
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package);
  EXPECT_EQ((*package)->schema.Find("w"), nullptr);
  const auto scores = RunGraph(*(*package)->predictor, {.columns = 1, .values = {0.9F, 0.1F}},
                               "probabilities", 2, 1);
  ASSERT_TRUE(scores);
  EXPECT_GT((*scores)[0], 0.8F);
  EXPECT_LT((*scores)[1], 0.2F);
}

TEST_F(TrainerTest, NegativeWeightsAreRefusedWithTheirRows) {
  TrainOptions options = Options("x,w,Failed\n1,1,0\n2,-1,1\n3,0,1\n");
  options.weight_column = "w";
  EXPECT_THAT(Refusal(options), HasSubstr("'w' is blank, zero or negative in row 2, 3"));
}

TEST_F(TrainerTest, ColumnsOfOneValueAreLeftOutWithAWord) {
  std::string csv = "x,site,zero,blank,Failed\n";
  for (int i = 0; i < 200; ++i) csv += fmt::format("{},north,0.5,,{}\n", i, i * 7 % 200 > 100);
  TrainOptions options = Options(csv);
  std::string said;
  options.progress = [&](std::string_view line) { said += std::string(line) + "\n"; };
  ASSERT_TRUE(Train(options));
  EXPECT_THAT(said, HasSubstr("column 'site' is 'north' throughout: left out"));
  EXPECT_THAT(said, HasSubstr("column 'zero' is 0.5 throughout: left out"));
  EXPECT_THAT(said, HasSubstr("column 'blank' is blank throughout: left out"));
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package);
  EXPECT_EQ((*package)->schema.fields.size(), 1U);
}

TEST_F(TrainerTest, AFeatureThatGivesTheLabelAwayIsWarnedAbout) {
  std::string csv = "x,repaired,Failed\n";
  for (int i = 0; i < 200; ++i)
    csv += fmt::format("{},{},{}\n", i * 31 % 200, i % 3 == 0 ? "later" : "no", i % 3 == 0 ? 1 : 0);
  const auto report = Train(Options(csv));
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_THAT(report->ToText(),
              HasSubstr("warning: label 'Failed' is a function of column 'repaired'"));
}

TEST_F(TrainerTest, FilesThatDisagreeAreRefusedWithTheColumn) {
  TrainOptions options = Options("x,z,Failed\n1,2,0\n2,3,1\n");
  options.data.push_back(path("more.csv"));
  WriteText(path("more.csv"), "x,Failed\n1,0\n");
  EXPECT_THAT(Refusal(options), HasSubstr("more.csv has no column 'z'"));
  WriteText(path("more.csv"), "x,y,z,Failed\n1,1,1,0\n");
  EXPECT_THAT(Refusal(options), HasSubstr("more.csv has a column 'y', which the files before"));
  WriteText(path("more.csv"), "x,z,Failed\n1,high,0\n");
  EXPECT_THAT(Refusal(options), HasSubstr("column 'z' is text in "));
}

TEST_F(TrainerTest, AColumnThatOneFileMissesThroughoutTakesTheOthersType) {
  TrainOptions options = Options(MachineCsv(300, 5));
  std::string csv = "Speed [rpm],Torque [Nm],Grade,Unit,Failed\n";
  for (int i = 0; i < 20; ++i) csv += fmt::format("{},,B,u{},0\n", 1'200 + i, i);
  WriteText(path("more.csv"), csv);
  options.data.push_back(path("more.csv"));
  const auto report = Train(options);
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_EQ(report->rows, 320U);
}

TEST_F(TrainerTest, AFileThatChangesMeanwhileIsRefused) {
  TrainOptions options = Options(MachineCsv(300, 5));
  options.progress = [&](std::string_view line) {
    if (line.starts_with("reading"))
      std::ofstream(path("data.csv"), std::ios::app) << "1,2,A,late,0\n";
  };
  EXPECT_THAT(Refusal(options, ErrorCode::kFailedPrecondition),
              HasSubstr("data.csv changed while it was read"));
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

TEST_F(TrainerTest, NumbersThatMayBeClassesAreAskedAbout) {
  EXPECT_THAT(Refusal(Options("x,Failed\n1,0\n2,1\n3,2\n")),
              AllOf(HasSubstr("3 different numbers"), HasSubstr("--task regression")));
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
  EXPECT_LE(report->max_model_difference, 1e-6);
  const auto package = LoadPackage(path("package"), {});
  ASSERT_TRUE(package) << package.error().ToString();
  EXPECT_EQ((*package)->schema.Find("product_id")->role, FieldRole::kId);
  EXPECT_EQ((*package)->schema.feature_count(), 6U);
}

}  // namespace
}  // namespace skerry
