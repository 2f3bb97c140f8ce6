#include "train/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/cores.h"
#include "base/limits.h"
#include "base/random.h"
#include "train/inner_fits.h"

namespace skerry {
namespace {

// A label that two of four features decide together, with noise.
LabelledRows MakeRows(std::size_t count, ModelTask task) {
  SeededRandom random(3);
  LabelledRows rows{.task = task};
  rows.features.columns = 4;
  for (std::size_t row = 0; row < count; ++row) {
    double sum = random.NextGaussian();
    for (std::size_t i = 0; i < 4; ++i) {
      const double value = random.NextGaussian();
      sum += i < 2 ? 2 * std::abs(value) : 0;
      rows.features.values.push_back(static_cast<float>(value));
    }
    rows.labels.push_back(task == ModelTask::kBinary && sum > 4 ? 1 : 0);
    if (task == ModelTask::kRegression) rows.targets.push_back(static_cast<float>(sum));
    rows.weights.push_back(1);
  }
  return rows;
}

std::vector<std::uint8_t> Folds(std::size_t rows) {
  std::vector<std::uint8_t> folds;
  for (std::size_t row = 0; row < rows; ++row) folds.push_back(static_cast<std::uint8_t>(row % 3));
  return folds;
}

const HyperParameters kFew{.trees = 40};

CrossValidation LearntAlone(const LabelledRows& rows, const HyperParameters& parameters) {
  const auto parts = InnerFolds::Part(rows, Folds(rows.rows()), parameters.threads);
  if (!parts) return {};
  auto fits = InnerFits::Start(*parts, parameters, 1);
  if (!fits || !fits->Learn(parameters.trees, {})) return {};
  return fits->Judge();
}

TEST(Search, ConfigurationsAreDrawnWithinTheRangesTheDefaultAmongThem) {
  const auto drawn = DrawConfigurations(kFew, 200, 5);
  ASSERT_EQ(drawn.size(), 200U);
  EXPECT_EQ(drawn[0].ToJson(), kFew.ToJson());
  const auto within = [](const SearchRange& range, double value) {
    return value >= range.least && value <= range.most;
  };
  std::set<int> depths;
  for (std::size_t i = 1; i < drawn.size(); ++i) {
    depths.insert(drawn[i].depth);
    EXPECT_TRUE(within(kDepths, drawn[i].depth) && within(kLearningRates, drawn[i].learning_rate) &&
                within(kMinChildWeights, drawn[i].min_child_weight) &&
                within(kRowFractions, drawn[i].row_fraction) &&
                within(kFeatureFractions, drawn[i].feature_fraction) && within(kL2s, drawn[i].l2))
        << drawn[i].ToJson().dump();
    EXPECT_EQ(drawn[i].trees, kFew.trees);
  }
  EXPECT_EQ(depths.size(), 8U);
  const auto again = DrawConfigurations(kFew, 200, 5), other = DrawConfigurations(kFew, 200, 6);
  EXPECT_EQ(again[7].ToJson(), drawn[7].ToJson());
  EXPECT_NE(other[7].ToJson(), drawn[7].ToJson());
}

TEST(Parameters, ThreadsGoByTheCellsUnlessTheyAreTold) {
  constexpr std::size_t kRows = HyperParameters::kCellsOfThread / 5;
  EXPECT_EQ(HyperParameters{}.ForTable(1, 1).threads, 1);
  EXPECT_EQ(HyperParameters{}.ForTable(2 * kRows - 1, 5).threads, 1);
  EXPECT_EQ(HyperParameters{}.ForTable(2 * kRows, 5).threads, std::min(2, Cores()));
  EXPECT_EQ(HyperParameters{}.ForTable(10'000 * kRows, 5).threads, Cores());
  HyperParameters told;
  told.threads = 3;
  EXPECT_EQ(told.ForTable(1, 1).threads, 3);
  EXPECT_EQ(HyperParameters::FromJson(told.ToJson())->threads, 3);
  EXPECT_FALSE(HyperParameters::FromJson(Json{{"threads", -1}}));
}

TEST(Parameters, BinsGoByTheCellsUnlessTheyAreTold) {
  constexpr std::size_t kMost = HyperParameters::kFineCells / 5;
  EXPECT_EQ(HyperParameters{}.ForTable(kMost, 5).bins, HyperParameters::kFineBins);
  EXPECT_EQ(HyperParameters{}.ForTable(kMost + 1, 5).bins, HyperParameters::kBins);
  HyperParameters told;
  told.bins = 16;
  EXPECT_EQ(told.ForTable(kMost + 1, 5).bins, 16);
  EXPECT_EQ(HyperParameters::FromJson(told.ToJson())->bins, 16);
  EXPECT_EQ(HyperParameters::FromJson(Json::object())->bins, 0);  // an earlier package's
  for (const int wrong : {-1, 1, limits::kFeatureBins + 1}) {
    const auto read = HyperParameters::FromJson({{"bins", wrong}});
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message().find("parameters.bins"), std::string::npos);
  }
}

TEST(Search, TheSamePartGoesOnFromEachRung) {
  EXPECT_EQ(RungSizes(16), (std::vector<std::size_t>{16, 8, 4, 2}));
  EXPECT_EQ(RungSizes(64), (std::vector<std::size_t>{64, 23, 8, 3}));
  EXPECT_EQ(RungSizes(2), (std::vector<std::size_t>{2, 2, 2, 2}));
}

TEST(Search, ASlowLearnerGetsAsManyRoundsMore) {
  const HyperParameters base{.trees = 400, .learning_rate = 0.05};
  HyperParameters slow = base, fast = base;
  slow.learning_rate = 0.025;
  fast.learning_rate = 0.2;
  EXPECT_EQ(RoundsOf(1.0 / 16, base, base), 25);
  EXPECT_EQ(RoundsOf(1.0 / 16, base, slow), 50);
  EXPECT_EQ(RoundsOf(1.0 / 16, base, fast), 7);
  EXPECT_EQ(RoundsOf(0.5, base, slow), 400);
  EXPECT_EQ(RoundsOf(1, base, fast), 400);
}

TEST(Search, FitsInStretchesBesideOthersAreWhatOneFitGives) {
  for (const ModelTask task : {ModelTask::kBinary, ModelTask::kRegression}) {
    const LabelledRows rows = MakeRows(300, task);
    const std::vector<std::uint8_t> folds = Folds(rows.rows());
    const auto parts = InnerFolds::Part(rows, folds, kFew.threads);
    ASSERT_TRUE(parts) << parts.error().ToString();
    HyperParameters deep = kFew;
    deep.depth = 9;
    auto fits = InnerFits::Start(*parts, kFew, 1), others = InnerFits::Start(*parts, deep, 1);
    ASSERT_TRUE(fits && others);
    for (const int rounds : {3, 20, kFew.trees}) {
      ASSERT_TRUE(others->Learn(rounds, {}));
      ASSERT_TRUE(fits->Learn(rounds, {}));
    }
    const CrossValidation whole = LearntAlone(rows, kFew);
    EXPECT_EQ(fits->Judge().scores, whole.scores);
    EXPECT_EQ(fits->Judge().rounds, whole.rounds);
    EXPECT_NE(others->Judge().scores, whole.scores);
    // Without drawing, there is nothing to seed: the same as by CrossValidate.
    HyperParameters all = kFew;
    all.row_fraction = 1;
    const auto validated = CrossValidate(rows, folds, all, 1, {});
    ASSERT_TRUE(validated) << validated.error().ToString();
    EXPECT_EQ(LearntAlone(rows, all).scores, validated->scores);
    EXPECT_EQ(LearntAlone(rows, all).rounds, validated->rounds);
  }
}

TEST(Search, TheChoiceIsNeverWorseOnTheInnerFoldsAndTheSameTwice) {
  for (const ModelTask task : {ModelTask::kBinary, ModelTask::kRegression}) {
    const LabelledRows rows = MakeRows(300, task);
    const std::vector<std::uint8_t> folds = Folds(rows.rows());
    const auto found = SearchParameters(rows, folds, kFew, 6, 1, {}, {});
    ASSERT_TRUE(found) << found.error().ToString();
    const SearchFacts& facts = found->facts;
    EXPECT_LE(facts.chosen_loss, facts.default_loss);
    ASSERT_EQ(facts.rungs.size(), 5U);
    EXPECT_EQ(facts.rungs[0].configurations, 6U);
    EXPECT_LE(facts.rungs[4].configurations, 2U);
    for (std::size_t i = 1; i < 5; ++i) EXPECT_LT(facts.rungs[i - 1].share, facts.rungs[i].share);
    EXPECT_EQ(facts.default_chosen, found->parameters.ToJson() == kFew.ToJson());
    const CrossValidation whole = LearntAlone(rows, found->parameters);
    EXPECT_EQ(found->inner.scores, whole.scores);
    EXPECT_EQ(found->inner.rounds, whole.rounds);
    const auto again = SearchParameters(rows, folds, kFew, 6, 1, {}, {});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->parameters.ToJson(), found->parameters.ToJson());
    EXPECT_EQ(again->facts.ToJson(), facts.ToJson());
  }
}

TEST(Search, ItEndsWhenItIsCancelled) {
  const LabelledRows rows = MakeRows(300, ModelTask::kBinary);
  int asked = 0;
  const auto ended =
      SearchParameters(rows, Folds(rows.rows()), kFew, 8, 1, {}, [&] { return ++asked > 40; });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(asked, 41);
}

}  // namespace
}  // namespace skerry
