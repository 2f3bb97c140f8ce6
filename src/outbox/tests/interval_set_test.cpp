#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "outbox/receipt.h"

namespace skerry {
namespace {

TEST(IntervalSet, MergesWhatTouches) {
  IntervalSet set;
  set.Add(10, 20);
  set.Add(30, 40);
  set.Add(21, 29);
  EXPECT_EQ(DumpJson(set.ToJson()), "[[10,40]]");
  set.Add(1, 1);
  set.Add(3, 3);
  EXPECT_EQ(DumpJson(set.ToJson()), "[[1,1],[3,3],[10,40]]");
  EXPECT_EQ(set.count(), 33U);
}

TEST(IntervalSet, CoversOnlyWholeRanges) {
  IntervalSet set;
  set.Add(1, 5);
  set.Add(7, 9);
  EXPECT_TRUE(set.Covers(1, 5));
  EXPECT_FALSE(set.Covers(5, 7));
  EXPECT_TRUE(set.Overlaps(5, 7));
  EXPECT_FALSE(set.Overlaps(6, 6));
  EXPECT_FALSE(set.Contains(6));
  EXPECT_EQ(set.Missing(1, 10), (std::vector<IntervalSet::Interval>{{6, 6}, {10, 10}}));
  EXPECT_TRUE(set.Missing(2, 4).empty());
}

TEST(IntervalSet, HoldsTheLargestNumbers) {
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  IntervalSet set;
  set.Add(kMax, kMax);
  set.Add(1, 1);
  set.Add(kMax - 1, kMax - 1);
  EXPECT_TRUE(set.Covers(kMax - 1, kMax));
  EXPECT_TRUE(set.Missing(kMax - 1, kMax).empty());
  EXPECT_EQ(set.intervals().size(), 2U);
}

TEST(IntervalSet, AgreesWithASetOfNumbers) {
  SeededRandom random(7);
  for (int round = 0; round < 200; ++round) {
    IntervalSet set;
    std::set<std::uint64_t> numbers;
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t first = 1 + random.NextBelow(60);
      const std::uint64_t last = first + random.NextBelow(6);
      set.Add(first, last);
      for (std::uint64_t n = first; n <= last; ++n) numbers.insert(n);
    }
    EXPECT_EQ(set.count(), numbers.size());
    for (std::uint64_t n = 1; n < 70; ++n) EXPECT_EQ(set.Contains(n), numbers.contains(n)) << n;
    const auto read = IntervalSet::FromJson(set.ToJson(), "set");
    ASSERT_TRUE(read) << read.error().ToString();
    EXPECT_EQ(*read, set);
  }
}

TEST(IntervalSet, RefusesIntervalsOutOfOrder) {
  for (const char* text : {"[[0,3]]", "[[5,4]]", "[[1,3],[3,5]]", "[[1,3],[4,5]]", "[[5,6],[1,2]]",
                           "[[1]]", "[1,2]", "{}", "[[1,2.5]]", "[[-1,2]]"}) {
    const auto json = ParseJson(text);
    ASSERT_TRUE(json);
    EXPECT_EQ(IntervalSet::FromJson(*json, "set").error().code(), ErrorCode::kInvalidArgument)
        << text;
  }
}

TEST(IntervalSet, RefusesMoreIntervalsThanTheLimit) {
  Json json = Json::array();
  for (std::size_t i = 0; i <= limits::kReceiptIntervals; ++i)
    json.push_back({std::uint64_t{3 * i + 1}, std::uint64_t{3 * i + 1}});
  EXPECT_EQ(IntervalSet::FromJson(json, "set").error().code(), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace skerry
