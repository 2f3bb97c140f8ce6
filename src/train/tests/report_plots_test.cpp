#include "train/report_plots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/limits.h"
#include "base/random.h"

namespace skerry {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t CountOf(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

ModelSchema SchemaOf(ModelTask task, std::vector<std::string> classes) {
  ModelSchema schema;
  schema.task = task;
  schema.label_column = "yield <kg>";
  schema.classes = std::move(classes);
  for (const char* name : {"first", "second"})
    schema.fields.push_back({.name = name, .column = name, .categories = {}});
  return schema;
}

LabelledRows RowsOf(ModelTask task, std::size_t count, std::size_t classes = 2) {
  LabelledRows rows{.task = task, .classes = classes};
  rows.features.columns = 2;
  SeededRandom random(3);
  for (std::size_t row = 0; row < count; ++row) {
    rows.features.values.push_back(static_cast<float>(random.NextGaussian()));
    rows.features.values.push_back(row % 7 == 0 ? std::numeric_limits<float>::quiet_NaN()
                                                : static_cast<float>(row % 3));
    rows.labels.push_back(static_cast<std::uint8_t>(row % classes));
    rows.weights.push_back(1);
    if (task == ModelTask::kRegression) rows.targets.push_back(static_cast<float>(row));
  }
  return rows;
}

// `count` stumps on each of two features.
TreeEnsemble Stumps(std::size_t count, std::size_t depth = 1) {
  TreeEnsemble trees{.features = 2, .depth = depth};
  for (std::size_t i = 0; i < count; ++i) {
    Tree tree(3);
    tree[0] = {
        .left = 1, .right = 2, .feature = static_cast<int>(i % 2), .threshold = 0.5F, .cover = 10};
    tree[1] = {.value = -1, .cover = 5};
    tree[2] = {.value = 2, .cover = 5};
    trees.trees.push_back(std::move(tree));
  }
  return trees;
}

TEST(ReportPlotsTest, ScatterShowsNoMoreRowsThanItsLimit) {
  const ModelSchema schema = SchemaOf(ModelTask::kRegression, {});
  const LabelledRows rows = RowsOf(ModelTask::kRegression, limits::kPlottedRows + 500);
  std::vector<float> outputs = rows.targets;
  for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] += static_cast<float>(i % 40);
  const TaskScores scores{{{"rmse", {1, 0.5, 1.5}}}, {}};
  const JudgedRows judged{
      .kind = "held-out rows", .schema = &schema, .rows = &rows, .outputs = outputs};
  const JudgedFigures figures{.task = &scores};
  for (const PlotFile& plot :
       {PlotPredicted(judged, figures, 1), PlotResiduals(judged, figures, 1)}) {
    EXPECT_THAT(plot.svg, HasSubstr("1000 of 1500 held-out rows, drawn at random"));
    EXPECT_LE(CountOf(plot.svg, "h.01"), limits::kPlottedRows);
    EXPECT_GT(CountOf(plot.svg, "h.01"), limits::kPlottedRows / 2);
    EXPECT_THAT(plot.svg, HasSubstr("predicted yield &lt;kg&gt;"));
    EXPECT_THAT(plot.svg, HasSubstr("RMSE 1 [0.5, 1.5]"));
  }
  EXPECT_EQ(PlotPredicted(judged, figures, 1).svg, PlotPredicted(judged, figures, 1).svg);
  EXPECT_NE(PlotPredicted(judged, figures, 1).svg, PlotPredicted(judged, figures, 2).svg);
}

TEST(ReportPlotsTest, ConfusionOfTooManyClassesIsNotDrawn) {
  const std::vector<std::vector<std::uint64_t>> confusion(
      limits::kPlottedClasses + 1, std::vector<std::uint64_t>(limits::kPlottedClasses + 1, 2));
  std::vector<std::string> classes;
  for (std::size_t k = 0; k <= limits::kPlottedClasses; ++k) classes.push_back(std::to_string(k));
  ModelSchema schema = SchemaOf(ModelTask::kMulticlass, classes);
  const LabelledRows rows = RowsOf(ModelTask::kMulticlass, 100, classes.size());
  TaskScores scores{{}, confusion};
  const JudgedRows judged{.kind = "rows", .schema = &schema, .rows = &rows};
  EXPECT_FALSE(PlotConfusion(judged, {.task = &scores}));
  scores.confusion.resize(limits::kPlottedClasses);
  for (auto& row : scores.confusion) row.resize(limits::kPlottedClasses);
  schema.classes.pop_back();
  const auto plot = PlotConfusion(judged, {.task = &scores});
  ASSERT_TRUE(plot);
  EXPECT_EQ(CountOf(plot->svg, "class=\"cell\""),
            limits::kPlottedClasses * limits::kPlottedClasses);
}

TEST(ReportPlotsTest, CurvesOfManyClassesAreThoseOfMostRows) {
  std::vector<std::string> classes;
  for (std::size_t k = 0; k < 12; ++k) classes.push_back(fmt::format("class & {}", k));
  const ModelSchema schema = SchemaOf(ModelTask::kMulticlass, classes);
  LabelledRows rows = RowsOf(ModelTask::kMulticlass, 600, 12);
  for (std::size_t row = 0; row < 300; ++row) rows.labels[row] = 11;  // the most rows
  std::vector<float> outputs(600 * 12, 0.01F);
  for (std::size_t row = 0; row < 600; ++row)
    outputs[row * 12 + (row % 5 == 0 ? row % 12 : rows.labels[row])] = 0.89F;
  const JudgedRows judged{.kind = "rows", .schema = &schema, .rows = &rows, .outputs = outputs};
  const PlotFile plot = PlotRoc(judged, {});
  EXPECT_THAT(plot.svg, HasSubstr("class &amp; 11 against the rest: AUC"));
  EXPECT_THAT(plot.svg, HasSubstr("the 8 classes of most rows, of 12"));
  EXPECT_EQ(CountOf(plot.svg, "against the rest"), 8U);
}

TEST(ReportPlotsTest, ContributionsAreOfAtMostSoManyRowsAndFeatureValuesHaveColours) {
  const ModelSchema schema = SchemaOf(ModelTask::kBinary, {"0", "1"});
  LabelledRows rows = RowsOf(ModelTask::kBinary, limits::kPlottedContributions + 200);
  rows.features.categorical = {0, 0};
  const std::vector<float> outputs(rows.rows(), 0.5F);
  const JudgedRows judged{
      .kind = "held-out rows", .schema = &schema, .rows = &rows, .outputs = outputs};
  const auto plot = PlotContributions(judged, Stumps(4), 1);
  ASSERT_TRUE(plot);
  EXPECT_THAT(plot->svg, HasSubstr("500 of 700 held-out rows; 2 of 2 features"));
  for (const int ink : {9, 10, 11, 12, 13, 8})  // low to high, missing
    EXPECT_THAT(plot->svg, HasSubstr(fmt::format("class=\"dot s{}\"", ink)));
  // A stump of even cover moves a row by -1.5 or +1.5: two of them on each feature.
  EXPECT_THAT(plot->svg, HasSubstr(">3</text>"));
}

TEST(ReportPlotsTest, TreesThatWouldTakeTooLongAreExplainedOnFewerRowsOrNotAtAll) {
  const ModelSchema schema = SchemaOf(ModelTask::kBinary, {"0", "1"});
  const LabelledRows rows = RowsOf(ModelTask::kBinary, 600);
  const std::vector<float> outputs(rows.rows(), 0.5F);
  const JudgedRows judged{.kind = "rows", .schema = &schema, .rows = &rows, .outputs = outputs};
  // 1,000 trees of two leaves, told to be so deep that 40 rows and 19 rows are within the limit.
  const auto depth_for = [](std::uint64_t steps_a_row) {
    return static_cast<std::size_t>(std::sqrt(static_cast<double>(steps_a_row) / 2'000));
  };
  const auto fewer =
      PlotContributions(judged, Stumps(1'000, depth_for(limits::kContributionSteps / 40)), 1);
  ASSERT_TRUE(fewer);
  EXPECT_THAT(fewer->svg, HasSubstr("40 of 600 rows"));
  EXPECT_FALSE(PlotContributions(
      judged,
      Stumps(1'000, depth_for(limits::kContributionSteps / limits::kLeastContributions) + 20), 1));
}

TEST(ReportPlotsTest, AnomalyScoresOfOneValueAreDrawn) {
  const ModelSchema schema = SchemaOf(ModelTask::kAnomaly, {});
  const LabelledRows rows = RowsOf(ModelTask::kAnomaly, 50);
  const std::vector<float> anomaly(50, 0.4F);
  const TaskScores alarms{{{"alarm_rate", {0, std::nan(""), std::nan("")}}}, {}};
  const JudgedRows judged{
      .kind = "rows", .schema = &schema, .rows = &rows, .anomaly_scores = anomaly};
  const JudgedFigures figures{.alarms = &alarms, .anomaly_threshold = 0.4};
  const PlotFile plot = PlotAnomalyScores(judged, figures);
  EXPECT_THAT(plot.svg, HasSubstr("threshold 0.4"));
  EXPECT_THAT(plot.svg, HasSubstr("class=\"bar f0\""));
  EXPECT_THAT(PlotSection({plot}), HasSubstr("![Anomaly scores](plot-anomaly.svg)"));
  EXPECT_EQ(DrawPlots(judged, figures, nullptr, {}, 1).size(), 1U);
}

TEST(ReportPlotsTest, AnomalyScoresFarOutAreInTheLastBar) {
  const ModelSchema schema = SchemaOf(ModelTask::kAnomaly, {});
  const LabelledRows rows = RowsOf(ModelTask::kAnomaly, 50);
  std::vector<float> anomaly(50, 0.4F);
  anomaly[7] = 1e12F;
  const TaskScores alarms{{{"alarm_rate", {0.02, 0, 0.1}}}, {}};
  const JudgedRows judged{
      .kind = "rows", .schema = &schema, .rows = &rows, .anomaly_scores = anomaly};
  const PlotFile plot = PlotAnomalyScores(judged, {.alarms = &alarms, .anomaly_threshold = 1});
  EXPECT_THAT(plot.reading, HasSubstr("Scores over 4 are in the last bar"));
  EXPECT_THAT(plot.svg, Not(HasSubstr("e+")));
}

TEST(ReportPlotsTest, GainsAreShownAsSharesTheGreatestOnly) {
  FieldGains gains;
  for (int i = 0; i < 40; ++i) gains.emplace_back(fmt::format("field_{}", i), i == 0 ? 50 : 1);
  const PlotFile plot = PlotImportance(gains);
  EXPECT_THAT(plot.svg, HasSubstr("the 15 greatest of 40 features"));
  EXPECT_THAT(plot.svg, HasSubstr(">56.2 %</text>"));
  EXPECT_THAT(plot.svg, Not(HasSubstr("field_15")));
  EXPECT_THAT(PlotImportance({{"one", 0}}).svg, HasSubstr(">0 %</text>"))
      << "a model without a split";
}

}  // namespace
}  // namespace skerry
