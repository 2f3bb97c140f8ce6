#include "train/splits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/random.h"
#include "train/trainer.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

RowUnits EachAlone(std::size_t rows) {
  RowUnits units(rows);
  std::iota(units.begin(), units.end(), 0U);
  return units;
}

RowUnits RandomUnits(std::size_t rows, std::uint64_t most, std::uint64_t seed) {
  SeededRandom random(seed);
  RowUnits units;
  for (std::size_t i = 0; i < rows; ++i)
    units.push_back(static_cast<std::uint32_t>(random.NextBelow(most)));
  return JoinUnits(units, EachAlone(rows));
}

std::set<std::uint32_t> UnitsIn(const RowUnits& units, const std::vector<std::size_t>& rows) {
  std::set<std::uint32_t> found;
  for (const std::size_t row : rows) found.insert(units[row]);
  return found;
}

bool Disjoint(const std::set<std::uint32_t>& a, const std::set<std::uint32_t>& b) {
  return std::none_of(a.begin(), a.end(), [&](std::uint32_t unit) { return b.contains(unit); });
}

TEST(Units, CopiesAreFoundWhateverTheirNanAndZero) {
  const float nan = std::nanf("");
  const FeatureMatrix rows{.columns = 2,
                           .values = {1, nan, 0, 2, 1, -nan, 1, 0, -0.0F, 2, 1, -0.0F}};
  EXPECT_EQ(UnitsOfCopies(rows), (RowUnits{0, 1, 0, 2, 1, 2}));
}

TEST(Units, JoinPartsNeitherOfTheTwo) {
  EXPECT_EQ(JoinUnits(RowUnits{0, 0, 1, 2, 3}, RowUnits{0, 1, 1, 2, 2}), (RowUnits{0, 0, 0, 1, 1}));
}

TEST(Units, BlankGroupsAreRefusedWithTheirRows) {
  Column column{.name = "unit", .type = ColumnType::kText};
  column.AppendText("a");
  column.AppendText("");
  column.AppendNull();
  const auto units = UnitsOfGroups(column);
  ASSERT_FALSE(units);
  EXPECT_THAT(units.error().message(), HasSubstr("'unit' is blank in row 2, 3"));
}

TEST(Units, WordsAreNoTimes) {
  Column column{.name = "day", .type = ColumnType::kText};
  column.AppendText("Monday");
  const auto times = TimesOf(column);
  ASSERT_FALSE(times);
  EXPECT_THAT(times.error().message(), HasSubstr("'day' holds text"));
}

TEST(HoldOut, OfSingleRowsIsTheStartOfTheShuffle) {
  const auto split = HoldOutUnits(EachAlone(1'000), 0.2, 7);
  ASSERT_TRUE(split);
  const std::vector<std::size_t> order = ShuffledRows(1'000, 7);
  EXPECT_EQ(split->holdout, std::vector<std::size_t>(order.begin(), order.begin() + 200));
  EXPECT_EQ(split->training, std::vector<std::size_t>(order.begin() + 200, order.end()));
}

TEST(HoldOut, UnitsStayWholeAndNothingIsLost) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RowUnits units = RandomUnits(2'000, 150, seed);
    const auto split = HoldOutUnits(units, 0.25, seed);
    ASSERT_TRUE(split);
    EXPECT_TRUE(Disjoint(UnitsIn(units, split->training), UnitsIn(units, split->holdout)));
    EXPECT_EQ(split->training.size() + split->holdout.size(), 2'000U);
    EXPECT_NEAR(static_cast<double>(split->holdout.size()), 500, 25);
  }
}

TEST(HoldOut, UnitsThatAreTooLargeAreRefused) {
  const auto split = HoldOutUnits(RowUnits(100, 0), 0.2, 1);
  ASSERT_FALSE(split);
  EXPECT_THAT(split.error().message(), HasSubstr("20 of 100 rows cannot be held out"));
}

TEST(HoldOut, TheLatestRowsAreHeldOutAndTiesStayTogether) {
  std::vector<double> times;
  for (int i = 0; i < 100; ++i)
    times.push_back(std::floor((i * 37 % 100) / 3.0));  // three rows a time
  const auto split = HoldOutLatest(times, {}, 0.2, 1);
  ASSERT_TRUE(split);
  double latest_trained = -1;
  for (const std::size_t row : split->training)
    latest_trained = std::max(latest_trained, times[row]);
  for (const std::size_t row : split->holdout) EXPECT_GT(times[row], latest_trained);
  EXPECT_GE(split->holdout.size(), 20U);
  EXPECT_LE(split->holdout.size(), 22U);
  EXPECT_EQ(split->left_out, 0U);
}

TEST(HoldOut, EarlierRowsOfALateGroupAreLeftOut) {
  const std::vector<double> times = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const RowUnits groups = {0, 1, 0, 2, 3, 3, 2, 4, 4, 1};
  const auto split = HoldOutLatest(times, groups, 0.3, 1);
  ASSERT_TRUE(split);
  EXPECT_EQ(std::set<std::size_t>(split->holdout.begin(), split->holdout.end()),
            (std::set<std::size_t>{7, 8, 9}));
  EXPECT_TRUE(Disjoint(UnitsIn(groups, split->training), UnitsIn(groups, split->holdout)));
  EXPECT_EQ(split->left_out, 1U);
}

TEST(HoldOut, GroupsThatAllGoOnAreRefused) {
  const std::vector<double> times = {1, 1, 2, 2};
  const auto split = HoldOutLatest(times, RowUnits{0, 1, 0, 1}, 0.5, 1);
  ASSERT_FALSE(split);
  EXPECT_THAT(split.error().message(), HasSubstr("either a group or a time column"));
}

TEST(HoldOut, CopiesOfTrainingRowsAreDropped) {
  HeldOut split{.training = {0, 1}, .holdout = {2, 3}};
  DropCopies(RowUnits{0, 1, 1, 2}, split);
  EXPECT_EQ(split.holdout, (std::vector<std::size_t>{3}));
  EXPECT_EQ(split.left_out, 1U);
}

TEST(Folds, OfSingleRowsAreStratified) {
  std::vector<std::uint8_t> labels(1'000, 0);
  for (std::size_t i = 0; i < labels.size(); i += 40) labels[i] = 1;  // 25 of them
  const auto folds = DealFolds(labels, EachAlone(1'000), 5, 3);
  std::map<int, int> rows, positives;
  for (std::size_t i = 0; i < folds.size(); ++i) {
    ++rows[folds[i]];
    positives[folds[i]] += labels[i];
  }
  ASSERT_EQ(rows.size(), 5U);
  for (const auto& [fold, count] : rows) {
    EXPECT_EQ(count, 200) << fold;
    EXPECT_EQ(positives[fold], 5) << fold;
  }
}

TEST(Folds, UnitsStayWholeAndClassesAreShared) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RowUnits units = RandomUnits(3'000, 400, seed);
    SeededRandom random(seed);
    std::vector<std::uint8_t> labels;
    for (std::size_t i = 0; i < units.size(); ++i) labels.push_back(random.NextDouble() < 0.05);
    const auto folds = DealFolds(labels, units, 5, seed);
    std::map<std::uint32_t, std::uint8_t> fold_of;
    std::map<int, int> positives;
    for (std::size_t row = 0; row < folds.size(); ++row) {
      EXPECT_EQ(fold_of.emplace(units[row], folds[row]).first->second, folds[row]);
      positives[folds[row]] += labels[row];
    }
    const auto total = std::accumulate(labels.begin(), labels.end(), 0);
    for (int fold = 0; fold < 5; ++fold) EXPECT_NEAR(positives[fold], total / 5.0, 8);
  }
}

TEST(Folds, ByTimeFollowEachOther) {
  std::vector<double> times;
  for (int i = 0; i < 500; ++i) times.push_back(i * 211 % 500);
  const auto folds = FoldsByTime(times, EachAlone(500), 5);
  for (std::size_t row = 0; row < times.size(); ++row)
    EXPECT_EQ(folds[row], static_cast<std::uint8_t>(times[row] / 100));
  RowUnits tied = EachAlone(500);
  tied[0] = tied[1];  // times 0 and 211
  EXPECT_EQ(FoldsByTime(times, tied, 5)[1], 0);
}

TEST(ShuffledRows, IsAPermutationThatTheSeedDecides) {
  std::vector<std::size_t> order = ShuffledRows(1'000, 7);
  EXPECT_EQ(order, ShuffledRows(1'000, 7));
  EXPECT_NE(order, ShuffledRows(1'000, 8));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
}

}  // namespace
}  // namespace skerry
