#include "insight/contributions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "model/scorer.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr std::size_t kFeatures = 5;

// Splits until `depth`, on any feature, again and again; covers are whole numbers that add up.
int Grow(SeededRandom& random, int depth, double cover, Tree& tree) {
  const int index = static_cast<int>(tree.size());
  tree.emplace_back();
  TreeNode node;
  node.cover = static_cast<float>(cover);
  if (depth == 0 || random.NextDouble() < 0.15) {
    node.value = static_cast<float>(random.NextGaussian());
  } else {
    node.feature = static_cast<int>(random.NextBelow(kFeatures));
    node.threshold = static_cast<float>(random.NextGaussian());
    node.missing_left = random.NextBelow(2) == 0;
    // One side may have had no training row at all.
    const double left = random.NextBelow(8) == 0 ? 0 : std::floor(cover * random.NextDouble());
    node.left = Grow(random, left > 0 ? depth - 1 : 0, left, tree);
    node.right = Grow(random, cover - left > 0 ? depth - 1 : 0, cover - left, tree);
  }
  tree[static_cast<std::size_t>(index)] = node;
  return index;
}

TreeEnsemble GrowEnsemble(SeededRandom& random, int trees, int depth) {
  TreeEnsemble ensemble{.base_margin = random.NextGaussian(),
                        .features = kFeatures,
                        .depth = static_cast<std::size_t>(depth)};
  for (int i = 0; i < trees; ++i) Grow(random, depth, 4096, ensemble.trees.emplace_back());
  return ensemble;
}

std::vector<float> RandomRow(SeededRandom& random) {
  std::vector<float> row(kFeatures);
  for (float& value : row)
    value = random.NextBelow(6) == 0 ? std::numeric_limits<float>::quiet_NaN()
                                     : static_cast<float>(random.NextGaussian());
  return row;
}

// Algorithm 1 of the paper: what the tree gives when only the features of `known` are.
double Expected(const Tree& tree, std::size_t index, std::span<const float> row, unsigned known) {
  const TreeNode& node = tree[index];
  if (node.is_leaf()) return node.value;
  const auto left = static_cast<std::size_t>(node.left);
  const auto right = static_cast<std::size_t>(node.right);
  if ((known >> static_cast<unsigned>(node.feature) & 1U) != 0)
    return Expected(tree, node.GoesLeft(row[static_cast<std::size_t>(node.feature)]) ? left : right,
                    row, known);
  if (node.cover == 0) return 0;  // of no weight
  return (tree[left].cover * Expected(tree, left, row, known) +
          tree[right].cover * Expected(tree, right, row, known)) /
         node.cover;
}

double Expected(const TreeEnsemble& ensemble, std::span<const float> row, unsigned known) {
  double sum = ensemble.base_margin;
  for (const Tree& tree : ensemble.trees) sum += Expected(tree, 0, row, known);
  return sum;
}

// Shapley's definition over all subsets.
std::vector<double> BruteForce(const TreeEnsemble& ensemble, std::span<const float> row) {
  std::vector<double> values(kFeatures, 0);
  constexpr unsigned kSubsets = 1U << kFeatures;
  for (std::size_t feature = 0; feature < kFeatures; ++feature)
    for (unsigned known = 0; known < kSubsets; ++known) {
      if ((known >> feature & 1U) != 0) continue;
      const int size = std::popcount(known);
      const double weight = std::tgamma(size + 1) *
                            std::tgamma(static_cast<double>(kFeatures) - size) /
                            std::tgamma(static_cast<double>(kFeatures) + 1);
      values[feature] += weight * (Expected(ensemble, row, known | 1U << feature) -
                                   Expected(ensemble, row, known));
    }
  return values;
}

std::vector<double> Explain(const TreeEnsemble& ensemble, std::span<const float> row) {
  std::vector<double> values(kFeatures, 0);
  AddContributions(ensemble, row, 0, values);
  return values;
}

TEST(Contributions, AreShapleysValues) {
  SeededRandom random(7);
  for (int round = 0; round < 200; ++round) {
    const TreeEnsemble ensemble = GrowEnsemble(random, 3, 1 + round % 7);
    const std::vector<float> row = RandomRow(random);
    const std::vector<double> wanted = BruteForce(ensemble, row);
    const std::vector<double> values = Explain(ensemble, row);
    for (std::size_t i = 0; i < kFeatures; ++i)
      ASSERT_NEAR(values[i], wanted[i], 1e-9) << "round " << round << " feature " << i;
  }
}

TEST(Contributions, AddUpToTheMargin) {
  SeededRandom random(8);
  for (int round = 0; round < 100; ++round) {
    const TreeEnsemble ensemble = GrowEnsemble(random, 20, 12);
    const std::vector<float> row = RandomRow(random);
    const std::vector<double> values = Explain(ensemble, row);
    const double base = Expected(ensemble, row, 0);
    const double margin = Expected(ensemble, row, (1U << kFeatures) - 1);
    ASSERT_NEAR(base + std::accumulate(values.begin(), values.end(), 0.0), margin, 1e-8);
  }
}

TEST(Contributions, FeatureThatNoTreeAsksForHasNone) {
  TreeEnsemble ensemble{.features = kFeatures, .depth = 1};
  ensemble.trees = {{{.left = 1, .right = 2, .feature = 2, .threshold = 0, .cover = 4},
                     {.value = -1, .cover = 1},
                     {.value = 3, .cover = 3}}};
  EXPECT_THAT(Explain(ensemble, std::vector<float>(kFeatures, 1)),
              testing::ElementsAre(0, 0, 3 - 2, 0, 0));
}

RowBatch Scored(std::shared_ptr<const ModelPackage> package, std::vector<float> features) {
  RowBatch batch;
  batch.package = std::move(package);
  batch.rows = features.size() / 3;
  batch.features = std::move(features);
  EXPECT_TRUE(ScoreRows(batch));
  return batch;
}

TEST(Contributions, OfABatchAddUpToItsScores) {
  fixture::PackageFiles files;
  files.model.low = -1;
  files.model.high = 2;
  files.model.explained = true;
  const RowBatch batch =
      Scored(fixture::LoadFixture(files), {0, 30, 10, 2, 60, 150, 1, std::nanf(""), 3});
  const auto explained = ExplainRows(batch);
  ASSERT_TRUE(explained) << explained.error().message();
  for (std::size_t row = 0; row < batch.rows; ++row) {
    EXPECT_NEAR(explained->bases[row], -0.1, 1e-6);
    const auto values = explained->Row(row);
    const double margin =
        explained->bases[row] + std::accumulate(values.begin(), values.end(), 0.0);
    EXPECT_NEAR(1 / (1 + std::exp(-margin)), batch.score[row], 1e-6);
    EXPECT_EQ(values[0], 0);
  }
  EXPECT_NEAR(explained->Row(1)[1], 2.1, 1e-6);
}

TEST(Contributions, ADerivedFeatureHasItsOwn) {
  fixture::PackageFiles files;
  files.model = {.features = 4, .feature = 3, .split = 600, .low = -1, .high = 2};
  files.model.explained = true;
  files.derived = {{"load", DerivedOperation::kProduct, "torque_nm", "tool_wear_min"}};
  RowBatch batch = Scored(fixture::LoadFixture(files), {0, 30, 10, 0, 30, 100});
  const auto explained = ExplainRows(batch);
  ASSERT_TRUE(explained) << explained.error().message();
  ASSERT_EQ(explained->features, batch.package->schema.input_names().size());
  EXPECT_NEAR(explained->Row(0)[3], -0.9, 1e-6);
  EXPECT_NEAR(explained->Row(1)[3], 2.1, 1e-6);
  EXPECT_EQ(explained->Row(1)[1], 0);
  batch.inputs.clear();
  EXPECT_THAT(ExplainRows(batch).error().message(), HasSubstr("after they were scored"));
}

TEST(Contributions, ModelWithoutThemIsNamedWithTheReason) {
  const auto refused = ExplainRows(Scored(fixture::LoadFixture(), {0, 30, 10}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnimplemented);
  EXPECT_THAT(refused.error().message(), HasSubstr("model milling cannot be explained: "));
}

}  // namespace
}  // namespace skerry
