#include "base/clock.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(FormatUtc, RoundTripsMicrosecondsAndTimesBefore1970) {
  for (const std::int64_t us : {0L, 1'767'225'600'000'000L, 1'767'225'600'250'001L, -1L}) {
    EXPECT_EQ(ParseUtc(FormatUtc(us)).value(), us) << FormatUtc(us);
  }
  EXPECT_EQ(FormatUtc(1'767'225'600'000'000), "2026-01-01T00:00:00Z");
}

TEST(ParseUtc, RefusesOtherZonesAndTrailingText) {
  EXPECT_FALSE(ParseUtc("2026-01-01T00:00:00+01:00"));
  EXPECT_FALSE(ParseUtc("2026-01-01T00:00:00Z "));
  EXPECT_FALSE(ParseUtc("yesterday"));
}

TEST(FakeClock, MovesOnlyWhenToldTo) {
  FakeClock clock(1000);
  clock.Advance(5);
  EXPECT_EQ(clock.UtcMicros(), 1005);
  clock.SetUtc(7);  // a step back in UTC leaves monotonic time alone
  EXPECT_EQ(clock.MonotonicMicros(), 5);
}

TEST(SystemClock, MonotonicTimeNeverStepsBack) {
  const SystemClock clock;
  const auto first = clock.MonotonicMicros();
  EXPECT_GE(clock.MonotonicMicros(), first);
}

}  // namespace
}  // namespace skerry
