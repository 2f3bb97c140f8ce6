#include "hub/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/audit_log.h"
#include "hub/incarnation.h"
#include "hub/label_store.h"
#include "hub/ledger.h"
#include "hub/run_store.h"
#include "hub/tests/fake_site.h"
#include "storage/file.h"

namespace skerry {
namespace {

class StoreTest : public testing::Test {
 protected:
  template <typename Work>
  void Write(Work work) {
    const Status written = store_->Write(work);
    ASSERT_TRUE(written) << written.error().message();
  }
  SegmentRecord Segment(std::uint64_t first, std::uint64_t last) const {
    return {.stream = stream_,
            .first_seq = first,
            .last_seq = last,
            .digest = Digest::Sha256(std::to_string(first)),
            .rows = last - first + 1,
            .primary_rows = 1,
            .files = {{.path = std::to_string(first), .model_name = "milling", .rows = 1}},
            .counts = {{0, last - first + 1}}};
  }
  StreamHoldings OnlyStream() {
    const auto streams =
        Must(store_->Read([&](Database& db) { return Ledger(db).Streams("north"); }));
    EXPECT_EQ(streams.size(), 1U);
    return streams.at(0);
  }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub-store"));
  std::unique_ptr<HubStore> store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  StreamKey stream_{InstanceId::Random(), RecordClass::kSample};
};

TEST_F(StoreTest, KeepsItsIncarnation) {
  const HubIncarnation before = Must(store_->Read(&ReadIncarnation));
  EXPECT_EQ(before.id.size(), 32U);
  EXPECT_EQ(before.restores, 0U);
  store_.reset();
  store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  EXPECT_EQ(Must(store_->Read(&ReadIncarnation)).id, before.id);
}

TEST_F(StoreTest, AnotherIncarnationIsLaterThanTheOneBeforeAndThanAllThatWereSeen) {
  const HubIncarnation first = Must(store_->Read(&ReadIncarnation));
  Must(store_->Write([](Database& db) { return BeginIncarnation(db, 0); }));
  const HubIncarnation second = Must(store_->Read(&ReadIncarnation));
  EXPECT_NE(second.id, first.id);
  EXPECT_EQ(second.restores, 1U);
  Must(store_->Write([](Database& db) { return BeginIncarnation(db, 7); }));
  store_.reset();
  store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  EXPECT_EQ(Must(store_->Read(&ReadIncarnation)).restores, 8U);
}

TEST_F(StoreTest, FailedWorkLeavesNothingBehind) {
  const Status failed = store_->Write([&](Database& db) -> Status {
    Must(Ledger(db).AddSegment("north", Segment(1, 5), 1));
    return Fail(ErrorCode::kInternal, "as the test wants it");
  });
  EXPECT_FALSE(failed);
  EXPECT_TRUE(Must(store_->Read([](Database& db) { return Ledger(db).AllFiles(); })).empty());
}

TEST_F(StoreTest, IntervalsMergeInAnyOrder) {
  for (const auto& [first, last] : {std::pair{11, 20}, {31, 40}, {1, 5}, {21, 30}, {6, 10}})
    Write([&, first = first, last = last](Database& db) {
      return Ledger(db).AddSegment(
          "north", Segment(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)), 1);
    });
  const IntervalSet held =
      Must(store_->Read([&](Database& db) { return Ledger(db).Held("north", stream_); }));
  EXPECT_EQ(held.ToJson().dump(), "[[1,40]]");
}

TEST_F(StoreTest, DamageGapIsQuarantinedUntilTheRowsAreHere) {
  FakeSite site("north", directory_.path() / "site");
  ShipmentStatement statement = site.Statement({});
  GapEntry gap{.cls = RecordClass::kSample,
               .epoch = stream_.epoch,
               .first_seq = 1,
               .last_seq = 5,
               .rows = 5,
               .primary_rows = 4,
               .reason = std::string(kGapDamage)};
  statement.gaps = {gap};
  Write([&](Database& db) -> Status {
    Ledger ledger(db);
    const Digest digest = Digest::Sha256("statement");
    EXPECT_TRUE(Must(ledger.AddStatement(statement, digest, "envelope", digest, 1)));
    EXPECT_FALSE(Must(ledger.AddStatement(statement, digest, "envelope", digest, 1)));
    EXPECT_TRUE(Must(ledger.AddGap("north", gap)));
    EXPECT_FALSE(Must(ledger.AddGap("north", gap)));
    return {};
  });
  EXPECT_EQ(OnlyStream().quarantined_primary_rows, 4U);
  EXPECT_EQ(OnlyStream().gaps.ToJson().dump(), "[[1,5]]");
  EXPECT_EQ(OnlyStream().sealed_through, 5U);
  Write([&](Database& db) { return Ledger(db).AddSegment("north", Segment(1, 5), 1); });
  EXPECT_EQ(OnlyStream().quarantined_primary_rows, 0U);
}

TEST_F(StoreTest, ReadingMarkersCountDeaths) {
  const Digest digest = Digest::Sha256("segment");
  const auto begin = [&] {
    std::uint64_t deaths = 0;
    Write([&](Database& db) -> Status {
      deaths = Must(Ledger(db).BeginReading(digest));
      return {};
    });
    return deaths;
  };
  EXPECT_EQ(begin(), 0U);
  EXPECT_EQ(begin(), 1U);
  Write([&](Database& db) { return Ledger(db).EndReading(digest); });
  EXPECT_EQ(begin(), 0U);
}

TEST_F(StoreTest, CountsAreSummedByStep) {
  Write([&](Database& db) { return Ledger(db).AddSegment("north", Segment(1, 5), 1); });
  Write([&](Database& db) -> Status {
    SegmentRecord later = Segment(6, 9);
    later.counts = {{Ledger::kCountBucketUs, 3}, {7 * Ledger::kCountBucketUs, 1}};
    return Ledger(db).AddSegment("north", later, 1);
  });
  const auto points = Must(store_->Read(
      [](Database& db) { return Ledger(db).Counts("", 6 * Ledger::kCountBucketUs, 0); }));
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[0].rows, 8U);
  EXPECT_EQ(points[1].bucket_us, 6 * Ledger::kCountBucketUs);
  EXPECT_EQ(points[1].rows, 1U);
}

TEST_F(StoreTest, AuditLogFindsAChangedEntry) {
  for (int i = 0; i < 3; ++i)
    Write([&](Database& db) {
      return AuditLog(db).Append(i, "admin", "token.create", "north", {{"i", i}});
    });
  Write([](Database& db) -> Status {
    EXPECT_TRUE(AuditLog(db).Verify());
    EXPECT_FALSE(db.Execute("UPDATE audit SET actor = 'nobody' WHERE n = 2"));
    EXPECT_FALSE(db.Execute("DELETE FROM audit WHERE n = 3"));
    return {};
  });
  Write([](Database& db) -> Status {
    Must(db.Execute("DROP TRIGGER audit_is_append_only_1"));
    return db.Execute("UPDATE audit SET actor = 'nobody' WHERE n = 2");
  });
  const Status broken = store_->Read([](Database& db) { return AuditLog(db).Verify(); });
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(broken.error().message(), testing::HasSubstr("entry 2"));
}

TEST_F(StoreTest, LabelOfARowIsReplacedInItsSet) {
  const RowId row{InstanceId::Random(), 7};
  for (const char* label : {"0", "1"})
    Write([&](Database& db) { return LabelStore(db).Put("default", {{row, label}}, 1); });
  Write([&](Database& db) { return LabelStore(db).Put("second", {{row, "0"}}, 1); });
  const auto labels =
      Must(store_->Read([](Database& db) { return LabelStore(db).List("default", 10); }));
  ASSERT_EQ(labels.size(), 1U);
  EXPECT_EQ(labels[0].label, "1");
  EXPECT_EQ(labels[0].row, row);
  EXPECT_EQ(Must(store_->Read([](Database& db) { return LabelStore(db).Sets(); })).size(), 2U);
}

TEST_F(StoreTest, RunIsStartedOnceAndTheOldestComesFirst) {
  Write([](Database& db) -> Status {
    RunStore runs(db);
    Must(runs.Add("a", "retrain", Json::object(), 1));
    Must(runs.Add("b", "retrain", Json::object(), 1));
    Must(runs.Add("c", "train", Json::object(), 1));
    EXPECT_TRUE(Must(runs.Start("a", 2)));
    EXPECT_FALSE(Must(runs.Start("a", 3)));
    EXPECT_EQ(Must(runs.First("running"))->id, "a");
    EXPECT_EQ(Must(runs.First("queued"))->id, "b");
    Must(runs.Finish("b", "cancelled", "", Json(), "", 4));
    EXPECT_FALSE(Must(runs.Start("b", 5)));
    EXPECT_TRUE(Must(runs.Find("b")).done());
    EXPECT_EQ(Must(runs.First("queued"))->id, "c");
    EXPECT_EQ(runs.Find("d").error().code(), ErrorCode::kNotFound);
    return {};
  });
}

}  // namespace
}  // namespace skerry
