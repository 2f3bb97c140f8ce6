#include "train/isolation_forest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "base/random.h"
#include "storage/file.h"
#include "train/metrics.h"
#include "train/tests/training_data.h"

namespace skerry {
namespace {

// Correlated normal rows; from `anomalies_from` on, two features of a row are moved far away.
FeatureMatrix MakeRows(std::size_t rows, std::size_t anomalies_from, std::uint64_t seed) {
  constexpr std::size_t kColumns = 5;
  SeededRandom random(seed);
  FeatureMatrix matrix{.columns = kColumns};
  for (std::size_t row = 0; row < rows; ++row) {
    const double shared = random.NextGaussian();
    const std::size_t moved = random.NextBelow(kColumns);
    for (std::size_t i = 0; i < kColumns; ++i) {
      double value = shared + 0.7 * random.NextGaussian();
      if (row >= anomalies_from && (i == moved || i == (moved + 1) % kColumns))
        value += random.NextDouble() < 0.5 ? -3 : 3;
      matrix.values.push_back(static_cast<float>(value));
    }
  }
  return matrix;
}

double AucOfAnomalies(const std::vector<float>& scores, std::size_t anomalies_from) {
  std::vector<std::uint8_t> labels(scores.size(), 0);
  for (std::size_t i = anomalies_from; i < labels.size(); ++i) labels[i] = 1;
  return AreaUnderRoc(CountScores({scores, labels}));
}

TEST(IsolationForest, MovedRowsScoreHigher) {
  const FeatureMatrix rows = MakeRows(1'100, 1'000, 1);
  const IsolationForest forest = GrowIsolationForest(rows, {}, 1);
  EXPECT_GT(AucOfAnomalies(forest.Score(rows), 1'000), 0.9);
}

TEST(IsolationForest, SameSeedGrowsTheSameForest) {
  const FeatureMatrix rows = MakeRows(500, 500, 1);
  EXPECT_EQ(GrowIsolationForest(rows, {}, 3).Score(rows),
            GrowIsolationForest(rows, {}, 3).Score(rows));
  EXPECT_NE(GrowIsolationForest(rows, {}, 3).Score(rows),
            GrowIsolationForest(rows, {}, 4).Score(rows));
}

TEST(IsolationForest, MissingAndConstantValuesAreTaken) {
  FeatureMatrix rows = MakeRows(400, 400, 2);
  for (std::size_t i = 0; i < rows.values.size(); i += 5) {
    rows.values[i] = std::numeric_limits<float>::quiet_NaN();
    rows.values[i + 1] = 7;
  }
  for (const float score : GrowIsolationForest(rows, {}, 1).Score(rows)) {
    EXPECT_GT(score, 0);
    EXPECT_LT(score, 1);
  }
}

TEST(IsolationForest, IdenticalRowsAreAllNormal) {
  FeatureMatrix rows{.columns = 2, .values = std::vector<float>(200, 1)};
  const std::vector<float> scores = GrowIsolationForest(rows, {}, 1).Score(rows);
  for (const float score : scores) EXPECT_NEAR(score, 0.5, 0.01);
}

std::string CsvOf(const FeatureMatrix& rows) {
  std::string csv;
  for (std::size_t row = 0; row < rows.rows(); ++row)
    for (std::size_t i = 0; i < rows.columns; ++i)
      csv += fmt::format("{}{}", rows.row(row)[i], i + 1 == rows.columns ? "\n" : ",");
  return csv;
}

// Runs scikit-learn's IsolationForest on the same rows and compares the areas under the curve.
TEST(IsolationForest, FindsInjectedAnomaliesAsWellAsScikitLearn) {
  const char* python = std::getenv("SKERRY_PEER_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "SKERRY_PEER_PYTHON names no Python with scikit-learn";
  constexpr std::size_t kRows = 4'000;
  const FeatureMatrix training = MakeRows(kRows, kRows, 11);
  const FeatureMatrix judged = MakeRows(kRows + 400, kRows, 12);
  double own = 0;
  constexpr int kSeeds = 5;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    own += AucOfAnomalies(GrowIsolationForest(training, {}, seed).Score(judged), kRows) / kSeeds;

  auto directory = TemporaryDirectory::Create("peer");
  ASSERT_TRUE(directory);
  WriteText(directory->path() / "training.csv", CsvOf(training));
  WriteText(directory->path() / "judged.csv", CsvOf(judged));
  const std::string command = fmt::format("'{}' '{}' '{}' {} {}", python, SKERRY_PEER_SCRIPT,
                                          directory->path().string(), kRows, kSeeds);
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  double peer = 0;
  const int read = std::fscanf(pipe, "%lf", &peer);
  EXPECT_EQ(pclose(pipe), 0);
  ASSERT_EQ(read, 1);
  std::cout << fmt::format("AUC {:.4f}, scikit-learn {:.4f}\n", own, peer);
  EXPECT_NEAR(own, peer, 0.02);
}

}  // namespace
}  // namespace skerry
