// Shipments, receipts, quota and damage: what leaves, what is deleted, and what is told of the
// rest.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "outbox/tests/outbox_fixture.h"
#include "storage/sqlite.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

// scored = received + withheld + not selected + shed + recalled + not captured + quarantined +
// pending, with the hub's side taken from `hub_primary`.
void ExpectBalanced(const SiteStatus& status, std::uint64_t received, std::uint64_t quarantined) {
  std::uint64_t pending = status.unsealed_primary_rows;
  for (const PendingSegment& segment : status.pending) pending += segment.primary_rows;
  const Counters& c = status.counters;
  EXPECT_EQ(c.scored, received + c.withheld + c.not_selected + c.shed + c.recalled +
                          c.not_captured + quarantined + pending);
}

class ReceiptTest : public OutboxTest {
 protected:
  void PutAndSeal(std::size_t rows) {
    ASSERT_TRUE(Put(Rows(rows), SampleAll()));
    ASSERT_TRUE(outbox_->SealNow());
  }
  SiteStatus Status_() {
    const auto status = outbox_->ReadStatus();
    EXPECT_TRUE(status) << status.error().ToString();
    return status.value_or(SiteStatus());
  }
};

TEST_F(ReceiptTest, StatementsAreSignedOnceChainedAndOfferedUnchanged) {
  PutAndSeal(10);
  const std::vector<Shipment> first = Pending();
  ASSERT_EQ(first.size(), 1U);
  PutAndSeal(20);
  const std::vector<Shipment> second = Pending();
  ASSERT_EQ(second.size(), 2U);
  EXPECT_EQ(second[0].statement_envelope, first[0].statement_envelope);
  EXPECT_EQ(second[0].tag, first[0].tag);
  EXPECT_FALSE(first[0].statement.previous);
  EXPECT_EQ(second[1].statement.previous, Digest::Sha256(first[0].statement_envelope));
  EXPECT_EQ(second[1].statement.number, 2U);
  const std::vector<PublicKey> keys = {key_.public_key()};
  const auto verified = VerifyStatement(second[1].statement_envelope, keys);
  ASSERT_TRUE(verified) << verified.error().ToString();
  EXPECT_EQ(*verified, second[1].statement);
  EXPECT_THAT(second[1].tag, ::testing::MatchesRegex("[0-9a-f]{12}-2-[0-9a-f]{12}"));
  ASSERT_EQ(second[1].statement.anchors.size(), 1U);

  Reopen();
  const std::vector<Shipment> again = Pending();
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(again[1].statement_envelope, second[1].statement_envelope);
  EXPECT_EQ(again[1].tag, second[1].tag);
  ExpectSound();
}

TEST_F(ReceiptTest, AReceiptDeletesWhatItCoversAndNothingElse) {
  PutAndSeal(10);
  const Shipment shipment = Pending()[0];
  PutAndSeal(20);
  Pending();
  HubTakes(shipment);
  ExpectBalanced(Status_(), 0, 0);
  const ReceiptOutcome outcome = Apply(HubReceipt());
  EXPECT_EQ(outcome.segments_covered, 1U);
  EXPECT_FALSE(outcome.new_incarnation);
  EXPECT_EQ(SegmentFiles(), 1U);
  EXPECT_EQ(Fate(5).place, RowPlace::kReceived);
  EXPECT_EQ(Fate(15).place, RowPlace::kSealed);
  EXPECT_EQ(Pending().size(), 1U);
  ExpectBalanced(Status_(), 10, 0);
  ExpectSound();
  Reopen();
  EXPECT_EQ(Fate(5).place, RowPlace::kReceived);
  ExpectSound();
}

TEST_F(ReceiptTest, RepeatedReceiptsAreHarmlessAndOlderOnesChangeNothing) {
  PutAndSeal(10);
  HubTakes(Pending()[0]);
  const std::string old = HubReceipt();
  PutAndSeal(10);
  HubTakes(Pending().back());
  const std::string current = HubReceipt();
  EXPECT_EQ(Apply(current).segments_covered, 2U);
  EXPECT_EQ(Apply(current).segments_covered, 0U);
  EXPECT_EQ(Apply(old).kind, ReceiptOutcome::Kind::kOlder);
  EXPECT_EQ(Facts().receipt_counter, 2U);
  EXPECT_EQ(Facts().receipted_primary_rows, 20U);
  ExpectSound();
}

TEST_F(ReceiptTest, ANewIncarnationIsTakenAndTheOneBeforeIsNotBelievedAgain) {
  PutAndSeal(10);
  HubTakes(Pending()[0]);
  const std::string before = HubReceipt();
  Apply(before);
  hub_.clear();
  incarnation_ = "second";
  restores_ = 1;
  receipt_counter_ = 0;
  PutAndSeal(10);
  EXPECT_TRUE(Apply(HubReceipt()).new_incarnation);
  EXPECT_EQ(Apply(before).kind, ReceiptOutcome::Kind::kOlder);
  EXPECT_EQ(Pending().back().segments.size(), 1U);
  ExpectSound();
}

TEST_F(ReceiptTest, OnlyTheHubsKeyAndThisSitesReceiptCount) {
  PutAndSeal(10);
  HubTakes(Pending()[0]);
  const std::string receipt = HubReceipt();
  const std::vector<PublicKey> others = {PrivateKey::Generate()->public_key()};
  EXPECT_EQ(outbox_->ApplyReceipt(receipt, others).error().code(), ErrorCode::kPermissionDenied);
  std::string damaged = receipt;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  const std::vector<PublicKey> keys = {hub_key_.public_key()};
  EXPECT_FALSE(outbox_->ApplyReceipt(damaged, keys));
  Receipt foreign{"first", 9, "south", {}, 0};
  EXPECT_THAT(outbox_->ApplyReceipt(*SignReceipt(foreign, hub_key_), keys).error().message(),
              HasSubstr("for site south"));
  EXPECT_EQ(SegmentFiles(), 1U);
}

TEST_F(ReceiptTest, ARangeThatWasNeverOfferedIsKept) {
  PutAndSeal(10);
  Receipt receipt{"first", 1, "north", {}, 0};
  receipt.streams.push_back({outbox_->epoch(), RecordClass::kSample, {}, {}});
  receipt.streams[0].received.Add(1, 1'000'000);
  EXPECT_EQ(Apply(*SignReceipt(receipt, hub_key_)).never_offered, 1U);
  EXPECT_EQ(SegmentFiles(), 1U);
  ExpectSound();
}

TEST_F(ReceiptTest, OverTheQuotaTheLowestValueIsShedFirstAndTheGapIsSigned) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  const auto policy = Policy(
      "skerry: policy/1\nname: p\nversion: 1\n"
      "fields: {torque_nm: keep, rotational_speed_rpm: keep, unit_id: keep, operator_note: keep}\n"
      "withhold: []\nclasses: {anomaly: {when: anomaly}, insight: {rate: 1}}\n");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Put(Rows(2000), policy));
  ASSERT_TRUE(outbox_->SealNow());
  const std::vector<Shipment> offered = Pending();
  const std::uint64_t used = Facts().segment_bytes + Facts().database_bytes;
  // The hub gets the whole of what was offered, and its receipt is late.
  for (const Shipment& shipment : offered) HubTakes(shipment);

  options_.quota_bytes = used * 9 / 10;
  Reopen();
  for (int i = 0; i < 30 && Facts().counters.shed == 0; ++i) ASSERT_TRUE(Put(Rows(2000), policy));
  ASSERT_GT(Facts().counters.shed, 0U);
  const SiteStatus before = Status_();
  bool insight_gap = false;
  std::uint64_t told = 0;
  for (const Shipment& shipment : Pending())
    for (const GapEntry& gap : shipment.statement.gaps) {
      EXPECT_EQ(gap.reason, kGapQuota);
      EXPECT_NE(gap.cls, RecordClass::kAnomaly);
      insight_gap |= gap.cls == RecordClass::kInsight;
      told += gap.primary_rows;
    }
  EXPECT_TRUE(insight_gap);
  EXPECT_EQ(told, Facts().counters.shed);
  ExpectBalanced(before, 0, 0);
  ExpectSound();

  // The receipt shows that what was shed had arrived: it is received, not shed.
  const std::uint64_t shed = Facts().counters.shed;
  Apply(HubReceipt());
  EXPECT_LT(Facts().counters.shed, shed);
  ExpectSound();
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  EXPECT_EQ(Facts().open_gaps, 0U);
  ExpectSound();
}

TEST_F(ReceiptTest, UnsealedRowsAreShedToo) {
  options_.segment_age = std::chrono::hours(1);
  options_.quota_bytes = 200'000;
  Reopen();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put(Rows(500), SampleAll()));
  const OutboxFacts facts = Facts();
  EXPECT_GT(facts.counters.shed, 0U);
  EXPECT_EQ(facts.counters.scored, 20'000U);
  EXPECT_EQ(Fate(1).place, RowPlace::kShed);
  EXPECT_EQ(Fate(20'000).place, RowPlace::kUnsealed);
  const std::vector<Shipment> shipments = Pending();
  ASSERT_FALSE(shipments.empty());
  // Neighbours are merged into one gap.
  EXPECT_EQ(shipments[0].statement.gaps.size(), 1U);
  ExpectBalanced(Status_(), 0, 0);
  ExpectSound();
}

TEST_F(ReceiptTest, ADamagedSegmentIsSetAsideAndTheNextOnesGoOn) {
  PutAndSeal(10);
  PutAndSeal(20);
  const std::vector<Shipment> shipments = Pending();
  const auto& [digest, path] = shipments[0].segments[0];
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(40).put('\x7f');
  const auto findings = outbox_->Verify();
  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ::testing::Contains(HasSubstr("is damaged")));

  ASSERT_TRUE(outbox_->QuarantineSegment(digest, "its digest differs"));
  EXPECT_EQ(outbox_->QuarantineSegment(digest, "again").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(Fate(3).place, RowPlace::kDamaged);
  ExpectBalanced(Status_(), 0, 0);
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  EXPECT_EQ(Facts().open_gaps, 0U);
  EXPECT_TRUE(Pending().empty());
  ExpectBalanced(Status_(), 20, 10);
  ExpectSound();
}

TEST_F(ReceiptTest, AMissingSegmentFileIsDamageAtTheNextStart) {
  PutAndSeal(10);
  const auto path = Pending()[0].segments[0].second;
  ASSERT_TRUE(RemoveFile(path));
  Reopen();
  EXPECT_EQ(Facts().damaged_primary_rows, 10U);
  const std::vector<Shipment> shipments = Pending();
  ASSERT_EQ(shipments.size(), 2U);
  EXPECT_TRUE(shipments[0].segments.empty());
  EXPECT_EQ(shipments[1].statement.gaps[0].reason, kGapDamage);
  ExpectSound();
}

TEST_F(ReceiptTest, AnUnreadableBatchIsSetAsideAndEverythingBehindItGoesOn) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Put(Rows(10), SampleAll()));
  outbox_.reset();
  {
    auto database = *Database::Open(directory_.path() / "outbox-000001.db");
    ASSERT_TRUE(
        database->Execute("UPDATE batches SET body = zeroblob(length(body)) WHERE first_seq = 21"));
  }
  Reopen();
  ASSERT_TRUE(outbox_->SealNow());
  const OutboxFacts facts = Facts();
  EXPECT_EQ(facts.damaged_primary_rows, 10U);
  EXPECT_EQ(facts.sealed_primary_rows, 40U);
  EXPECT_EQ(Fate(25).place, RowPlace::kDamaged);
  EXPECT_EQ(Fate(45).place, RowPlace::kSealed);
  const std::vector<Shipment> shipments = Pending();
  ASSERT_EQ(shipments.size(), 1U);
  ASSERT_EQ(shipments[0].statement.gaps.size(), 1U);
  EXPECT_EQ(shipments[0].statement.gaps[0].first_seq, 21U);
  ExpectSound();
}

TEST_F(ReceiptTest, StatusCountersGrowAcrossRestarts) {
  const std::uint64_t first = Status_().counter;
  Reopen();
  EXPECT_EQ(Status_().counter, first + 1);
}

TEST_F(ReceiptTest, SpaceIsGivenBackWhenReceiptsCome) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put(Rows(2000), SampleAll()));
  const std::uint64_t full = Facts().database_bytes;
  ASSERT_TRUE(outbox_->SealNow());
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  EXPECT_LT(Facts().database_bytes, full / 2);
  EXPECT_EQ(SegmentFiles(), 0U);
}

}  // namespace
}  // namespace skerry
