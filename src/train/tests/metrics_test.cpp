#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace skerry {
namespace {

struct Sample {
  std::vector<float> scores;
  std::vector<std::uint8_t> labels;
  ScoredRows rows() const { return {scores, labels}; }
  ScoreCounts counts() const { return CountScores(rows()); }
};

// Positives score `shift` standard deviations higher.
Sample MakeSample(std::size_t rows, double shift, std::uint64_t seed) {
  SeededRandom random(seed);
  Sample sample;
  for (std::size_t i = 0; i < rows; ++i) {
    const bool positive = random.NextDouble() < 0.2;
    sample.labels.push_back(positive ? 1 : 0);
    sample.scores.push_back(static_cast<float>(random.NextGaussian() + (positive ? shift : 0)));
  }
  return sample;
}

// Values from scikit-learn's roc_auc_score and average_precision_score.
Interval IntervalOf(const Sample& sample, const Metric& metric) {
  return BootstrapIntervals(sample.rows(), std::span(&metric, 1), {}).front();
}

TEST(Metrics, AgreeWithScikitLearnWhereScoresTie) {
  const Sample sample{{0.1F, 0.4F, 0.35F, 0.8F, 0.4F, 0.4F}, {0, 0, 1, 1, 1, 0}};
  EXPECT_NEAR(AreaUnderRoc(sample.counts()), 0.6666666666666667, 1e-12);
  EXPECT_NEAR(AveragePrecision(sample.counts()), 0.7, 1e-12);
}

TEST(Metrics, PerfectRankingScoresOne) {
  const Sample sample{{0.1F, 0.2F, 0.8F, 0.9F}, {0, 0, 1, 1}};
  EXPECT_EQ(AreaUnderRoc(sample.counts()), 1);
  EXPECT_EQ(AveragePrecision(sample.counts()), 1);
}

TEST(Metrics, OneClassAloneHasNoAreaUnderRoc) {
  const Sample sample{{0.1F, 0.2F}, {0, 0}};
  EXPECT_TRUE(std::isnan(AreaUnderRoc(sample.counts())));
  EXPECT_TRUE(std::isnan(AveragePrecision(sample.counts())));
}

std::uint64_t RowsFrom(const Sample& sample, double threshold) {
  std::uint64_t rows = 0;
  for (const float score : sample.scores) rows += score >= static_cast<float>(threshold);
  return rows;
}

TEST(Metrics, ThresholdOfAlarmRateLetsNoMoreThanThatThrough) {
  const Sample sample = MakeSample(2'000, 1, 3);
  EXPECT_EQ(RowsFrom(sample, ThresholdOfAlarmRate(sample.counts(), 0.01)), 20U);
  EXPECT_EQ(RowsFrom(sample, ThresholdOfAlarmRate(sample.counts(), 0.07)), 140U);
  EXPECT_EQ(RowsFrom(sample, ThresholdOfAlarmRate(sample.counts(), 0.0004)), 0U);
  EXPECT_EQ(RowsFrom(sample, ThresholdOfAlarmRate(sample.counts(), 0)), 0U);
  const Sample ties{{0.5F, 0.5F, 0.5F, 0.2F}, {0, 1, 0, 0}};
  EXPECT_EQ(RowsFrom(ties, ThresholdOfAlarmRate(ties.counts(), 0.5)), 0U);
  EXPECT_EQ(RowsFrom(ties, ThresholdOfAlarmRate(ties.counts(), 0.75)), 3U);
  const Sample sure{{1.0F, 1.0F}, {0, 1}};
  EXPECT_EQ(RowsFrom(sure, ThresholdOfAlarmRate(sure.counts(), 0.1)), 0U);
}

// Against every threshold that there is.
TEST(Metrics, ThresholdOfLeastCostIsTheBestOfAll) {
  const Sample sample = MakeSample(500, 1.5, 4);
  const ScoreCounts counts = sample.counts();
  for (const double missed : {0.01, 1.0, 5.0, 20.0, 1000.0}) {
    const ThresholdGoal goal{.kind = ThresholdGoal::Kind::kCost,
                             .false_positive_cost = 1,
                             .false_negative_cost = missed};
    const double chosen = ConfusionAt(counts, ThresholdFor(goal, counts)).cost(goal);
    double least = ConfusionAt(counts, 100).cost(goal);
    for (const float score : sample.scores)
      least = std::min(least, ConfusionAt(counts, score).cost(goal));
    EXPECT_EQ(chosen, least) << missed;
  }
}

TEST(Metrics, FiguresAtAThresholdAreTheirDefinitions) {
  const Confusion confusion{
      .true_negative = 6, .false_positive = 2, .false_negative = 1, .true_positive = 1};
  const ThresholdGoal goal{
      .kind = ThresholdGoal::Kind::kCost, .false_positive_cost = 3, .false_negative_cost = 10};
  EXPECT_DOUBLE_EQ(confusion.alarm_rate(), 0.3);
  EXPECT_DOUBLE_EQ(confusion.false_alarm_rate(), 0.25);
  EXPECT_DOUBLE_EQ(confusion.cost(goal), 1.6);
  EXPECT_EQ(Confusion{}.alarm_rate(), 0);
}

TEST(Metrics, ThresholdOfMaxF1SeparatesWithoutTouchingEitherSide) {
  const Sample sample{{0.1F, 0.2F, 0.6F, 0.9F}, {0, 0, 1, 1}};
  const double threshold = ThresholdOfMaxF1(sample.counts());
  EXPECT_GT(threshold, 0.2);
  EXPECT_LT(threshold, 0.6);
  EXPECT_EQ(ConfusionAt(sample.counts(), threshold).f1(), 1);
}

TEST(Metrics, ConfusionCountsEveryRowOnce) {
  const Sample sample = MakeSample(500, 1, 7);
  const Confusion c = ConfusionAt(sample.counts(), 0.5);
  EXPECT_EQ(c.true_negative + c.false_negative + c.true_positive + c.false_positive, 500U);
  const Confusion of_rows = ConfusionOf(sample.rows(), 0.5);
  EXPECT_EQ(c.ToJson(), of_rows.ToJson());
}

TEST(Bootstrap, IntervalHoldsTheValueAndShrinksWithRows) {
  const Sample few = MakeSample(200, 1, 3);
  const Sample many = MakeSample(5'000, 1, 3);
  const Interval wide = IntervalOf(few, AreaUnderRoc);
  const Interval narrow = IntervalOf(many, AreaUnderRoc);
  EXPECT_LT(wide.low, wide.value);
  EXPECT_GT(wide.high, wide.value);
  EXPECT_LT(narrow.high - narrow.low, (wide.high - wide.low) / 2);
}

TEST(Bootstrap, PairedIntervalTellsABetterModelFromAnEqualOne) {
  const Sample sample = MakeSample(1'000, 1, 5);
  std::vector<float> better = sample.scores;
  for (std::size_t i = 0; i < better.size(); ++i)
    better[i] += 0.7F * static_cast<float>(sample.labels[i]);
  const BootstrapOptions options{.seed = 1, .resamples = 500};
  const Interval gain =
      PairedBootstrap(sample.scores, better, sample.labels, AveragePrecision, options);
  EXPECT_GT(gain.low, 0);
  const Interval none =
      PairedBootstrap(sample.scores, sample.scores, sample.labels, AveragePrecision, options);
  EXPECT_EQ(none.low, 0);
  EXPECT_EQ(none.high, 0);
}

// Counts are drawn above so many rows, rows below.
TEST(Bootstrap, DrawnCountsGiveTheIntervalsOfDrawnRows) {
  const Sample sample = MakeSample(30'000, 1, 11);
  const double threshold = 1.25;
  const Metric metrics[] = {AreaUnderRoc, AveragePrecision, [&](const ScoreCounts& counts) {
                              return ConfusionAt(counts, threshold).f1();
                            }};
  const auto intervals = [&](std::size_t drawn_rows) {
    return BootstrapIntervals(sample.rows(), metrics,
                              {.drawn_rows = drawn_rows, .threshold = threshold});
  };
  const std::vector<Interval> by_rows = intervals(sample.scores.size());
  const std::vector<Interval> by_counts = intervals(sample.scores.size() - 1);
  for (std::size_t i = 0; i < by_rows.size(); ++i) {
    const double width = by_rows[i].high - by_rows[i].low;
    EXPECT_EQ(by_counts[i].value, by_rows[i].value);
    EXPECT_NE(by_counts[i].low, by_rows[i].low);
    EXPECT_NEAR(by_counts[i].low, by_rows[i].low, 0.1 * width) << i;
    EXPECT_NEAR(by_counts[i].high, by_rows[i].high, 0.1 * width) << i;
  }
}

TEST(Bootstrap, DrawnPairsGiveTheIntervalOfDrawnRows) {
  const Sample sample = MakeSample(30'000, 1, 12);
  SeededRandom random(3);
  std::vector<float> better = sample.scores;
  for (std::size_t i = 0; i < better.size(); ++i)
    better[i] += static_cast<float>(0.1 * sample.labels[i] + 0.3 * random.NextGaussian());
  const auto interval = [&](std::size_t drawn_rows) {
    return PairedBootstrap(sample.scores, better, sample.labels, AveragePrecision,
                           {.drawn_rows = drawn_rows});
  };
  const Interval by_rows = interval(better.size());
  const Interval by_counts = interval(better.size() - 1);
  const double width = by_rows.high - by_rows.low;
  EXPECT_EQ(by_counts.value, by_rows.value);
  EXPECT_NE(by_counts.low, by_rows.low);
  EXPECT_NEAR(by_counts.low, by_rows.low, 0.12 * width);
  EXPECT_NEAR(by_counts.high, by_rows.high, 0.12 * width);
}

TEST(Bootstrap, OfOneClassCountsHaveNoInterval) {
  Sample sample = MakeSample(30'000, 1, 11);
  sample.labels.assign(sample.labels.size(), 1);
  EXPECT_TRUE(std::isnan(IntervalOf(sample, AveragePrecision).low));
}

TEST(Bootstrap, SameSeedGivesTheSameInterval) {
  const Sample sample = MakeSample(300, 1, 9);
  const Interval a = IntervalOf(sample, AveragePrecision);
  const Interval b = IntervalOf(sample, AveragePrecision);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
}

}  // namespace
}  // namespace skerry
