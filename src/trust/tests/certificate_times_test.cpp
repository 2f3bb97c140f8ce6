#include "trust/certificate_times.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

constexpr std::int64_t kStart = 1'750'000'000'000'000;

TEST(CertificateTimes, RenewalIsDueFromTwoThirdsOfTheLifeOn) {
  CertificateFacts facts;
  facts.not_before_us = kStart;
  facts.not_after_us = kStart + 300 * kDayMicros;
  EXPECT_FALSE(RenewalIsDue(facts, 0)) << "a clock in 1970";
  EXPECT_FALSE(RenewalIsDue(facts, kStart + 200 * kDayMicros - 1));
  EXPECT_TRUE(RenewalIsDue(facts, kStart + 200 * kDayMicros));
  EXPECT_TRUE(RenewalIsDue(facts, kStart + 700 * kDayMicros));
}

TEST(CertificateTimes, DaysAreWholeOnesAndNegativeBehindTheEnd) {
  EXPECT_EQ(DaysLeft(kStart + 2 * kDayMicros, kStart), 2);
  EXPECT_EQ(DaysLeft(kStart + kDayMicros - 1, kStart), 0);
  EXPECT_EQ(DaysLeft(kStart, kStart), 0);
  EXPECT_EQ(DaysLeft(kStart, kStart + 1), -1);
  EXPECT_EQ(DaysLeft(kStart, kStart + kDayMicros), -1);
  EXPECT_EQ(DaysLeft(kStart, kStart + kDayMicros + 1), -2);
}

TEST(CertificateTimes, AlarmsComeThirtyDaysBeforeTheEndAndStay) {
  EXPECT_EQ(ExpiryAlarm("north", kStart + 30 * kDayMicros, kStart), "");
  EXPECT_EQ(ExpiryAlarm("north", kStart + 30 * kDayMicros, kStart + 1),
            "the certificate of north expires on 2025-07-15T15:06:40Z, in 29 days");
  EXPECT_EQ(ExpiryAlarm("north", kStart, kStart + kDayMicros / 2),
            "the certificate of north expired on 2025-06-15T15:06:40Z");
}

}  // namespace
}  // namespace skerry
