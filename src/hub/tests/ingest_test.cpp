#include "hub/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/limits.h"
#include "hub/audit_log.h"
#include "hub/tests/fake_site.h"
#include "hub/tests/ingest_fixture.h"
#include "oci/media_types.h"
#include "outbox/receipt.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(IngestTest, ShipmentIsInTheLakeAndInTheReceipt) {
  const TestSegment segment = site_.Seal({.rows = 20, .primary_of_two = 1});
  const IngestOutcome outcome = Take(site_.Ship({segment}));
  EXPECT_EQ(outcome.new_rows, 20U);
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(Received(), "[[1,20]]");
  EXPECT_EQ(ReceiptNow().counter, 1U);
  EXPECT_EQ(RowsInLake(), std::pair(std::int64_t{20}, std::int64_t{20}));
  EXPECT_EQ(Stream().primary_rows, 10U);
  const fs::path file = directory_.path() / "lake" /
                        fmt::format(
                            "class=sample/model_name=milling/ingest_date=2026-09-21/"
                            "north-{}.parquet",
                            segment.entry.digest.hex());
  EXPECT_TRUE(fs::exists(file)) << file;
}

TEST_F(IngestTest, RepeatChangesNothing) {
  const Artifact shipment = site_.Ship({site_.Seal({})});
  Take(shipment);
  const IngestOutcome again = Take(shipment);
  EXPECT_EQ(again.new_rows, 0U);
  EXPECT_EQ(again.duplicate_rows, 10U);
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(ReceiptNow().counter, 1U);
  EXPECT_EQ(RowsInLake().first, 10);
}

TEST_F(IngestTest, AnyOrderGivesTheSameHoldings) {
  std::vector<Artifact> shipments;
  for (std::uint64_t i = 0; i < 4; ++i)
    shipments.push_back(site_.Ship({site_.Seal({.first_seq = 1 + 10 * i})}));
  for (const std::size_t i : {2U, 0U, 3U, 1U}) Take(shipments[i]);
  EXPECT_EQ(Received(), "[[1,40]]");
  EXPECT_EQ(RowsInLake(), std::pair(std::int64_t{40}, std::int64_t{40}));
}

TEST_F(IngestTest, RegroupedRowsAreTakenOnce) {
  Take(site_.Ship({site_.Seal({.first_seq = 1, .rows = 10})}));
  Take(site_.Ship({site_.Seal({.first_seq = 21, .rows = 10})}));
  const IngestOutcome outcome = Take(site_.Ship({site_.Seal({.first_seq = 6, .rows = 30})}));
  EXPECT_EQ(outcome.duplicate_rows, 15U);
  EXPECT_EQ(outcome.new_rows, 15U);
  EXPECT_EQ(outcome.conflicting_rows, 0U);
  EXPECT_EQ(Received(), "[[1,35]]");
  EXPECT_EQ(RowsInLake(), std::pair(std::int64_t{35}, std::int64_t{35}));
  EXPECT_EQ(Stream().primary_rows, 35U);
}

TEST_F(IngestTest, OverlappingSegmentsOfOneShipmentAreTakenOnce) {
  const IngestOutcome outcome = Take(site_.Ship(
      {site_.Seal({.first_seq = 1, .rows = 10}), site_.Seal({.first_seq = 6, .rows = 10})}));
  EXPECT_EQ(outcome.new_rows, 15U);
  EXPECT_EQ(RowsInLake().first, 15);
}

TEST_F(IngestTest, OtherContentUnderAKnownIdentityIsQuarantinedWithAnAlarm) {
  Take(site_.Ship({site_.Seal({})}));
  const TestSegment other = site_.Seal({.first_seq = 8, .rows = 6, .value_shift = 1000});
  const IngestOutcome outcome = Take(site_.Ship({other}));
  EXPECT_EQ(outcome.conflicting_rows, 3U);
  EXPECT_EQ(outcome.new_rows, 3U);
  EXPECT_EQ(outcome.duplicate_rows, 0U);
  EXPECT_EQ(Received(), "[[1,13]]");
  EXPECT_EQ(RowsInLake(), std::pair(std::int64_t{13}, std::int64_t{13}));
  ASSERT_EQ(SetAsides().size(), 1U);
  EXPECT_EQ(SetAsides()[0].kind, "conflict");
  EXPECT_THAT(SetAsides()[0].reason, HasSubstr("3 records"));
  EXPECT_TRUE(fs::exists(quarantine_ / fmt::format("north-{}.parquet", other.entry.digest.hex())));
  // The copies that are in quarantine are no rows of their own in the sum.
  EXPECT_EQ(Stream().quarantined_primary_rows, 0U);
}

TEST_F(IngestTest, OtherColumnsUnderAKnownIdentityAreOtherContent) {
  Take(site_.Ship({site_.Seal({})}));
  Table table = FakeSite::Records({}, site_.instance());
  table.columns.pop_back();
  const IngestOutcome outcome = Take(site_.Ship({site_.SealTable(table, {})}));
  EXPECT_EQ(outcome.conflicting_rows, 10U);
  EXPECT_EQ(RowsInLake().first, 10);
}

TEST_F(IngestTest, SegmentThatIsNotWhatItsStatementSaysIsSetAsideAndTheRestGoesOn) {
  TestSegment poison = site_.Seal({.first_seq = 1, .rows = 10});
  poison.entry.first_seq = 101;
  poison.entry.last_seq = 110;
  const IngestOutcome outcome =
      Take(site_.Ship({poison, site_.Seal({.first_seq = 111, .rows = 10})}));
  EXPECT_EQ(outcome.quarantined_rows, 10U);
  EXPECT_EQ(outcome.new_rows, 10U);
  EXPECT_EQ(Received(), "[[101,120]]");  // both are stored durably
  EXPECT_EQ(Stream().quarantined_primary_rows, 10U);
  EXPECT_EQ(Stream().primary_rows, 10U);
  ASSERT_EQ(SetAsides().size(), 1U);
  EXPECT_THAT(SetAsides()[0].reason, HasSubstr("its seq runs from 1 to 10"));
}

TEST_F(IngestTest, FalseRowCountsAreSetAside) {
  TestSegment rows = site_.Seal({.first_seq = 1, .rows = 10});
  rows.entry.last_seq = rows.entry.rows = 11;
  Take(site_.Ship({rows}));
  TestSegment primary = site_.Seal({.first_seq = 21, .rows = 10});
  primary.entry.primary_rows = 9;
  Take(site_.Ship({primary}));
  ASSERT_EQ(SetAsides().size(), 2U);
  EXPECT_THAT(SetAsides()[1].reason, HasSubstr("it has 10 rows, its statement says 11"));
  EXPECT_THAT(SetAsides()[0].reason, HasSubstr("10 primary rows, its statement says 9"));
  EXPECT_EQ(RowsInLake().first, 0);
}

TEST_F(IngestTest, SignedGarbageIsSetAside) {
  TestSegment garbage = site_.Seal({});
  std::ofstream(garbage.file, std::ios::binary) << "this is no Parquet file at all";
  garbage.entry.digest = Must(DigestOfFile(garbage.file));
  const IngestOutcome outcome = Take(site_.Ship({garbage}));
  EXPECT_EQ(outcome.quarantined_rows, 10U);
  EXPECT_EQ(Received(), "[[1,10]]");
}

TEST_F(IngestTest, FlippedBitInAStoredSegmentIsFoundAndTheBlobMayComeAgain) {
  const TestSegment segment = site_.Seal({});
  const Artifact artifact = site_.Ship({segment});
  const ArrivedShipment shipment = Upload(artifact);
  const fs::path blob = blobs_.PathOf(segment.entry.digest);
  std::string bytes = Must(ReadFile(blob, limits::kBlobBytes));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  Must(RemoveFile(blob));
  Must(WriteFileDurably(blob, bytes));
  const auto refused = ingest_->Take(shipment);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kDataLoss);
  EXPECT_FALSE(blobs_.Has(segment.entry.digest));
  EXPECT_EQ(Received(), "none");
  EXPECT_EQ(Take(artifact).new_rows, 10U);
}

TEST_F(IngestTest, EveryFlippedByteOfAStatementIsRefusedOrHarmless) {
  const TestSegment segment = site_.Seal({});
  const std::string envelope = site_.Sign(site_.Statement({segment}));
  std::size_t refused = 0;
  for (std::size_t i = 0; i < envelope.size(); i += 7) {
    std::string damaged = envelope;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    const auto taken = ingest_->Take(Upload(FakeSite::ShipEnvelope(damaged, {segment})));
    refused += taken ? 0 : 1;
    EXPECT_LE(RowsInLake().first, 10);
  }
  EXPECT_GT(refused, envelope.size() / 7 / 2);
  EXPECT_FALSE(SetAsides().empty());
}

TEST_F(IngestTest, AnotherSitesStatementIsRefused) {
  FakeSite south("south", directory_.path() / "south");
  AddKey("south", south.key());
  const auto refused = ingest_->Take(Upload(south.Ship({south.Seal({})})));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kPermissionDenied);
  // Also when it is signed by this site's key.
  ShipmentStatement statement = site_.Statement({});
  statement.site = "south";
  const auto foreign = ingest_->Take(Upload(FakeSite::ShipEnvelope(site_.Sign(statement), {})));
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(SetAsides().size(), 2U);
}

TEST_F(IngestTest, ArtifactOfAnotherKindIsRefused) {
  const Artifact other =
      Must(MakeDocumentArtifact(media_types::kPolicyArtifact, media_types::kPolicyLayer, "a: b"));
  const auto refused = ingest_->Take(Upload(other));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(IngestTest, LaterOfferMayLeaveSegmentsOut) {
  const TestSegment first = site_.Seal({.first_seq = 1});
  const TestSegment second = site_.Seal({.first_seq = 11});
  const std::string envelope = site_.Sign(site_.Statement({first, second}));
  EXPECT_EQ(Take(FakeSite::ShipEnvelope(envelope, {second})).new_rows, 10U);
  EXPECT_EQ(Received(), "[[11,20]]");
  EXPECT_EQ(Take(FakeSite::ShipEnvelope(envelope, {first})).new_rows, 10U);
  EXPECT_EQ(Received(), "[[1,20]]");
}

TEST_F(IngestTest, GapsAreAcceptedOnce) {
  const GapEntry gap{.cls = RecordClass::kInsight,
                     .epoch = site_.epoch(),
                     .first_seq = 1,
                     .last_seq = 50,
                     .rows = 50,
                     .primary_rows = 20,
                     .reason = std::string(kGapQuota)};
  const Artifact shipment = site_.Ship({}, {gap});
  EXPECT_EQ(Take(shipment).new_gaps, 1U);
  EXPECT_EQ(Take(shipment).new_gaps, 0U);
  const Receipt receipt = ReceiptNow();
  ASSERT_EQ(receipt.streams.size(), 1U);
  EXPECT_EQ(receipt.streams[0].accepted_gaps.ToJson().dump(), "[[1,50]]");
  EXPECT_EQ(receipt.counter, 1U);
}

TEST_F(IngestTest, SegmentThatKilledTheHubTwiceIsSetAside) {
  const TestSegment segment = site_.Seal({});
  const Artifact shipment = site_.Ship({segment});
  // What a process leaves behind that dies while it reads.
  for (std::uint64_t i = 0; i < limits::kReadAttempts; ++i)
    Must(store_->Write([&](Database& db) -> Status {
      return Ledger(db).BeginReading(segment.entry.digest) ? Status() : Status();
    }));
  // Whoever reads it dies.
  const fs::path deadly = directory_.path() / "deadly";
  std::ofstream(deadly) << "#!/bin/sh\ntouch \"${2%/*}/begun\"\nkill -SEGV $$\n";
  fs::permissions(deadly, fs::perms::owner_all);
  MakeIngest(deadly);
  const IngestOutcome outcome = Take(shipment);
  EXPECT_EQ(outcome.quarantined_rows, 10U);
  EXPECT_THAT(SetAsides().at(0).reason, HasSubstr("died 2 times"));
  EXPECT_THAT(SetAsides().at(0).reason, HasSubstr("signal 11"));
}

TEST_F(IngestTest, SegmentDuringWhichTheHubWasKilledTwiceIsTriedAloneAndTaken) {
  const TestSegment segment = site_.Seal({});
  for (std::uint64_t i = 0; i < limits::kReadAttempts; ++i)
    Must(store_->Write([&](Database& db) -> Status {
      return Ledger(db).BeginReading(segment.entry.digest) ? Status() : Status();
    }));
  const IngestOutcome outcome = Take(site_.Ship({segment}));
  EXPECT_EQ(outcome.new_rows, 10U);
  EXPECT_EQ(outcome.quarantined_rows, 0U);
  EXPECT_TRUE(SetAsides().empty());
  EXPECT_TRUE(fs::is_empty(directory_.path() / "quarantine")) << "nothing is left of the trial";
}

TEST_F(IngestTest, SegmentOfTwoModelsIsSplitByName) {
  Table table = FakeSite::Records({}, site_.instance());
  for (std::size_t row = 0; row < 4; ++row) table.columns[4].texts[row] = "grinding:3";
  EXPECT_EQ(Take(site_.Ship({site_.SealTable(table, {})})).new_rows, 10U);
  const auto files = Must(store_->Read([&](Database& db) {
    return Ledger(db).FilesOfClass(RecordClass::kSample, "north", "grinding", 0);
  }));
  ASSERT_EQ(files.size(), 1U);
  LakeReader reader(directory_.path() / "lake");
  EXPECT_EQ(Must(reader.Query("SELECT count(*) FROM {files}", files)).columns[0].ints[0], 4);
  EXPECT_EQ(RowsInLake(), std::pair(std::int64_t{10}, std::int64_t{10}));
}

TEST_F(IngestTest, FilesOfAnInterruptedIngestAreSwept) {
  Take(site_.Ship({site_.Seal({})}));
  const fs::path orphan = directory_.path() / "lake/class=sample/orphan.parquet";
  std::ofstream(orphan) << "left behind";
  const auto known = Must(store_->Read([](Database& db) { return Ledger(db).AllFiles(); }));
  EXPECT_EQ(Must(lake_->Sweep({known.begin(), known.end()})), 1U);
  EXPECT_FALSE(fs::exists(orphan));
  EXPECT_EQ(RowsInLake().first, 10);
}

TEST_F(IngestTest, TwoStatementsWithOneNumberRaiseAnAlarm) {
  ShipmentStatement statement = site_.Statement({site_.Seal({})});
  Take(FakeSite::ShipEnvelope(site_.Sign(statement), {}));
  statement.sealed_at_us += 1;
  Take(FakeSite::ShipEnvelope(site_.Sign(statement), {}));
  ASSERT_EQ(SetAsides().size(), 1U);
  EXPECT_EQ(SetAsides()[0].kind, "fork");
}

TEST_F(IngestTest, OlderStatusChangesNothing) {
  const SiteStatus first = site_.MakeStatus({.scored = 5});
  const SiteStatus second = site_.MakeStatus({.scored = 9});
  EXPECT_TRUE(Must(ingest_->TakeStatus("north", site_.SignStatusOf(second), Road::kLink)));
  EXPECT_FALSE(Must(ingest_->TakeStatus("north", site_.SignStatusOf(first), Road::kMedia)));
  const SiteRecord record =
      Must(store_->Read([](Database& db) { return SiteDirectory(db).Find("north"); }));
  EXPECT_EQ(record.status_counter, 2U);
  EXPECT_EQ(Must(SiteStatus::FromJson(record.status_json)).counters.scored, 9U);
  EXPECT_GT(record.last_media_us, 0);
}

TEST_F(IngestTest, StatusOfAnotherKeyOrSiteIsRefused) {
  FakeSite south("south", directory_.path() / "south");
  EXPECT_EQ(ingest_->TakeStatus("north", south.SignStatusOf(south.MakeStatus({})), Road::kLink)
                .error()
                .code(),
            ErrorCode::kPermissionDenied);
  SiteStatus foreign = site_.MakeStatus({});
  foreign.site = "south";
  EXPECT_EQ(ingest_->TakeStatus("north", site_.SignStatusOf(foreign), Road::kLink).error().code(),
            ErrorCode::kPermissionDenied);
}

class RestoredHubTest : public IngestTest {
 protected:
  // A receipt of this hub, of a time that it does not remember.
  std::string Signed(std::uint64_t counter, const SegmentEntry& held) {
    Receipt receipt = ReceiptNow();
    receipt.counter = counter;
    receipt.streams = {{held.epoch, held.cls, {}, {}}};
    receipt.streams[0].received.Add(held.first_seq, held.last_seq);
    return Must(SignReceipt(receipt, hub_key_));
  }
};

TEST_F(RestoredHubTest, AReceiptOfALaterTimeBeginsAnotherIncarnationOnce) {
  const TestSegment segment = site_.Seal({.rows = 10});
  Take(site_.Ship({segment}));
  const Receipt before = ReceiptNow();
  EXPECT_FALSE(Must(ingest_->TakeReceipt("north", Must(ingest_->MakeReceipt("north")).envelope)));
  const std::string later = Signed(before.counter + 1, segment.entry);
  EXPECT_TRUE(Must(ingest_->TakeReceipt("north", later)));
  const Receipt after = ReceiptNow();
  EXPECT_NE(after.hub_incarnation, before.hub_incarnation);
  EXPECT_EQ(after.hub_restores, 1U);
  EXPECT_EQ(after.streams, before.streams);
  EXPECT_FALSE(Must(ingest_->TakeReceipt("north", later)));
  EXPECT_EQ(ReceiptNow().hub_incarnation, after.hub_incarnation);
}

TEST_F(RestoredHubTest, AHubThatHasCountedAsFarIsFoundOutByWhatItHolds) {
  Take(site_.Ship({site_.Seal({.rows = 10})}));
  const TestSegment lost = site_.Seal({.first_seq = 11, .rows = 5});
  EXPECT_TRUE(Must(ingest_->TakeReceipt("north", Signed(1, lost.entry))));
}

TEST_F(RestoredHubTest, OnlyItsOwnReceiptsOfThatSiteCount) {
  const TestSegment segment = site_.Seal({.rows = 10});
  Take(site_.Ship({segment}));
  Receipt receipt = ReceiptNow();
  receipt.counter = 99;
  const std::string stranger = Must(SignReceipt(receipt, Must(PrivateKey::Generate())));
  EXPECT_EQ(ingest_->TakeReceipt("north", stranger).error().code(), ErrorCode::kPermissionDenied);
  receipt.site = "south";
  const std::string foreign = Must(SignReceipt(receipt, hub_key_));
  EXPECT_EQ(ingest_->TakeReceipt("north", foreign).error().code(), ErrorCode::kPermissionDenied);
  EXPECT_FALSE(ingest_->TakeReceipt("north", "{}"));
  EXPECT_EQ(ReceiptNow().hub_restores, 0U);
}

TEST_F(RestoredHubTest, WhatTheSiteCallsLostIsNamedUntilItArrivesAfterAll) {
  const TestSegment segment = site_.Seal({.rows = 10, .primary_of_two = 1});
  const SegmentEntry& entry = segment.entry;
  const GapEntry gap{entry.cls,  entry.epoch,        entry.first_seq,      entry.last_seq,
                     entry.rows, entry.primary_rows, std::string(kGapLost)};
  Take(site_.Ship({}, {gap}));
  EXPECT_EQ(Stream().lost_primary_rows, 5U);
  EXPECT_EQ(Stream().quarantined_primary_rows, 0U);
  EXPECT_EQ(Stream().lost.count(), 10U);
  ASSERT_EQ(SetAsides().size(), 1U);
  EXPECT_EQ(SetAsides()[0].kind, "lost");
  EXPECT_EQ(SetAsides()[0].rows, 10U);
  Take(site_.Ship({segment}));
  EXPECT_EQ(Stream().lost_primary_rows, 0U);
  EXPECT_TRUE(Stream().lost.empty());
  EXPECT_EQ(Stream().primary_rows, 5U);
}

}  // namespace
}  // namespace skerry
