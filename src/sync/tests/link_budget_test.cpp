#include "sync/link_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/link_limits.h"
#include "http/client.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;
constexpr std::uint64_t kDayBytes = 100'000;

std::int64_t Utc(const char* text) { return ParseUtc(text).value(); }

SyncWindows Windows(std::vector<std::string> texts) { return SyncWindows::Parse(texts).value(); }

// 2026-03-02 is a Monday.
TEST(SyncWindows, OpenAtTheTimesThatTheyName) {
  const SyncWindows windows = Windows({"mon-fri 12:00-13:30", "sun"});
  EXPECT_FALSE(windows.IsOpen(Utc("2026-03-02T11:59:59Z")));
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-02T12:00:00Z")));
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-06T13:29:59Z")));
  EXPECT_FALSE(windows.IsOpen(Utc("2026-03-06T13:30:00Z")));
  EXPECT_FALSE(windows.IsOpen(Utc("2026-03-07T12:30:00Z"))) << "a Saturday";
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-08T00:00:00Z")));
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-08T23:59:59Z")));
  EXPECT_EQ(windows.NextOpening(Utc("2026-03-06T14:00:00Z")), Utc("2026-03-08T00:00:00Z"));
}

TEST(SyncWindows, GoOverMidnightAndTheEndOfTheWeek) {
  const SyncWindows windows = Windows({"sun 22:00-06:00"});
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-08T22:00:00Z")));
  EXPECT_TRUE(windows.IsOpen(Utc("2026-03-09T05:59:00Z")));
  EXPECT_FALSE(windows.IsOpen(Utc("2026-03-09T06:00:00Z")));
  EXPECT_TRUE(Windows({"sat-mon"}).IsOpen(Utc("2026-03-09T12:00:00Z")));
  EXPECT_FALSE(Windows({"sat-mon"}).IsOpen(Utc("2026-03-10T12:00:00Z")));
  EXPECT_TRUE(windows.IsOpen(Utc("1969-12-28T23:00:00Z"))) << "a clock before 1970";
}

TEST(SyncWindows, AlwaysAndNever) {
  EXPECT_TRUE(Windows({}).always());
  EXPECT_TRUE(Windows({"always"}).always());
  EXPECT_TRUE(Windows({"never"}).never());
  EXPECT_FALSE(Windows({"never"}).NextOpening(0));
}

TEST(SyncWindows, WhatIsNoneIsRefusedWithWhatItCouldBe) {
  for (const char* text :
       {"", "22:00", "22:00-", "25:00-26:00", "22:60-23:00", "12:00-12:00", "24:00-12:00",
        "foo 12:00-13:00", "mon-foo", "mon  12:00-13:00", "12:00-13:00 mon", "Always"}) {
    const std::vector<std::string> texts{text};
    const auto parsed = SyncWindows::Parse(texts);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr("mon-fri 12:00-13:30")) << text;
  }
  const std::vector<std::string> both{"always", "never"};
  EXPECT_FALSE(SyncWindows::Parse(both));
  const std::vector<std::string> many(limits::kSyncWindows + 1, "always");
  EXPECT_EQ(SyncWindows::Parse(many).error().code(), ErrorCode::kTooLarge);
}

class LinkBudgetTest : public testing::Test {
 protected:
  std::unique_ptr<LinkBudget> Open(LinkOptions options) {
    return LinkBudget::Open(std::move(options), directory_.path() / "budget.json", clock_).value();
  }
  FakeClock clock_{Utc("2026-03-02T10:00:00Z")};
  TemporaryDirectory directory_ = TemporaryDirectory::Create("budget").value();
};

TEST_F(LinkBudgetTest, BytesASecondHoldUpWhatComesNext) {
  const auto budget = Open({.bytes_per_second = 1'000});
  EXPECT_EQ(budget->Admit(TransferKind::kBulk, 2'000).value(), 0);
  EXPECT_EQ(budget->Admit(TransferKind::kTalk, 100).value(), 2 * kSecond);
  budget->Charge(500);
  EXPECT_EQ(budget->Admit(TransferKind::kTalk, 100).value(), 5 * kSecond / 2);
  clock_.Advance(5 * kSecond / 2);
  EXPECT_EQ(budget->Admit(TransferKind::kTalk, 100).value(), 0);
  clock_.Advance(kHour);
  EXPECT_EQ(budget->Admit(TransferKind::kBulk, 100).value(), 0);
  EXPECT_GT(budget->Admit(TransferKind::kBulk, 100).value(), 0) << "an idle hour saves nothing up";
}

TEST_F(LinkBudgetTest, BytesADayKeepTheirLastTenthForWhatIsUrgentAndBeginAnewAtMidnight) {
  const auto budget = Open({.bytes_per_day = kDayBytes});
  EXPECT_TRUE(budget->Admit(TransferKind::kBulk, 90'000));
  const auto closed = budget->Admit(TransferKind::kBulk, 1);
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message(), HasSubstr("link.bytes_per_day"));
  EXPECT_EQ(budget->facts().closed, "");
  EXPECT_FALSE(budget->Reserve(TransferKind::kBulk, 1));
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 10'000));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  EXPECT_NE(budget->facts().closed, "");
  clock_.SetUtc(Utc("2026-03-03T00:00:00Z"));
  EXPECT_TRUE(budget->Admit(TransferKind::kBulk, 90'000));
}

TEST_F(LinkBudgetTest, WhatIsSetAsideIsNobodyElsesAndNoCallBeginsWithoutIt) {
  constexpr std::uint64_t kCall = TransferGate::kReserveBytes;
  auto budget = Open({.bytes_per_day = kDayBytes});
  ASSERT_TRUE(budget->Admit(TransferKind::kTalk, kDayBytes - 2 * kCall));
  ASSERT_TRUE(budget->Reserve(TransferKind::kTalk, kCall));
  ASSERT_TRUE(budget->Reserve(TransferKind::kTalk, kCall));
  EXPECT_FALSE(budget->Reserve(TransferKind::kTalk, 1));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  // An answer's body may have what its call set aside, and no more.
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, kCall + 1, kCall));
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 1'000, 1'000));
  budget->Charge(500, kCall - 1'000);  // the first call has ended
  EXPECT_EQ(budget->facts().bytes_today, kDayBytes - 2 * kCall + 1'500);
  EXPECT_FALSE(budget->Reserve(TransferKind::kTalk, kCall));
  EXPECT_TRUE(budget->Reserve(TransferKind::kTalk, kCall - 1'500));
  // A killed process leaves what was set aside as used.
  EXPECT_GE(Open({.bytes_per_day = kDayBytes})->facts().bytes_today, kDayBytes);
}

TEST_F(LinkBudgetTest, ACountSurvivesTheProcessAndIsNeverTooLowAfterItsDeath) {
  auto budget = Open({.bytes_per_day = kDayBytes});
  EXPECT_TRUE(budget->Admit(TransferKind::kBulk, 50'000));
  // As a killed process leaves it: opened again while the first is still there.
  const auto after_death = Open({.bytes_per_day = kDayBytes});
  EXPECT_GE(after_death->facts().bytes_today, 50'000U);
  EXPECT_LE(after_death->facts().bytes_today, 60'000U);
  budget.reset();
  EXPECT_EQ(Open({.bytes_per_day = kDayBytes})->facts().bytes_today, 50'000U);
  clock_.SetUtc(Utc("2026-03-05T10:00:00Z"));
  EXPECT_EQ(Open({.bytes_per_day = kDayBytes})->facts().bytes_today, 0U);
}

TEST_F(LinkBudgetTest, AClockThatIsSetBackGivesNoDayTwice) {
  const auto budget = Open({.bytes_per_day = kDayBytes});
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 100'000));
  clock_.SetUtc(Utc("2026-02-01T10:00:00Z"));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  clock_.SetUtc(Utc("2026-03-02T23:00:00Z"));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  // Nor does one that stood too far in the future close it for years.
  clock_.SetUtc(Utc("2106-01-01T00:00:00Z"));
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 100'000));
  clock_.SetUtc(Utc("2026-03-03T00:00:00Z"));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  clock_.Advance(24 * kHour);
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 1));
}

TEST_F(LinkBudgetTest, WindowsCloseUnlessTheClockIsKnownToBeWrong) {
  const auto budget = Open({.windows = {"22:00-06:00"}});
  const auto closed = budget->Admit(TransferKind::kTalk, 1);
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message(), HasSubstr("2026-03-02T22:00:00Z"));
  clock_.SetQuality(ClockQuality::kUnknown);
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1)) << "unsynchronised, and plausible";
  budget->NoteTrustedTime(Utc("2026-03-01T00:00:00Z"));
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  clock_.SetUtc(Utc("1970-01-01T10:00:00Z"));
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 1));
  clock_.SetQuality(ClockQuality::kSynced);
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1));
  EXPECT_FALSE(Open({.windows = {"never"}})->Admit(TransferKind::kTalk, 1));
}

TEST_F(LinkBudgetTest, ADayOfAClockThatIsWrongIs24HoursOfUptime) {
  clock_.SetQuality(ClockQuality::kUnknown);
  clock_.SetUtc(Utc("1970-01-01T23:00:00Z"));
  const auto budget = Open({.bytes_per_day = kDayBytes});
  budget->NoteTrustedTime(Utc("2026-03-01T00:00:00Z"));
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 100'000));
  clock_.Advance(2 * kHour);
  EXPECT_FALSE(budget->Admit(TransferKind::kTalk, 1)) << "its midnight is none";
  clock_.Advance(22 * kHour);
  EXPECT_TRUE(budget->Admit(TransferKind::kTalk, 1));
}

TEST_F(LinkBudgetTest, BudgetsTooSmallToWorkWithAreRefused) {
  const auto open = [&](LinkOptions options) {
    return LinkBudget::Open(std::move(options), directory_.path() / "budget.json", clock_);
  };
  EXPECT_FALSE(open({.bytes_per_second = limits::kLeastLinkBytesPerSecond - 1}));
  EXPECT_TRUE(open({.bytes_per_second = limits::kLeastLinkBytesPerSecond}));
  EXPECT_FALSE(open({.bytes_per_day = limits::kLeastLinkBytesPerDay - 1}));
  EXPECT_FALSE(open({.windows = {"tomorrow"}}));
}

}  // namespace
}  // namespace skerry
