// A hub that was restored from a back-up: what the site keeps for that, what it offers again, and
// what it says of the rest.
#include <gmock/gmock.h>

#include "outbox/tests/outbox_fixture.h"
#include "storage/sqlite.h"

namespace skerry {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GraceTest : public OutboxTest {
 protected:
  void SetUp() override {
    options_.segment_age = std::chrono::hours(1);
    options_.grace_bytes = 1U << 20U;
    Reopen();
  }
  void PutAndSeal(std::size_t rows) {
    ASSERT_TRUE(Put(Rows(rows), SampleAll()));
    ASSERT_TRUE(outbox_->SealNow());
  }
  // Everything that waits goes to the hub, and its receipt comes.
  void Drain() {
    for (const Shipment& shipment : Pending()) HubTakes(shipment);
    Apply(HubReceipt());
  }
  // The site's own sum, with what the hub counts of lost rows once it has accepted them.
  void ExpectBalanced() {
    const auto status = outbox_->ReadStatus();
    ASSERT_TRUE(status);
    std::uint64_t pending = status->unsealed_primary_rows;
    for (const PendingSegment& segment : status->pending) pending += segment.primary_rows;
    std::uint64_t lost = 0;
    for (const LostRange& range : Facts().lost) lost += range.told ? range.primary_rows : 0;
    const Counters& c = status->counters;
    EXPECT_EQ(c.scored, Facts().receipted_primary_rows + c.withheld + c.not_selected + c.shed +
                            c.recalled + c.not_captured + lost + pending);
    ExpectSound();
  }
};

TEST_F(GraceTest, WhatIsStillHereIsOfferedAgainAsItWas) {
  PutAndSeal(10);
  Drain();
  const auto backup = hub_;
  PutAndSeal(20);
  const Shipment second = Pending().at(0);
  Drain();
  EXPECT_EQ(SegmentFiles(), 2U);
  EXPECT_EQ(Facts().grace_segments, 2U);
  EXPECT_EQ(Facts().segment_bytes, 0U);
  EXPECT_TRUE(Pending().empty());
  ExpectBalanced();
  Reopen();
  EXPECT_EQ(Facts().grace_segments, 2U);

  RestoreHub(backup);
  const ReceiptOutcome outcome = Apply(HubReceipt());
  EXPECT_TRUE(outcome.new_incarnation);
  EXPECT_EQ(outcome.segments_offered_again, 1U);
  EXPECT_EQ(outcome.records_lost, 0U);
  EXPECT_EQ(Fate(5).place, RowPlace::kReceived);
  EXPECT_EQ(Fate(15).place, RowPlace::kSealed);
  ExpectBalanced();
  Reopen();
  const std::vector<Shipment> again = Pending();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].statement_envelope, second.statement_envelope);
  EXPECT_EQ(again[0].tag, second.tag);
  Drain();
  EXPECT_EQ(Fate(15).place, RowPlace::kReceived);
  EXPECT_EQ(Facts().receipted_primary_rows, 30U);
  ExpectBalanced();
}

TEST_F(GraceTest, WithoutAGraceWhatIsLostIsNamedAndBecomesAGap) {
  options_.grace_bytes = 0;
  Reopen();
  EXPECT_EQ(Facts().grace_segments, 0U);
  const auto policy = Policy(testing_rows::MillingYaml());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Put(Rows(200), policy));
  ASSERT_TRUE(outbox_->SealNow());
  Drain();
  EXPECT_EQ(SegmentFiles(), 0U);
  const auto backup = hub_;
  const std::uint64_t primary_before = Facts().receipted_primary_rows;
  ASSERT_TRUE(Put(Rows(200), policy));
  ASSERT_TRUE(outbox_->SealNow());
  Drain();
  const std::uint64_t primary_rows = Facts().receipted_primary_rows - primary_before;
  ASSERT_GT(primary_rows, 0U);

  RestoreHub(backup);
  EXPECT_GT(Apply(HubReceipt()).records_lost, 0U);
  EXPECT_EQ(Facts().receipted_primary_rows, primary_before);
  EXPECT_EQ(Facts().lost_primary_rows, primary_rows);
  EXPECT_THAT(outbox_->Alarms(), Contains(HasSubstr("has lost")));
  ExpectBalanced();
  Reopen();
  for (const LostRange& range : Facts().lost) EXPECT_FALSE(range.told);
  // The statements of the time are offered again, so that the hub sees the whole chain, and a new
  // one tells of the gap.
  std::size_t told = 0;
  for (const Shipment& shipment : Pending()) {
    EXPECT_TRUE(shipment.segments.empty());
    for (const GapEntry& gap : shipment.statement.gaps) {
      EXPECT_EQ(gap.reason, kGapLost);
      ++told;
    }
  }
  EXPECT_EQ(told, Facts().lost.size());
  Drain();
  EXPECT_TRUE(Pending().empty());
  for (const LostRange& range : Facts().lost) EXPECT_TRUE(range.told);
  ExpectBalanced();
  EXPECT_GT(*outbox_->AcknowledgeLost(), 0U);
  EXPECT_EQ(*outbox_->AcknowledgeLost(), 0U);
  Reopen();
  EXPECT_THAT(outbox_->Alarms(), IsEmpty());
  EXPECT_EQ(Facts().lost_primary_rows, primary_rows);
}

TEST_F(GraceTest, ARestoredHubThatHasCountedAsFarIsFoundOutByWhatItHolds) {
  PutAndSeal(10);
  const auto backup = hub_;
  Drain();
  hub_ = backup;
  PutAndSeal(20);
  const std::vector<Shipment> pending = Pending();
  ASSERT_EQ(pending.size(), 1U);
  HubTakes(pending[0]);
  const ReceiptOutcome outcome = Apply(HubReceipt());
  EXPECT_FALSE(outcome.new_incarnation);
  EXPECT_EQ(outcome.segments_offered_again, 1U);
  EXPECT_EQ(outcome.segments_covered, 1U);
  Drain();
  EXPECT_EQ(Facts().receipted_primary_rows, 30U);
  ExpectBalanced();
}

TEST_F(GraceTest, OfTwoHubsFromOneBackUpTheFirstIsBelieved) {
  PutAndSeal(10);
  Drain();
  const auto backup = hub_;
  RestoreHub(backup);
  const std::string first = HubReceipt();
  Apply(first);
  incarnation_ = "another";
  receipt_counter_ = 50;
  hub_.clear();
  EXPECT_EQ(Apply(HubReceipt()).kind, ReceiptOutcome::Kind::kOlder);
  EXPECT_EQ(outbox_->NewestReceipt().value()->envelope, first);
  EXPECT_TRUE(Pending().empty());
  // It has been shown the other's receipt, and begins a later incarnation.
  ++restores_;
  EXPECT_EQ(Apply(HubReceipt()).segments_offered_again, 1U);
  ExpectBalanced();
}

TEST_F(GraceTest, AHubOfOtherKeysBeginsAnew) {
  PutAndSeal(10);
  Drain();
  hub_key_ = *PrivateKey::Generate();
  incarnation_ = "elsewhere";
  receipt_counter_ = 0;
  hub_.clear();
  const ReceiptOutcome outcome = Apply(HubReceipt());
  EXPECT_TRUE(outcome.new_incarnation);
  EXPECT_EQ(outcome.segments_offered_again, 1U);
  ExpectBalanced();
}

TEST_F(GraceTest, GapsThatARestoredHubDoesNotKnowAreToldAgain) {
  PutAndSeal(10);
  const auto path = Pending().at(0).segments.at(0).second;
  ASSERT_TRUE(RemoveFile(path));
  Reopen();
  const auto backup = hub_;
  Drain();
  EXPECT_EQ(Facts().open_gaps, 0U);
  RestoreHub(backup);
  EXPECT_EQ(Apply(HubReceipt()).gaps_told_again, 1U);
  EXPECT_EQ(Facts().open_gaps, 1U);
  EXPECT_FALSE(Pending().empty());
  Drain();
  EXPECT_EQ(Facts().open_gaps, 0U);
  EXPECT_EQ(Facts().damaged_primary_rows, 10U);
  ExpectSound();
}

TEST_F(GraceTest, WhatIsLostMayStillArriveByALateStickAlsoInPart) {
  options_.grace_bytes = 0;
  options_.segment_rows = 10;
  Reopen();
  const auto backup = hub_;
  for (int i = 0; i < 3; ++i) PutAndSeal(10);
  const std::vector<Shipment> stick = Pending();
  Drain();
  RestoreHub(backup);
  Apply(HubReceipt());
  Drain();
  EXPECT_EQ(Facts().lost_primary_rows, 30U);
  EXPECT_EQ(*outbox_->AcknowledgeLost(), 30U);
  hub_[{outbox_->epoch(), RecordClass::kSample}].received.Add(5, 12);
  Apply(HubReceipt());
  EXPECT_EQ(Facts().lost_primary_rows, 22U);
  EXPECT_EQ(Fate(6).place, RowPlace::kReceived);
  EXPECT_EQ(Fate(4).place, RowPlace::kLost);
  ExpectBalanced();
  hub_[{outbox_->epoch(), RecordClass::kSample}].received.Add(1, 30);
  Apply(HubReceipt());
  EXPECT_TRUE(Facts().lost.empty());
  EXPECT_EQ(Facts().receipted_primary_rows, 30U);
  ExpectBalanced();
  // That a person knew of what has come back hides nothing that is lost later.
  const auto second_backup = hub_;
  PutAndSeal(10);
  Drain();
  RestoreHub(second_backup);
  Apply(HubReceipt());
  EXPECT_THAT(outbox_->Alarms(), Contains(HasSubstr("has lost 10 records")));
}

TEST_F(GraceTest, TheGraceIsTheFirstToGoAndCostsNoRecord) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put(Rows(2000), SampleAll()));
  ASSERT_TRUE(outbox_->SealNow());
  Drain();
  const std::uint64_t kept = Facts().grace_bytes;
  ASSERT_GT(kept, 20'000U);
  options_.quota_bytes = Facts().database_bytes + kept + 100'000;
  Reopen();
  const auto policy = SampleAll();
  for (int i = 0; i < 50 && Facts().grace_bytes == kept; ++i) ASSERT_TRUE(Put(Rows(200), policy));
  EXPECT_LT(Facts().grace_bytes, kept);
  EXPECT_EQ(Facts().counters.shed, 0U);
  ExpectBalanced();
}

TEST_F(GraceTest, BytesAndAgeBoundIt) {
  PutAndSeal(2000);
  Drain();
  const std::uint64_t one = Facts().grace_bytes;
  options_.grace_bytes = one * 4;
  options_.grace_age = std::chrono::hours(24);
  Reopen();
  for (int i = 0; i < 10; ++i) {
    PutAndSeal(2000);
    Drain();
  }
  EXPECT_LE(Facts().grace_bytes, one * 4);
  EXPECT_GE(Facts().grace_segments, 2U);
  EXPECT_EQ(SegmentFiles(), Facts().grace_segments);
  // A clock that says nothing ends nothing, and one that is set back neither.
  clock_.Advance(std::chrono::microseconds(std::chrono::hours(48)).count());
  clock_.SetQuality(ClockQuality::kUnknown);
  Pending();
  EXPECT_GE(Facts().grace_segments, 2U);
  PutAndSeal(10);
  Drain();
  clock_.SetQuality(ClockQuality::kSynced);
  clock_.SetUtc(1);
  Pending();
  EXPECT_GE(Facts().grace_segments, 3U);
  clock_.SetUtc(1'790'000'000'000'000 + std::chrono::microseconds(std::chrono::hours(48)).count());
  Pending();
  EXPECT_EQ(Facts().grace_segments, 1U);  // whose age nobody knows
  ExpectBalanced();
}

TEST_F(GraceTest, AFileThatIsGoneIsNoDamage) {
  PutAndSeal(10);
  const auto path = Pending().at(0).segments.at(0).second;
  Drain();
  ASSERT_TRUE(RemoveFile(path));
  Reopen();
  EXPECT_EQ(Facts().damaged_primary_rows, 0U);
  EXPECT_EQ(Facts().grace_segments, 0U);
  EXPECT_TRUE(outbox_->Alarms().empty());
  ExpectBalanced();
  options_.grace_bytes = 0;
  PutAndSeal(10);
  Drain();
  EXPECT_EQ(SegmentFiles(), 1U);
  Reopen();
  EXPECT_EQ(SegmentFiles(), 0U);
}

TEST_F(GraceTest, ManyReceiptedSegmentsAreRememberedAsFewRanges) {
  options_.grace_bytes = 0;
  options_.segment_rows = 1;
  options_.quota_bytes = 384U << 10U;  // of which so many rows are kept: 192
  Reopen();
  const auto backup = hub_;
  const auto policy = SampleAll();
  for (int i = 0; i < 4; ++i) {
    for (int row = 0; row < 60; ++row) ASSERT_TRUE(Put(Rows(1), policy));
    ASSERT_TRUE(outbox_->SealNow());
    Drain();
  }
  ASSERT_EQ(Facts().receipted_primary_rows, 240U);
  outbox_.reset();
  {
    auto database = *Database::Open(directory_.path() / "outbox-000001.db", {.read_only = true});
    auto count = *database->Prepare("SELECT COUNT(*) FROM receipted");
    ASSERT_TRUE(*count.Step());
    EXPECT_LE(count.Int(0), 192);
  }
  Reopen();
  ExpectBalanced();
  RestoreHub(backup);
  Apply(HubReceipt());
  EXPECT_EQ(Facts().lost_primary_rows, 240U);
  ExpectBalanced();
}

TEST_F(GraceTest, AnOutboxOfBeforeKnowsItsRangesAndItsSum) {
  PutAndSeal(10);
  Drain();
  const auto backup = hub_;
  outbox_.reset();
  {
    auto database = *Database::Open(directory_.path() / "outbox-000001.db");
    ASSERT_TRUE(
        database->Execute("DROP TABLE scorers; DROP TABLE receipted; ALTER TABLE state DROP COLUMN "
                          "lost_acknowledged; "
                          "PRAGMA user_version = 2"));
  }
  Reopen();
  ExpectBalanced();
  hub_.clear();
  RestoreHub({});
  EXPECT_EQ(Apply(HubReceipt()).records_lost, 10U);
  EXPECT_EQ(Facts().lost_primary_rows, 10U);
  ExpectBalanced();
}

}  // namespace
}  // namespace skerry
