#include "train/pca_detector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/limits.h"
#include "base/random.h"
#include "train/detector.h"
#include "train/graph_runs.h"
#include "train/model_fit.h"

namespace skerry {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

struct Kind {
  double missing = 0;    // share of the cells
  bool broken = false;   // feature 3 leaves the plane
  double long_tail = 0;  // share of the rows with ten times the noise
};

// Four features that two hidden ones drive, with noise, and one that is noise.
FeatureMatrix Rows(std::size_t count, const Kind& kind, std::uint64_t seed) {
  SeededRandom random(seed);
  FeatureMatrix rows{.columns = 5};
  for (std::size_t row = 0; row < count; ++row) {
    const double u = random.NextGaussian(), v = random.NextGaussian();
    const double noise = random.NextDouble() < kind.long_tail ? 10 : 1;
    for (int i = 0; i < 5; ++i) {
      double value = 300 + 10 * ((i - 2) * u + (i % 2) * v) + noise * random.NextGaussian();
      if (kind.broken && i == 3) value = 300 + 20 * random.NextGaussian();
      rows.values.push_back(random.NextDouble() < kind.missing ? kMissing
                                                               : static_cast<float>(value));
    }
  }
  return rows;
}

LabelledRows Normal(FeatureMatrix features) {
  LabelledRows rows{.task = ModelTask::kAnomaly};
  const std::size_t count = features.rows();
  rows.features = std::move(features);
  rows.labels.assign(count, 0);
  rows.weights.assign(count, 1);
  return rows;
}

struct Learnt {
  std::vector<float> scores;
  double threshold = 0;
  DetectorFacts facts;
  double share() const {
    double over = 0;
    for (const float score : scores) over += score >= static_cast<float>(threshold) ? 1 : 0;
    return over / static_cast<double>(scores.size());
  }
};

// Learns from `training`, and compares the exported graph with the scores of `scored` on the way.
Learnt Learn(const FeatureMatrix& training, const FeatureMatrix& scored, double alarm_rate) {
  const LabelledRows rows = Normal(training);
  std::vector<std::uint8_t> folds(rows.rows());
  for (std::size_t i = 0; i < folds.size(); ++i) folds[i] = static_cast<std::uint8_t>(i % 5);
  const DetectorParameters parameters{.kind = DetectorKind::kPca, .alarm_rate = alarm_rate};
  const auto learnt = LearnDetector(parameters, rows, folds, 1, {});
  if (!learnt) {
    ADD_FAILURE() << learnt.error().ToString();
    return {};
  }
  const auto session = OnnxSession::LoadBytes(learnt->graph, "detector.onnx");
  const auto exported = session ? RunWholeGraph(**session, scored, "anomaly_score", 1)
                                : Result<std::vector<float>>(std::vector<float>{});
  EXPECT_TRUE(session && exported);
  if (!exported || exported->size() != scored.rows()) return {};
  const std::vector<float> own = learnt->score(scored);
  for (std::size_t row = 0; row < exported->size(); ++row)
    EXPECT_LE(std::abs((*exported)[row] - own[row]), 1e-6 * own[row]) << row;
  return {own, LimitOfRate(learnt->out_of_fold, NormalRows(rows), alarm_rate), learnt->facts};
}

TEST(PcaDetector, EigenvectorsGiveTheMatrixBack) {
  const std::vector<double> matrix = {4, 1, -2, 1, 3, 0.5, -2, 0.5, 5};
  const EigenPairs eigen = EigenOf(matrix, 3);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k)
        sum += eigen.vectors[i * 3 + k] * eigen.values[k] * eigen.vectors[j * 3 + k];
      EXPECT_NEAR(sum, matrix[i * 3 + j], 1e-9);
    }
}

// Whatever the rows are like, as many of later ones alarm as were asked for, and those that leave
// the plane do far more often.
TEST(PcaDetector, AlarmsAreAsManyAsAskedForOnRowsOfAnyKind) {
  constexpr double kRate = 0.01;
  for (const Kind kind : {Kind{}, Kind{.missing = 0.02}, Kind{.missing = 0.3},
                          Kind{.long_tail = 0.02}, Kind{.missing = 0.05, .long_tail = 0.1}}) {
    const FeatureMatrix training = Rows(8'000, kind, 1);
    const Learnt later = Learn(training, Rows(20'000, kind, 2), kRate);
    EXPECT_NEAR(later.share(), kRate, 0.004) << kind.missing << " " << kind.long_tail;
    EXPECT_EQ(later.facts.components, 3U);
    EXPECT_GT(later.facts.explained_variance, 0.9);
    Kind broken = kind;
    broken.broken = true;
    const double found = Learn(training, Rows(2'000, broken, 3), kRate).share();
    EXPECT_GT(found, kind.long_tail > 0 || kind.missing > 0.1 ? 0.1 : 0.8) << kind.missing;
  }
}

TEST(PcaDetector, AMissingCellSaysNothingStrange) {
  const FeatureMatrix training = Rows(4'000, {}, 1);
  FeatureMatrix holes = Rows(1'000, {}, 2);
  const Learnt whole = Learn(training, holes, 0.05);
  for (std::size_t row = 0; row < holes.rows(); ++row) holes.values[row * 5 + row % 5] = kMissing;
  const Learnt missing = Learn(training, holes, 0.05);
  EXPECT_LT(missing.share(), whole.share() + 0.02);
  FeatureMatrix blank{.columns = 5, .values = std::vector<float>(5, kMissing)};
  EXPECT_EQ(Learn(training, blank, 0.05).scores, std::vector<float>{0});
}

TEST(PcaDetector, ValuesWithoutBoundsGiveFiniteScores) {
  FeatureMatrix rows = Rows(4, {}, 5);
  rows.values[0] = std::numeric_limits<float>::infinity();
  rows.values[6] = -std::numeric_limits<float>::infinity();
  rows.values[12] = std::numeric_limits<float>::max();
  const Learnt learnt = Learn(Rows(500, {}, 4), rows, 0.01);
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(std::isfinite(learnt.scores[row]));
    EXPECT_GT(learnt.scores[row], 1e6);
  }
}

TEST(PcaDetector, OneFeatureIsJudgedByItsDistanceFromTheMean) {
  SeededRandom random(1);
  FeatureMatrix training{.columns = 1}, scored{.columns = 1, .values = {0, 1, 10, kMissing}};
  for (int i = 0; i < 2'000; ++i)
    training.values.push_back(static_cast<float>(random.NextGaussian()));
  const Learnt learnt = Learn(training, scored, 0.01);
  EXPECT_EQ(learnt.facts.components, 1U);
  EXPECT_LT(learnt.scores[1], learnt.threshold);
  EXPECT_GT(learnt.scores[2], learnt.threshold);
  EXPECT_EQ(learnt.scores[3], 0);
}

// A fit reconstructs its own rows without a rest then; the limit is of rows it did not see. Fits to
// fewer rows make it a wide one.
TEST(PcaDetector, MoreFeaturesThanRowsKeepTheAlarmRate) {
  constexpr std::size_t kFeatures = 60, kRows = 50;
  const auto make = [](std::size_t count, std::uint64_t seed) {
    SeededRandom random(seed);
    FeatureMatrix rows{.columns = kFeatures};
    for (std::size_t i = 0; i < count * kFeatures; ++i)
      rows.values.push_back(static_cast<float>(random.NextGaussian()));
    return rows;
  };
  const Learnt later = Learn(make(kRows, 1), make(2'000, 2), 0.1);
  EXPECT_LT(later.facts.components, kRows);
  EXPECT_LT(later.share(), 0.15);
  EXPECT_GT(later.share(), 0.01);
}

TEST(PcaDetector, RowsInThePlaneButForRoundingAreNotStrange) {
  FeatureMatrix training = Rows(2'000, {}, 1), scored = Rows(2'000, {}, 2);
  for (FeatureMatrix* rows : {&training, &scored})
    for (std::size_t row = 0; row < rows->rows(); ++row)
      for (std::size_t i = 1; i < 5; ++i)
        rows->values[row * 5 + i] = rows->values[row * 5] * static_cast<float>(i);
  scored.values[3] *= 1.01F;  // out of the plane, far inside the range
  const Learnt learnt = Learn(training, scored, 0);
  EXPECT_LT(learnt.share(), 0.005);
  EXPECT_GT(learnt.scores[0], learnt.threshold);
}

TEST(PcaDetector, CategoriesAndColumnsThatDoNotVaryHaveNoPart) {
  FeatureMatrix training = Rows(1'000, {}, 1);
  for (std::size_t row = 0; row < training.rows(); ++row) {
    training.values[row * 5] = static_cast<float>(row % 3);
    training.values[row * 5 + 1] = 7;
    training.values[row * 5 + 2] = kMissing;
  }
  training.categorical = {1, 0, 0, 0, 0};
  const FeatureMatrix scored{.columns = 5,
                             .values = {0, 7, kMissing, 300, 300, 2, 1e9F, 5, 300, 300},
                             .categorical = training.categorical};
  const Learnt learnt = Learn(training, scored, 0.01);
  EXPECT_EQ(learnt.scores[0], learnt.scores[1]);
  const LabelledRows rows = Normal(training);
  const std::vector<std::uint8_t> folds(rows.rows(), 0);
  const auto again = LearnDetector({.kind = DetectorKind::kPca}, rows, folds, 1, {});
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->left_out, (std::vector<std::size_t>{0, 1, 2}));
}

TEST(PcaDetector, RowsOfClassOneHaveNoPartInFitAndLimits) {
  LabelledRows rows = Normal(Rows(2'000, {}, 1));
  const FeatureMatrix broken = Rows(500, {.broken = true}, 2);
  rows.features.values.insert(rows.features.values.end(), broken.values.begin(),
                              broken.values.end());
  rows.labels.resize(2'500, 1);
  rows.weights.resize(2'500, 1);
  rows.task = ModelTask::kBinary;
  std::vector<std::uint8_t> folds(rows.rows());
  for (std::size_t i = 0; i < folds.size(); ++i) folds[i] = static_cast<std::uint8_t>(i % 5);
  const auto learnt = LearnDetector({.kind = DetectorKind::kPca}, rows, folds, 1, {});
  ASSERT_TRUE(learnt) << learnt.error().ToString();
  const PcaDetector alone = FitPca(Rows(2'000, {}, 1));
  EXPECT_EQ(learnt->facts.explained_variance, alone.explained);
  const double threshold = LimitOfRate(learnt->out_of_fold, NormalRows(rows), 0.01);
  double found = 0;
  for (std::size_t row = 2'000; row < 2'500; ++row)
    found += learnt->out_of_fold[row] >= static_cast<float>(threshold) ? 1 : 0;
  EXPECT_GT(found / 500, 0.8);
}

TEST(PcaDetector, WhatCannotBeFittedIsTold) {
  const std::vector<std::uint8_t> folds(50, 0);
  const auto refusal = [&](const FeatureMatrix& features) {
    const LabelledRows rows = Normal(features);
    const auto learnt = LearnDetector({.kind = DetectorKind::kPca}, rows, folds, 1, {});
    return learnt ? std::string() : learnt.error().ToString();
  };
  FeatureMatrix wide{.columns = limits::kPcaFeatures + 1};
  SeededRandom random(1);
  for (std::size_t i = 0; i < 50 * wide.columns; ++i)
    wide.values.push_back(static_cast<float>(random.NextGaussian()));
  EXPECT_NE(refusal(wide).find("kPcaFeatures"), std::string::npos) << refusal(wide);
  wide.categorical.assign(wide.columns, 0);
  wide.categorical[3] = 1;  // one number less
  EXPECT_EQ(refusal(wide), "");
  FeatureMatrix codes = Rows(50, {}, 6);
  codes.categorical.assign(5, 1);
  EXPECT_NE(refusal(codes).find("--detector isolation-forest"), std::string::npos);
}

}  // namespace
}  // namespace skerry
