#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

namespace skerry {
namespace {

TEST(SeededRandom, SameSeedGivesTheSameNumbers) {
  SeededRandom a(7);
  SeededRandom b(7);
  SeededRandom c(8);
  const auto first = a.NextU64();
  EXPECT_EQ(first, b.NextU64());
  EXPECT_NE(first, c.NextU64());
}

TEST(SeededRandom, ShuffleIsAPermutation) {
  SeededRandom random(1);
  std::vector<int> items(100);
  std::iota(items.begin(), items.end(), 0);
  const auto before = items;
  random.Shuffle(items);
  EXPECT_NE(items, before);
  EXPECT_EQ(std::set<int>(items.begin(), items.end()).size(), 100U);
}

TEST(SeededRandom, GaussianHasUnitMoments) {
  SeededRandom random(3);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.NextGaussian();
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.02);
}

TEST(SeededRandom, PoissonHasItsMeanAsVariance) {
  SeededRandom random(4);
  EXPECT_EQ(random.NextPoisson(0), 0U);
  constexpr int kDraws = 100'000;
  for (const double mean : {0.3, 7.0, 31.0, 33.0, 5'000.0}) {
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double off = static_cast<double>(random.NextPoisson(mean)) - mean;
      sum += off;
      squares += off * off;
    }
    EXPECT_NEAR(sum / kDraws, 0.0, 5 * std::sqrt(mean / kDraws)) << mean;
    EXPECT_NEAR(squares / kDraws / mean, 1.0, 0.03) << mean;
  }
}

}  // namespace
}  // namespace skerry
