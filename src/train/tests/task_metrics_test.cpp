#include "train/task_metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace skerry {
namespace {

double Figure(const TaskScores& scores, const std::string& name) {
  for (const auto& [figure, interval] : scores.figures)
    if (figure == name) return interval.value;
  ADD_FAILURE() << name;
  return 0;
}

// By scikit-learn 1.9: log_loss, accuracy_score, f1_score(average="macro").
TEST(TaskMetrics, FiguresOfClassesAreThoseOfScikitLearn) {
  const std::vector<float> probabilities = {0.7F, 0.2F, 0.1F, 0.1F, 0.8F, 0.1F,
                                            0.3F, 0.4F, 0.3F, 0.5F, 0.1F, 0.4F};
  const std::vector<std::uint8_t> labels = {0, 1, 2, 0};
  const TaskScores judged = JudgeClasses(probabilities, labels, 3, {});
  const double loss = -(std::log(0.7) + std::log(0.8) + std::log(0.3) + std::log(0.5)) / 4;
  EXPECT_NEAR(Figure(judged, "log_loss"), loss, 1e-6);
  EXPECT_NEAR(Figure(judged, "accuracy"), 0.75, 1e-12);
  EXPECT_NEAR(Figure(judged, "macro_f1"), (1 + 2.0 / 3 + 0) / 3, 1e-12);
  EXPECT_EQ(judged.confusion,
            (std::vector<std::vector<std::uint64_t>>{{2, 0, 0}, {0, 1, 0}, {0, 1, 0}}));
}

TEST(TaskMetrics, FiguresOfValuesAreTheirDefinitions) {
  const TaskScores judged =
      JudgeValues(std::vector<float>{1, 2, 5}, std::vector<float>{1, 3, 2}, {});
  EXPECT_NEAR(Figure(judged, "rmse"), std::sqrt((0 + 1 + 9) / 3.0), 1e-12);
  EXPECT_NEAR(Figure(judged, "mae"), 4.0 / 3, 1e-12);
  EXPECT_NEAR(Figure(judged, "r2"), 1 - 10.0 / 2, 1e-12);
}

TEST(TaskMetrics, R2OfOneValueIsMissing) {
  const TaskScores judged = JudgeValues(std::vector<float>{1, 2}, std::vector<float>{3, 3}, {});
  EXPECT_TRUE(std::isnan(Figure(judged, "r2")));
}

TEST(TaskMetrics, FalseAlarmsAreThoseOfClass0) {
  const std::vector<float> scores = {0.9F, 0.5F, 0.4F, 0.8F, 0.1F};
  const std::vector<std::uint8_t> labels = {1, 0, 0, 0, 1};
  const TaskScores judged = JudgeAlarms(scores, labels, 0.5, {});
  EXPECT_NEAR(Figure(judged, "alarm_rate"), 3.0 / 5, 1e-12);
  EXPECT_NEAR(Figure(judged, "false_alarm_rate"), 2.0 / 3, 1e-12);
  EXPECT_EQ(JudgeAlarms(scores, {}, 0.5, {}).figures.size(), 1U);
}

void ExpectNear(const Interval& a, const Interval& b, double share) {
  EXPECT_EQ(a.value, b.value);
  EXPECT_NE(a.low, b.low);  // drawn in another way
  EXPECT_NEAR(a.low, b.low, share * (b.high - b.low));
  EXPECT_NEAR(a.high, b.high, share * (b.high - b.low));
}

// Groups are drawn above so many rows, rows below.
TEST(TaskMetrics, DrawnGroupsGiveTheIntervalsOfDrawnRows) {
  constexpr std::size_t kRows = 20'000;
  SeededRandom random(5);
  std::vector<float> values, targets, scores;
  std::vector<std::uint8_t> labels;
  for (std::size_t i = 0; i < kRows; ++i) {
    targets.push_back(static_cast<float>(1'000 + 5 * random.NextGaussian()));
    values.push_back(targets.back() + static_cast<float>(random.NextGaussian()));
    scores.push_back(static_cast<float>(random.NextDouble()));
    labels.push_back(random.NextDouble() < static_cast<double>(scores.back()) ? 1 : 0);
  }
  std::vector<float> both;
  for (const float score : scores) both.insert(both.end(), {1 - score, score});
  const BootstrapOptions rows{.drawn_rows = kRows}, groups{.drawn_rows = kRows - 1};
  const auto expect_near = [](const TaskScores& a, const TaskScores& b) {
    for (std::size_t i = 0; i < a.figures.size(); ++i)
      ExpectNear(a.figures[i].second, b.figures[i].second, 0.12);
    EXPECT_EQ(a.confusion, b.confusion);
  };
  expect_near(JudgeValues(values, targets, groups), JudgeValues(values, targets, rows));
  expect_near(JudgeClasses(both, labels, 2, groups), JudgeClasses(both, labels, 2, rows));
  expect_near(JudgeAlarms(scores, labels, 0.97, groups), JudgeAlarms(scores, labels, 0.97, rows));
  ExpectNear(JudgeProbabilities({scores, labels}, groups).brier,
             JudgeProbabilities({scores, labels}, rows).brier, 0.12);
}

// 95 % intervals of 200 samples each hold the truth about as often as they say.
TEST(TaskMetrics, IntervalsCoverTheTruth) {
  SeededRandom random(7);
  int covered = 0;
  constexpr int kSamples = 200;
  for (int sample = 0; sample < kSamples; ++sample) {
    std::vector<float> scores;
    for (int row = 0; row < 400; ++row) scores.push_back(static_cast<float>(random.NextDouble()));
    const TaskScores judged = JudgeAlarms(scores, {}, 0.9, {.seed = 1, .resamples = 300});
    const Interval& rate = judged.figures[0].second;
    covered += rate.low <= 0.1 && 0.1 <= rate.high;
  }
  EXPECT_GE(covered, kSamples * 88 / 100);
}

}  // namespace
}  // namespace skerry
