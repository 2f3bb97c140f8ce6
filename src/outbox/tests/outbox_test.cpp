// Rows in, segments out: dispositions, seq, sealing, restart, policy at the files.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "outbox/tests/outbox_fixture.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

Table ReadSegment(const std::filesystem::path& path) {
  auto engine = TabularEngine::Open({});
  EXPECT_TRUE(engine) << engine.error().ToString();
  auto table = (*engine)->ReadFile(path, {});
  EXPECT_TRUE(table) << table.error().ToString();
  return *table;
}

TEST_F(OutboxTest, EveryRowHasADispositionAndTheCountersAddUp) {
  const auto policy = Policy(testing_rows::MillingYaml());
  std::map<std::uint64_t, RowDisposition> expected;
  for (int i = 0; i < 20; ++i) {
    const auto batch = Rows(50);
    const ReleaseResult result = policy->Release(*batch);
    for (std::size_t row = 0; row < batch->rows; ++row)
      expected[batch->first_n + row] = result.disposition[row];
    ASSERT_TRUE(Put(batch, policy));
  }
  std::set<std::pair<RecordClass, std::uint64_t>> records;
  for (const auto& [n, disposition] : expected) {
    const RowFate fate = Fate(n);
    EXPECT_EQ(fate.disposition, disposition) << n;
    EXPECT_EQ(fate.cls, ClassOf(disposition));
    if (fate.cls) {
      EXPECT_EQ(fate.epoch, outbox_->epoch());
      EXPECT_EQ(fate.place, RowPlace::kUnsealed);
      EXPECT_TRUE(records.emplace(*fate.cls, fate.seq).second) << n;
    } else {
      EXPECT_EQ(fate.place, RowPlace::kNothingLeaves);
    }
  }
  EXPECT_FALSE(*outbox_->LookupRow({instance_, 1001}));
  EXPECT_FALSE(*outbox_->LookupRow({InstanceId::Random(), 1}));
  const OutboxFacts facts = Facts();
  EXPECT_EQ(facts.counters.scored, 1000U);
  EXPECT_EQ(facts.counters.not_selected + facts.unsealed_primary_rows, 1000U);
  ExpectSound();
}

TEST_F(OutboxTest, ALookedUpRecordIsThatRowsRecord) {
  const auto policy = Policy(testing_rows::MillingYaml());
  ASSERT_TRUE(Put(Rows(400), policy));
  ASSERT_TRUE(outbox_->SealNow());
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> n_of;  // (class, seq) -> n
  std::uint64_t primary = 0;
  for (const Shipment& shipment : Pending())
    for (std::size_t i = 0; i < shipment.segments.size(); ++i) {
      const SegmentEntry& entry = shipment.statement.segments[i];
      const Table table = ReadSegment(shipment.segments[i].second);
      EXPECT_EQ(table.rows(), entry.rows);
      EXPECT_EQ(table.columns[0].name, "seq");
      EXPECT_EQ(table.columns[0].ints.front(), static_cast<std::int64_t>(entry.first_seq));
      const Column* flags = table.Find("primary");
      if (flags == nullptr) continue;
      for (std::size_t row = 0; row < table.rows(); ++row) {
        n_of[{std::string(RecordClassName(entry.cls)), table.columns[0].ints[row]}] =
            table.Find("n")->ints[row];
        primary += static_cast<std::uint64_t>(flags->ints[row]);
        EXPECT_EQ(table.Find("instance")->texts[row], instance_.ToString());
      }
    }
  std::uint64_t released = 0;
  for (std::uint64_t n = 1; n <= 400; ++n) {
    const RowFate fate = Fate(n);
    if (!fate.cls) continue;
    ++released;
    EXPECT_EQ(fate.place, RowPlace::kSealed);
    EXPECT_EQ(
        (n_of[{std::string(RecordClassName(*fate.cls)), static_cast<std::int64_t>(fate.seq)}]),
        static_cast<std::int64_t>(n));
  }
  EXPECT_EQ(primary, released);
  ExpectSound();
}

TEST_F(OutboxTest, SealsByRowsByAgeAndWhenAsked) {
  options_.segment_rows = 100;
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  const auto policy = SampleAll();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Put(Rows(50), policy));
  std::vector<Shipment> shipments = Pending();
  std::uint64_t sealed = 0;
  for (const Shipment& shipment : shipments)
    for (const SegmentEntry& entry : shipment.statement.segments) sealed += entry.rows;
  EXPECT_EQ(sealed, 200U);
  EXPECT_EQ(Facts().unsealed_primary_rows, 50U);

  clock_.Advance(std::chrono::microseconds(std::chrono::hours(2)).count());
  EXPECT_GT(Pending().size(), shipments.size());
  EXPECT_EQ(Facts().unsealed_primary_rows, 0U);

  ASSERT_TRUE(Put(Rows(1), policy));
  ASSERT_TRUE(outbox_->SealNow());
  EXPECT_EQ(Facts().unsealed_primary_rows, 0U);
  ExpectSound();
}

TEST_F(OutboxTest, RowsOfAnEarlierProcessAreSealedUnderTheirOwnEpoch) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  const InstanceId first = outbox_->epoch();
  ASSERT_TRUE(Put(Rows(30), SampleAll()));
  Reopen();
  EXPECT_NE(outbox_->epoch(), first);
  ASSERT_TRUE(Put(Rows(10), SampleAll()));
  const std::vector<Shipment> shipments = Pending();
  ASSERT_EQ(shipments.size(), 1U);
  ASSERT_EQ(shipments[0].statement.segments.size(), 1U);
  EXPECT_EQ(shipments[0].statement.segments[0].epoch, first);
  EXPECT_EQ(shipments[0].statement.segments[0].rows, 30U);
  EXPECT_EQ(Fate(35).seq, 5U);
  EXPECT_EQ(Fate(35).epoch, outbox_->epoch());
  ExpectSound();
}

TEST_F(OutboxTest, FilesOfAnInterruptedSealAreRemovedAtTheNextStart) {
  ASSERT_TRUE(Put(Rows(30), SampleAll()));
  ASSERT_TRUE(outbox_->SealNow());
  const auto segments = directory_.path() / "segments";
  std::ofstream(segments / "sample-0123456789ab-1-5.parquet") << "PAR1";
  std::ofstream(segments / ".sample-0123456789ab-1-5.parquet.tmp") << "PA";
  Reopen();
  EXPECT_EQ(SegmentFiles(), 1U);
  ExpectSound();
}

TEST_F(OutboxTest, APolicyChangeStartsANewSegmentAndStatement) {
  ASSERT_TRUE(Put(Rows(10), SampleAll()));
  const auto other = Policy(
      "skerry: policy/1\nname: other\nversion: 2\nfields: {type: keep}\n"
      "classes: {sample: {rate: 1}}\n");
  ASSERT_TRUE(Put(Rows(10), other));
  ASSERT_TRUE(outbox_->SealNow());
  const std::vector<Shipment> shipments = Pending();
  ASSERT_EQ(shipments.size(), 2U);
  EXPECT_EQ(shipments[0].statement.policy, SampleAll()->digest());
  EXPECT_EQ(shipments[1].statement.policy, other->digest());
  EXPECT_EQ(shipments[0].statement.models, std::vector<Digest>{*package_->digest});
  EXPECT_NE(ReadSegment(shipments[1].segments[0].second).Find("in_type"), nullptr);
  EXPECT_EQ(ReadSegment(shipments[1].segments[0].second).Find("in_torque_nm"), nullptr);
}

TEST_F(OutboxTest, SummariesAndDecisionsLeaveAsClassesOfTheirOwn) {
  const auto policy = Policy(
      "skerry: policy/1\nname: p\nversion: 1\nfields: {type: keep, torque_nm: keep}\n"
      "withhold: [{when: \"type == 'L'\", rule: hold}]\n"
      "classes: {summary: {every_rows: 50, min_group: 3}, decision: {}}\n");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Put(Rows(50), policy));
  ASSERT_TRUE(outbox_->SealNow());
  std::uint64_t withheld = 0;  // as the decision records tell
  std::set<std::int64_t> windows;
  for (const Shipment& shipment : Pending())
    for (std::size_t i = 0; i < shipment.segments.size(); ++i) {
      const SegmentEntry& entry = shipment.statement.segments[i];
      EXPECT_EQ(entry.primary_rows, 0U);
      const Table table = ReadSegment(shipment.segments[i].second);
      if (entry.cls == RecordClass::kSummary) {
        windows.insert(table.Find("window")->ints.begin(), table.Find("window")->ints.end());
        continue;
      }
      EXPECT_EQ(entry.cls, RecordClass::kDecision);
      for (std::size_t row = 0; row < table.rows(); ++row) {
        EXPECT_EQ(table.Find("rule")->texts[row], "hold");
        withheld += static_cast<std::uint64_t>(table.Find("rows")->ints[row]);
      }
    }
  EXPECT_EQ(withheld, Facts().counters.withheld);
  EXPECT_GT(withheld, 0U);
  EXPECT_GE(windows.size(), 2U);
  ExpectSound();
}

TEST_F(OutboxTest, WithoutAPolicyRowsAreCountedAndNothingIsStored) {
  ASSERT_TRUE(Put(Rows(40), DenyAll()));
  ASSERT_TRUE(outbox_->SealNow());
  EXPECT_TRUE(Pending().empty());
  EXPECT_EQ(Facts().counters.withheld, 40U);
  EXPECT_EQ(Facts().withheld_by_rule,
            (std::vector<std::pair<std::string, std::uint64_t>>{{"default-deny", 40}}));
  EXPECT_EQ(Fate(7).disposition, RowDisposition::kWithheld);
  ExpectSound();
}

std::string AllBytes(const std::filesystem::path& directory) {
  std::ostringstream bytes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
  return bytes.str();
}

TEST_F(OutboxTest, AValueInADroppedFieldIsInNoFileOfTheOutbox) {
  const auto policy = Policy(
      "skerry: policy/1\nname: p\nversion: 1\nfields: {type: keep, unit_id: hash}\n"
      "withhold: [{when: \"unit_id == 'CANARYWITHHELD'\", rule: hold}]\n"
      "derived: {score: keep, reasons: keep}\n"
      "classes: {sample: {rate: 1}, anomaly: {when: anomaly}, summary: {every_rows: 20, min_group: "
      "2}, decision: {}}\n");
  for (int i = 0; i < 5; ++i) {
    const auto batch = Rows(20);
    for (std::size_t row = 0; row < batch->rows; ++row) {
      batch->texts[0][row] = row == 3 ? "CANARYWITHHELD" : "CANARYHASHED";
      batch->texts[1][row] = "CANARYNOTE";
      batch->features[row * 6 + 4] = 71234.5F;  // torque_nm, out of range
      batch->out_of_range[row] = {4};
    }
    ASSERT_TRUE(Put(batch, policy));
  }
  ASSERT_TRUE(outbox_->SealNow());
  ASSERT_FALSE(Pending().empty());
  const double torque = 71234.5;
  const float torque_float = 71234.5F;
  const std::vector<std::string> canaries = {
      "CANARYNOTE",
      "CANARYHASHED",
      "CANARYWITHHELD'",
      "71234.5",
      std::string(reinterpret_cast<const char*>(&torque), sizeof torque),
      std::string(reinterpret_cast<const char*>(&torque_float), sizeof torque_float)};
  const auto expect_absent = [&](const std::string& bytes) {
    for (std::size_t i = 0; i < canaries.size(); ++i) {
      // The condition's own text, which the policy's author wrote, is in the decision log.
      if (i == 2) continue;
      EXPECT_EQ(bytes.find(canaries[i]), std::string::npos) << "canary " << i;
    }
  };
  expect_absent(AllBytes(directory_.path()));
  // Segments are compressed: look inside as well.
  for (const Shipment& shipment : Pending())
    for (const auto& [digest, path] : shipment.segments)
      expect_absent(EncodeTable(ReadSegment(path)));
}

// The same rows with another value in each dropped field: byte-identical segment files.
TEST_F(OutboxTest, ADroppedFieldChangesNoByteOfASegmentFile) {
  options_.epoch = InstanceId::Random();
  const auto policy = Policy(testing_rows::MillingYaml());
  std::vector<std::vector<std::string>> digests;
  for (const std::string& note : {std::string("first"), std::string("second")}) {
    const auto directory = *TemporaryDirectory::Create("outbox-note");
    const auto outbox = OpenAt(directory.path());
    for (std::uint64_t i = 0; i < 10; ++i) {
      auto batch = testing_rows::MillingRows(package_, 100, 1 + 100 * i, 500 + i, instance_);
      for (std::string& text : batch->texts[1]) text.insert(0, note);
      const auto done = std::make_shared<std::promise<Status>>();
      outbox->Submit(batch, policy, [done](const Status& status) { done->set_value(status); });
      ASSERT_TRUE(done->get_future().get());
    }
    ASSERT_TRUE(outbox->SealNow());
    auto& list = digests.emplace_back();
    const auto shipments = outbox->PendingShipments();
    ASSERT_TRUE(shipments);
    for (const Shipment& shipment : *shipments)
      for (const auto& [digest, path] : shipment.segments) list.push_back(digest.ToString());
  }
  EXPECT_GE(digests[0].size(), 3U);
  EXPECT_EQ(digests[0], digests[1]);
}

// What version 1 of the format looks like. The file is read, not compared byte by byte: another
// version of the Parquet library may write the same rows otherwise. SKERRY_WRITE_GOLDEN=1 writes
// it.
TEST_F(OutboxTest, TheGoldenSegmentHoldsTheSameRows) {
  const std::filesystem::path golden = std::filesystem::path(OUTBOX_GOLDEN) / "segment.parquet";
  const InstanceId instance = *InstanceId::Parse("00112233445566778899aabbccddeeff");
  const auto batch = testing_rows::MillingRows(package_, 24, 1, 42, instance);
  ASSERT_TRUE(Put(batch, Policy(testing_rows::MillingYaml())));
  ASSERT_TRUE(outbox_->SealNow());
  for (const Shipment& shipment : Pending())
    for (std::size_t i = 0; i < shipment.segments.size(); ++i) {
      if (shipment.statement.segments[i].cls != RecordClass::kSample) continue;
      const auto& path = shipment.segments[i].second;
      if (std::getenv("SKERRY_WRITE_GOLDEN") != nullptr)
        std::filesystem::copy_file(path, golden, std::filesystem::copy_options::overwrite_existing);
      EXPECT_EQ(ReadSegment(golden), ReadSegment(path));
      return;
    }
  FAIL() << "no sample was sealed";
}

TEST_F(OutboxTest, ExportsSealedAndUnsealedRecords) {
  ASSERT_TRUE(Put(Rows(10), SampleAll()));
  ASSERT_TRUE(outbox_->SealNow());
  ASSERT_TRUE(Put(Rows(5), SampleAll()));
  for (const char* name : {"out.parquet", "out.csv"}) {
    const auto path = directory_.path() / name;
    const Status exported = outbox_->ExportTo(path, RecordClass::kSample);
    ASSERT_TRUE(exported) << exported.error().ToString();
    EXPECT_EQ(ReadSegment(path).rows(), 15U);
  }
  EXPECT_EQ(outbox_->ExportTo(directory_.path() / "x.csv", RecordClass::kAnomaly).error().code(),
            ErrorCode::kNotFound);
}

TEST_F(OutboxTest, TheLedgerForgetsTheOldestRowsAndStillAddsUp) {
  options_.ledger_rows = 100;
  Reopen();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Put(Rows(30), SampleAll()));
  EXPECT_FALSE(*outbox_->LookupRow({instance_, 1}));
  EXPECT_EQ(Fate(300).disposition, RowDisposition::kReleasedSample);
  EXPECT_LE(Facts().ledger_rows, 100U);
  EXPECT_EQ(Facts().counters.scored, 300U);
  ExpectSound();
}

TEST_F(OutboxTest, AnotherSitesDirectoryIsRefused) {
  outbox_.reset();
  OutboxOptions options = options_;
  options.directory = directory_.path();
  options.site = "south";
  options.key = key_;
  options.clock = &clock_;
  options.metrics = &metrics_;
  EXPECT_THAT(Outbox::Open(options).error().message(), HasSubstr("outbox of site north"));
}

TEST_F(OutboxTest, AfterCloseNothingIsTakenAndWhatWasTakenIsThere) {
  std::promise<Status> committed;
  outbox_->Submit(Rows(10), SampleAll(),
                  [&](const Status& status) { committed.set_value(status); });
  outbox_->Close();
  EXPECT_TRUE(committed.get_future().get());
  EXPECT_EQ(Put(Rows(10), SampleAll()).error().code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(outbox_->Flush());
  Reopen();
  EXPECT_EQ(Facts().counters.scored, 10U);
}

}  // namespace
}  // namespace skerry
