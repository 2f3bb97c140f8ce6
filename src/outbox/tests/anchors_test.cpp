// What statements tell of the clocks.
#include "outbox/anchors.h"

#include <gmock/gmock.h>

#include <functional>

#include "base/limits.h"
#include "outbox/tests/outbox_fixture.h"
#include "storage/sqlite.h"

namespace skerry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kNowUs = 1'790'000'000'654'321;
constexpr std::int64_t kYear2106Us = 4'291'747'200'000'000;
constexpr std::int64_t kHourUs = 3'600'000'000;
constexpr std::int64_t kSecondUs = 1'000'000;

class AnchorsTest : public OutboxTest {
 protected:
  void SetUp() override { StartProcess(); }

  InstanceId StartProcess() {
    options_.epoch = InstanceId::Random();
    Reopen();
    return options_.epoch;
  }
  // No process of the outbox runs meanwhile.
  void InDatabase(const std::function<void(Database&)>& change) {
    outbox_.reset();
    change(**Database::Open(directory_.path() / "outbox-000001.db"));
  }
  // What was before is of another start of the machine now.
  void RestartMachine() {
    InDatabase([](Database& db) {
      ASSERT_TRUE(db.Execute("UPDATE boots SET boot = 'the start before'"));
    });
  }
  // The anchors of the statement over some new rows.
  std::vector<ClockAnchor> Told() {
    EXPECT_TRUE(Put(Rows(3), SampleAll()));
    EXPECT_TRUE(outbox_->SealNow());
    const std::vector<Shipment> shipments = Pending();
    return shipments.empty() ? std::vector<ClockAnchor>() : shipments.back().statement.anchors;
  }
  ClockAnchor Here(InstanceId instance) const {
    return {instance, clock_.MonotonicMicros(), clock_.UtcMicros(), ClockQuality::kSynced};
  }
  void SetWrong(std::int64_t utc_us) {
    clock_.SetQuality(ClockQuality::kUnknown);
    clock_.SetUtc(utc_us);
  }
  void SetRight(std::int64_t utc_us = kNowUs) {
    clock_.SetQuality(ClockQuality::kSynced);
    clock_.SetUtc(utc_us);
  }
};

TEST_F(AnchorsTest, ATrustedTimeIsToldForEachEarlierProcessOfTheSameStart) {
  SetWrong(0);
  const InstanceId first = options_.epoch;
  EXPECT_THAT(Told(), IsEmpty());
  SetWrong(kYear2106Us);
  const InstanceId second = StartProcess();
  clock_.Advance(kHourUs);
  EXPECT_THAT(Told(), IsEmpty());
  SetRight();
  const InstanceId third = StartProcess();
  clock_.Advance(kSecondUs);
  EXPECT_THAT(Told(), ElementsAre(Here(third), Here(first), Here(second)));
  clock_.Advance(kSecondUs);
  EXPECT_THAT(Told(), ElementsAre(Here(third)));
  ExpectSound();
}

TEST_F(AnchorsTest, AProcessOfAnotherStartOrWithoutRowsIsToldNone) {
  SetWrong(0);
  Told();
  RestartMachine();
  const InstanceId other = StartProcess();
  Told();
  StartProcess();
  SetRight();
  const InstanceId last = StartProcess();
  EXPECT_THAT(Told(), ElementsAre(Here(last), Here(other)));
}

TEST_F(AnchorsTest, WhatIsTooMuchForOneStatementIsInTheNext) {
  InDatabase([](Database& db) {
    auto insert = *db.Prepare("INSERT INTO boots(instance, boot) VALUES(?, ?)");
    for (int i = 0; i < 1'500; ++i) {
      const InstanceId id = InstanceId::Random();
      const std::string bytes(reinterpret_cast<const char*>(id.bytes().data()), id.bytes().size());
      ASSERT_TRUE(insert.Bind(1, Blob{bytes}).Bind(2, ReadBootId()).Run());
    }
  });
  StartProcess();
  EXPECT_THAT(Told(), SizeIs(limits::kAnchorsPerStatement));
  EXPECT_THAT(Told(), SizeIs(1'500 - (limits::kAnchorsPerStatement - 1) + 1));
  EXPECT_THAT(Told(), SizeIs(1));
}

TEST_F(AnchorsTest, AStepOfATrustedClockIsToldFromBothSides) {
  const InstanceId instance = options_.epoch;
  SetRight(kYear2106Us);
  ASSERT_TRUE(Put(Rows(1), SampleAll()));
  const ClockAnchor before = Here(instance);
  clock_.Advance(kSecondUs);
  SetRight();
  ASSERT_TRUE(Put(Rows(1), SampleAll()));
  const ClockAnchor after = Here(instance);
  clock_.Advance(kSecondUs);
  EXPECT_THAT(Told(), ElementsAre(before, after, Here(instance)));
  // What NTP slews is no step.
  clock_.SetUtc(clock_.UtcMicros() + kClockStepUs / 2);
  EXPECT_THAT(Told(), ElementsAre(Here(instance)));
}

TEST_F(AnchorsTest, AStepThatIsMadeWhileTheTimeIsNotTrustedIsToldOnceItIs) {
  const InstanceId instance = options_.epoch;
  SetRight();
  ASSERT_TRUE(Put(Rows(1), SampleAll()));
  const ClockAnchor before = Here(instance);
  clock_.SetQuality(ClockQuality::kHoldover);
  clock_.SetUtc(kNowUs - kHourUs);
  ASSERT_TRUE(Put(Rows(1), SampleAll()));
  clock_.SetQuality(ClockQuality::kSynced);
  EXPECT_THAT(Told(), ElementsAre(before, Here(instance), Here(instance)));
}

TEST(AnchorWatch, KeepsABoundedNumberOfSteps) {
  FakeClock clock(kNowUs);
  AnchorWatch watch(clock, InstanceId::Random());
  for (int i = 0; i < 1'000; ++i) {
    clock.SetUtc(kNowUs + i * kHourUs);
    watch.Look();
  }
  EXPECT_THAT(watch.steps(), SizeIs(kStepAnchors));
  EXPECT_EQ(watch.steps().back().utc_us, kNowUs + 999 * kHourUs);
}

TEST(ReadBootId, IsTheSameForAllOfAMachinesStart) {
  EXPECT_FALSE(ReadBootId().empty());
  EXPECT_EQ(ReadBootId(), ReadBootId());
}

}  // namespace
}  // namespace skerry
