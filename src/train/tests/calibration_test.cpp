#include "train/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "model/package.h"
#include "model/row_batch.h"
#include "storage/file.h"
#include "train/boosted_trees.h"
#include "train/graph_runs.h"
#include "train/model_fit.h"
#include "train/onnx_export.h"
#include "train/task_metrics.h"

namespace skerry {
namespace {

struct Scored {
  std::vector<float> scores, weights;
  std::vector<std::uint8_t> labels;
};

// The true margin is `scale` times the one that is told, plus `shift`.
Scored Distorted(std::size_t rows, double scale, double shift, std::uint64_t seed) {
  SeededRandom random(seed);
  Scored scored;
  for (std::size_t i = 0; i < rows; ++i) {
    const double margin = 2 * random.NextGaussian();
    scored.scores.push_back(static_cast<float>(1 / (1 + std::exp(-margin))));
    const double truth = 1 / (1 + std::exp(-(scale * margin + shift)));
    scored.labels.push_back(random.NextDouble() < truth ? 1 : 0);
    scored.weights.push_back(1);
  }
  return scored;
}

TEST(Calibration, SigmoidFindsWhatDistortedTheMargins) {
  const Scored rows = Distorted(40'000, 0.4, -1.2, 1);
  const Calibration found =
      FitCalibration(CalibrationKind::kSigmoid, rows.scores, rows.labels, rows.weights);
  EXPECT_NEAR(found.scale, 0.4, 0.03);
  EXPECT_NEAR(found.shift, -1.2, 0.05);
}

TEST(Calibration, BothKindsMakeProbabilitiesOfOtherRowsScores) {
  const Scored rows = Distorted(20'000, 0.4, -1.2, 2);
  const Scored later = Distorted(20'000, 0.4, -1.2, 3);
  const ProbabilityScores before =
      JudgeProbabilities({later.scores, later.labels}, {.resamples = 100});
  EXPECT_GT(before.ece.low, 0.1);
  for (const auto kind : {CalibrationKind::kSigmoid, CalibrationKind::kIsotonic}) {
    const Calibration found = FitCalibration(kind, rows.scores, rows.labels, rows.weights);
    const std::vector<float> calibrated = Calibrate(found, later.scores);
    const ProbabilityScores after =
        JudgeProbabilities({calibrated, later.labels}, {.resamples = 100});
    EXPECT_LT(after.ece.value, 0.02) << CalibrationName(kind);
    EXPECT_LT(after.brier.high, before.brier.low) << CalibrationName(kind);
  }
}

TEST(Calibration, IsotonicRisesWithinItsLimits) {
  const Scored rows = Distorted(5'000, 1, 0, 4);
  const Calibration found =
      FitCalibration(CalibrationKind::kIsotonic, rows.scores, rows.labels, rows.weights);
  ASSERT_GE(found.margins.size(), 5U);
  EXPECT_LE(found.margins.size(), kCalibrationPoints);
  for (std::size_t i = 1; i < found.margins.size(); ++i) {
    const double run = found.margins[i] - found.margins[i - 1];
    const double rise = found.probabilities[i] - found.probabilities[i - 1];
    EXPECT_GT(run, 0);
    EXPECT_GT(rise, 0);
    EXPECT_LE(rise, kSteepestCalibration * run * 1.001);
  }
  EXPECT_EQ(found.Apply(-1e6), found.probabilities.front());
  EXPECT_EQ(found.Apply(1e6), found.probabilities.back());
}

// Labels that jump where margins hardly differ would need a steeper line than is allowed.
TEST(Calibration, AJumpIsPooled) {
  Scored rows;
  for (int i = 0; i < 100; ++i) {
    rows.scores.push_back(0.5F + 1e-5F * static_cast<float>(i));
    rows.labels.push_back(i < 50 ? 0 : 1);
    rows.weights.push_back(1);
  }
  const Calibration found =
      FitCalibration(CalibrationKind::kIsotonic, rows.scores, rows.labels, rows.weights);
  EXPECT_EQ(found.probabilities, std::vector<float>{0.5F});
  EXPECT_EQ(found.Apply(3), 0.5);
}

TEST(Calibration, ARankingThatIsWrongWayRoundBecomesThePrior) {
  const Scored rows = Distorted(5'000, -1, 0, 5);
  const Calibration found =
      FitCalibration(CalibrationKind::kSigmoid, rows.scores, rows.labels, rows.weights);
  EXPECT_EQ(found.scale, 0);
  EXPECT_NEAR(found.Apply(4), 0.5, 0.03);
}

TEST(Calibration, NothingIsCertainOfASigmoid) {
  Scored rows;
  for (int i = 0; i < 40; ++i) {
    rows.scores.push_back(i < 20 ? 0.0F : 1.0F);
    rows.labels.push_back(i < 20 ? 0 : 1);
    rows.weights.push_back(1);
  }
  const Calibration found =
      FitCalibration(CalibrationKind::kSigmoid, rows.scores, rows.labels, rows.weights);
  EXPECT_NEAR(Calibrate(found, rows.scores).back(), 21.0 / 22, 1e-4);
}

TEST(Calibration, BrierAndCalibrationErrorAreTheirDefinitions) {
  const std::vector<float> scores = {0.05F, 0.05F, 0.95F, 1.0F};
  const std::vector<std::uint8_t> labels = {0, 1, 1, 1};
  const ProbabilityScores judged = JudgeProbabilities({scores, labels}, {});
  EXPECT_NEAR(judged.brier.value, (0.0025 + 0.9025 + 0.0025 + 0) / 4, 1e-7);
  EXPECT_NEAR(judged.ece.value, 0.5 * (0.5 - 0.05) + 0.5 * (1 - 0.975), 1e-7);
  ASSERT_EQ(judged.bins.size(), 10U);
  EXPECT_EQ(judged.bins[0].rows, 2U);
  EXPECT_NEAR(judged.bins[0].positive_share, 0.5, 1e-12);
  EXPECT_EQ(judged.bins[9].rows, 2U);
  EXPECT_NEAR(judged.bins[9].mean_score, 0.975, 1e-7);
}

// Trees of two features with margins from -4.5 to 4.5, and a row of which a value is missing.
BoostedTrees SomeTrees() {
  BoostedTrees ensemble{.base_margins = {-0.5F}};
  for (int i = 0; i < 40; ++i) {
    Tree tree(3);
    tree[0] = {.left = 1,
               .right = 2,
               .feature = i % 2,
               .threshold = static_cast<float>(i - 20) / 10,
               .missing_left = i % 3 == 0,
               .cover = 2};
    tree[1] = {.value = -0.1F, .cover = 1};
    tree[2] = {.value = 0.1F, .cover = 1};
    ensemble.trees.push_back(tree);
  }
  return ensemble;
}

FeatureMatrix SomeRows() {
  SeededRandom random(6);
  FeatureMatrix rows{.columns = 2};
  for (int i = 0; i < 1'000; ++i)
    rows.values.push_back(i % 7 == 0 ? std::numeric_limits<float>::quiet_NaN()
                                     : static_cast<float>(random.NextGaussian()));
  return rows;
}

Calibration SomeSigmoid() {
  return {.kind = CalibrationKind::kSigmoid, .scale = 0.37, .shift = -0.81};
}
Calibration SomeIsotonic() {
  return {.kind = CalibrationKind::kIsotonic,
          .margins = {-3, -1, 0.5F, 2},
          .probabilities = {0, 0.2F, 0.25F, 0.9F}};
}

TEST(CalibratedGraph, AnswersWhatTheCalibrationGives) {
  const BoostedTrees ensemble = SomeTrees();
  const FeatureMatrix rows = SomeRows();
  const std::vector<float> margins = MarginsOf(ensemble, rows);
  const Calibration level{
      .kind = CalibrationKind::kIsotonic, .margins = {1}, .probabilities = {0.3F}};
  for (const Calibration& calibration : {Calibration{}, SomeSigmoid(), SomeIsotonic(), level}) {
    const auto onnx = CalibrateGraph(ExportBoostedTrees(ensemble, 2), calibration);
    ASSERT_TRUE(onnx) << onnx.error().ToString();
    const auto session = OnnxSession::LoadBytes(*onnx, "model.onnx");
    ASSERT_TRUE(session) << session.error().ToString();
    const auto answers = RunWholeGraph(**session, rows, "probabilities", 2);
    ASSERT_TRUE(answers) << answers.error().ToString();
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      ASSERT_NEAR((*answers)[2 * row + 1], calibration.Apply(margins[row]), 1e-6);
      ASSERT_NEAR((*answers)[2 * row], 1 - calibration.Apply(margins[row]), 1e-6);
    }
  }
}

// A sigmoid leaves the form of a tree ensemble, which is explained in calibrated log-odds; an
// isotonic graph is run, and says why it is not explained.
TEST(CalibratedGraph, IsReadAsTreesWhereItIsThat) {
  const BoostedTrees ensemble = SomeTrees();
  const std::string plain = ExportBoostedTrees(ensemble, 2);
  const auto before = ReadTreeEnsemble(plain, 2);
  const auto after = ReadTreeEnsemble(*CalibrateGraph(plain, SomeSigmoid()), 2);
  ASSERT_TRUE(before && after);
  EXPECT_NEAR(after->expected_margins[0], 0.37 * before->expected_margins[0] - 0.81, 1e-5);
  const auto isotonic = ReadTreeEnsemble(*CalibrateGraph(plain, SomeIsotonic()), 2);
  ASSERT_FALSE(isotonic);
  EXPECT_EQ(isotonic.error().code(), ErrorCode::kUnimplemented);
}

TEST(CalibratedGraph, AForeignGraphIsRefused) {
  const std::string forest = ExportIsolationForest({.trees = SomeTrees().trees}, 2);
  EXPECT_FALSE(CalibrateGraph(forest, SomeIsotonic()));
  EXPECT_FALSE(CalibrateGraph("no ONNX", SomeSigmoid()));
}

}  // namespace
}  // namespace skerry
