// When a row was made, by what is known of its clocks.
#include "hub/instance_time.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kHourUs = 3'600 * kSecondUs;
constexpr std::int64_t kDayUs = 24 * kHourUs;
// The machine was started then; the site joined a year before, the file arrived ten days later.
constexpr std::int64_t kStartUs = 1'790'000'000'654'321;
const FileTime kFile{.joined_us = kStartUs - 365 * kDayUs,
                     .floor_us = kStartUs - kDayUs,
                     .received_us = kStartUs + 10 * kDayUs,
                     .unit_us = 1,
                     .first_mono_us = kHourUs,
                     .last_mono_us = 5 * kHourUs};

ClockPoint At(std::int64_t mono_us, std::int64_t wrong_us = 0) {
  return {mono_us, kStartUs + mono_us + wrong_us};
}
RowTime Row(std::int64_t mono_us, std::int64_t wrong_us, ClockQuality clock) {
  return {kStartUs + mono_us + wrong_us, mono_us, clock};
}

TEST(InstanceTime, ASyncedRowIsRightUnlessItCannotBe) {
  const InstanceTime none({});
  EXPECT_FALSE(none.Correct(Row(kHourUs, 0, ClockQuality::kSynced), kFile));
  EXPECT_TRUE(none.Correct({kHourUs, kHourUs, ClockQuality::kSynced}, kFile));  // 1970
  EXPECT_TRUE(
      none.Correct({4'291'747'200'000'000, kHourUs, ClockQuality::kSynced}, kFile));  // 2106
  EXPECT_TRUE(none.Correct(Row(kHourUs, 0, ClockQuality::kUnknown), kFile));
}

TEST(InstanceTime, TheNearestAnchorCorrectsWithinTheDrift) {
  const InstanceTime time({At(2 * kHourUs), At(2 * kDayUs, kSecondUs)});
  const auto correction = time.Correct({kHourUs, kHourUs, ClockQuality::kUnknown}, kFile);
  ASSERT_TRUE(correction);
  EXPECT_EQ(correction->corrected_us, kStartUs + kHourUs);
  EXPECT_EQ(correction->not_before_us, kStartUs + kHourUs - 720'000);  // 200 ppm of an hour
  EXPECT_EQ(correction->not_after_us, kStartUs + kHourUs + 720'000);
  const auto late = time.Correct({kDayUs, 2 * kDayUs - 1, ClockQuality::kUnknown}, kFile);
  EXPECT_EQ(late->corrected_us, kStartUs + 2 * kDayUs - 1 + kSecondUs);
}

TEST(InstanceTime, ALaterAnchorRefutesWhatWasAheadOfIt) {
  const InstanceTime time({At(kHourUs, kHourUs), At(3 * kHourUs)});  // stepped back by an hour
  const auto correction = time.Correct(Row(2 * kHourUs, kHourUs, ClockQuality::kSynced), kFile);
  ASSERT_TRUE(correction);
  EXPECT_EQ(correction->corrected_us, kStartUs + 2 * kHourUs);
  EXPECT_FALSE(time.Correct(Row(2 * kHourUs, 0, ClockQuality::kSynced), kFile));
}

TEST(InstanceTime, AJumpForwardRefutesNothingAndLeavesBoundsBetween) {
  // The machine stood still for a day, or was a day behind.
  const InstanceTime time({At(kHourUs), At(3 * kHourUs, kDayUs)});
  EXPECT_FALSE(time.Correct(Row(2 * kHourUs, 0, ClockQuality::kSynced), kFile));
  const auto correction = time.Correct({0, 2 * kHourUs, ClockQuality::kUnknown}, kFile);
  ASSERT_TRUE(correction);
  EXPECT_FALSE(correction->corrected_us);
  EXPECT_EQ(correction->not_before_us, kStartUs + 2 * kHourUs - 720'000);
  EXPECT_EQ(correction->not_after_us, kStartUs + 2 * kHourUs + kDayUs + 720'000);
}

TEST(InstanceTime, HoldoverIsHeldToTheAnchorsAround) {
  const InstanceTime time({At(kHourUs), At(3 * kHourUs)});
  EXPECT_FALSE(time.Correct(Row(2 * kHourUs, kSecondUs, ClockQuality::kHoldover), kFile));
  for (const std::int64_t wrong_us : {kHourUs, -kHourUs}) {
    const auto row = Row(2 * kHourUs, wrong_us, ClockQuality::kHoldover);
    ASSERT_TRUE(time.Correct(row, kFile)) << wrong_us;
    EXPECT_EQ(time.Correct(row, kFile)->corrected_us, kStartUs + 2 * kHourUs);
    EXPECT_FALSE(InstanceTime({}).Correct(row, kFile));
  }
}

TEST(InstanceTime, WithoutAnAnchorTheOrderOfTheRowsNarrowsTheBounds) {
  const auto correction = InstanceTime({}).Correct({0, 2 * kHourUs, ClockQuality::kUnknown}, kFile);
  ASSERT_TRUE(correction);
  EXPECT_FALSE(correction->corrected_us);
  // An hour after the file's first row, three before its last, less the drift.
  EXPECT_EQ(correction->not_before_us, kFile.floor_us + kHourUs - 720'000 - 1);
  EXPECT_EQ(correction->not_after_us, kFile.received_us - 3 * kHourUs + 3 * 720'000 + 1);
}

TEST(InstanceTime, TimesThatWereCutStayCut) {
  FileTime file = kFile;
  file.unit_us = kHourUs;
  for (const InstanceTime& time : {InstanceTime({At(3 * kHourUs)}), InstanceTime({})}) {
    const auto correction = time.Correct({0, 2 * kHourUs, ClockQuality::kUnknown}, file);
    ASSERT_TRUE(correction);
    for (const std::int64_t us : {correction->corrected_us.value_or(0), correction->not_before_us,
                                  correction->not_after_us})
      EXPECT_EQ(us % kHourUs, 0) << us;
    EXPECT_LE(correction->not_before_us, kStartUs + 2 * kHourUs);
    EXPECT_GE(correction->not_after_us, kStartUs + 3 * kHourUs);
  }
  // A right time and a right monotonic time, each cut, differ by up to a unit from the anchor.
  const InstanceTime time({At(3 * kHourUs)});
  for (std::int64_t mono_us = kHourUs; mono_us < 3 * kHourUs; mono_us += 97 * kSecondUs) {
    const RowTime row{(kStartUs + mono_us) / kHourUs * kHourUs, mono_us / kHourUs * kHourUs,
                      ClockQuality::kSynced};
    EXPECT_FALSE(time.Correct(row, file)) << mono_us;
  }
}

TEST(InstanceTime, NumbersThatCannotBeOverflowNothing) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  for (const InstanceTime& time : {InstanceTime({At(3 * kHourUs)}), InstanceTime({})})
    for (const std::int64_t event_us : {kMost, kLeast})
      for (const std::int64_t mono_us : {kMost, kLeast, kMonotonicMostUs}) {
        const auto correction = time.Correct({event_us, mono_us, ClockQuality::kSynced}, kFile);
        ASSERT_TRUE(correction);
        EXPECT_LE(correction->not_before_us, correction->not_after_us);
      }
  for (const std::int64_t mono_us : {kMost, kLeast})
    EXPECT_FALSE(CanBe({mono_us, kStartUs}, kFile.joined_us, kFile.received_us));
  EXPECT_FALSE(CanBe({0, kMost}, kFile.joined_us, kFile.received_us));
  EXPECT_FALSE(CanBe({0, 0}, kFile.joined_us, kFile.received_us));
  EXPECT_TRUE(CanBe({0, kStartUs}, kFile.joined_us, kFile.received_us));
}

TEST(InstanceTime, AnAnchorIsNewsWhenItDisagreesOrIsFarFromTheOthers) {
  const InstanceTime time({At(kHourUs)});
  EXPECT_EQ(InstanceTime({}).NewsOf(At(kHourUs)), InstanceTime::News::kDisagrees);
  EXPECT_EQ(time.NewsOf(At(kHourUs + kSecondUs)), InstanceTime::News::kNone);
  EXPECT_EQ(time.NewsOf(At(3 * kHourUs)), InstanceTime::News::kNearer);
  EXPECT_EQ(time.NewsOf(At(3 * kHourUs, kHourUs)), InstanceTime::News::kDisagrees);
}

TEST(InstanceTime, ASpanIsBelievedOnlyWhereEachRowIs) {
  const auto span = [](std::int64_t wrong_us, ClockQuality clock) {
    const std::int64_t ahead_us = kStartUs + wrong_us;
    return ClockSpan{.instance = "",
                     .clock = clock,
                     .first_event_us = ahead_us + kHourUs,
                     .last_event_us = ahead_us + 2 * kHourUs,
                     .first_mono_us = kHourUs,
                     .last_mono_us = 2 * kHourUs,
                     .most_ahead_us = ahead_us,
                     .least_ahead_us = ahead_us};
  };
  const InstanceTime none({});
  const InstanceTime time({At(3 * kHourUs)});
  EXPECT_TRUE(time.Believes(span(0, ClockQuality::kSynced), kFile));
  EXPECT_TRUE(time.Believes(span(0, ClockQuality::kHoldover), kFile));
  EXPECT_TRUE(time.Believes(span(-kHourUs, ClockQuality::kSynced), kFile));
  EXPECT_FALSE(time.Believes(span(-kHourUs, ClockQuality::kHoldover), kFile));
  EXPECT_FALSE(time.Believes(span(kHourUs, ClockQuality::kSynced), kFile));
  EXPECT_FALSE(none.Believes(span(0, ClockQuality::kUnknown), kFile));
  EXPECT_FALSE(none.Believes(span(400 * kDayUs, ClockQuality::kSynced), kFile));
}

}  // namespace
}  // namespace skerry
