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

TEST(Bootstrap, SameSeedGivesTheSameInterval) {
  const Sample sample = MakeSample(300, 1, 9);
  const Interval a = IntervalOf(sample, AveragePrecision);
  const Interval b = IntervalOf(sample, AveragePrecision);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
}

}  // namespace
}  // namespace skerry
