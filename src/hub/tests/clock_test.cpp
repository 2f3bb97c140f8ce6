// Corrections of wrong times: what a shipment's rows and anchors make of the files beside the lake.
#include <gmock/gmock.h>

#include <fstream>
#include <limits>
#include <map>

#include "hub/clock_corrector.h"
#include "hub/tests/ingest_fixture.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kHourUs = 3'600 * kSecondUs;
constexpr std::int64_t kDayUs = 24 * kHourUs;
// When the first row of a segment is made, after the start; no whole second, as of a time that was
// cut.
constexpr std::int64_t kFirstUs = 10 * kSecondUs + 123;
constexpr std::int64_t kYear2106Us = 4'291'747'200'000'000;

class ClockTest : public IngestTest {
 protected:
  // The hub's clock stands at its own now; the machine of the site was started an hour before.
  ClockTest() {
    SetJoined(kStartUs - 30 * kDayUs);
    OpenCorrector();
  }
  void SetJoined(std::int64_t us) {
    Must(store_->Write([&](Database& db) {
      return db.Execute(fmt::format("UPDATE sites SET created_us = {}", us));
    }));
  }
  void OpenCorrector() {
    corrector_ = Must(ClockCorrector::Open(*store_, directory_.path() / "lake", Corrections()));
  }
  fs::path Corrections() const { return directory_.path() / "corrections" / "clock"; }

  // A second a row from `mono_us` on, at a clock that is `wrong_us` off.
  struct Made {
    std::uint64_t first_seq = 1;
    std::int64_t mono_us = kFirstUs;
    std::int64_t wrong_us = 0;
    std::string clock = "unknown";
    std::int64_t unit_us = 1;  // to which policy cut the times
    std::optional<InstanceId> instance{};
  };
  static constexpr std::uint64_t kRows = 3;
  TestSegment Segment(const Made& made) {
    const RecordPlan plan{.first_seq = made.first_seq, .rows = kRows};
    Table table = FakeSite::Records(plan, made.instance.value_or(site_.instance()));
    table.columns.push_back({.name = "clock", .type = ColumnType::kText});
    table.columns.push_back({.name = "mono_us", .type = ColumnType::kInt64});
    for (std::size_t row = 0; row < kRows; ++row) {
      const std::int64_t mono_us = made.mono_us + static_cast<std::int64_t>(row) * kSecondUs;
      const std::int64_t event_us = kStartUs + mono_us + made.wrong_us;
      table.Find("event_time")->ints[row] = event_us - event_us % made.unit_us;
      table.Find("clock")->AppendText(made.clock);
      table.Find("mono_us")->AppendInt(mono_us - mono_us % made.unit_us);
    }
    return site_.SealTable(table, plan);
  }
  ClockAnchor Anchor(std::int64_t mono_us, std::int64_t wrong_us = 0) const {
    return {site_.instance(), mono_us, kStartUs + mono_us + wrong_us, ClockQuality::kSynced};
  }
  // One shipment of a segment, or of none, with anchors.
  Artifact Shipment(const std::vector<TestSegment>& segments,
                    const std::vector<ClockAnchor>& anchors = {}) {
    ShipmentStatement statement = site_.Statement(segments);
    statement.anchors = anchors;
    return FakeSite::ShipEnvelope(site_.Sign(statement), segments);
  }
  void Ship(const std::vector<TestSegment>& segments,
            const std::vector<ClockAnchor>& anchors = {}) {
    Take(Shipment(segments, anchors));
    Must(corrector_->CorrectDue());
  }

  // What the corrections beside all files say, by seq: microseconds from the row's true time on.
  struct Said {
    std::string how;
    std::optional<std::int64_t> corrected;
    std::int64_t not_before = 0;
    std::int64_t not_after = 0;
  };
  std::map<std::uint64_t, Said> Corrected(std::int64_t first_mono_us = kFirstUs) {
    std::map<std::uint64_t, Said> said;
    const auto paths =
        Must(store_->Read([](Database& db) { return ClockLedger(db).AllCorrected(); }));
    LakeReader reader(Corrections());
    const Table table = Must(reader.Query(
        "SELECT seq, how, epoch_us(corrected_time), epoch_us(not_before), epoch_us(not_after), "
        "epoch_us(event_time), instance, n FROM {files} ORDER BY seq",
        paths));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const auto seq = static_cast<std::uint64_t>(table.columns[0].ints[row]);
      const std::int64_t truth =
          kStartUs + first_mono_us + static_cast<std::int64_t>(seq - 1) * kSecondUs;
      Said& one = said[seq];
      one.how = table.columns[1].texts[row];
      if (!table.columns[2].IsNull(row)) one.corrected = table.columns[2].ints[row] - truth;
      one.not_before = table.columns[3].ints[row] - truth;
      one.not_after = table.columns[4].ints[row] - truth;
      EXPECT_LE(one.not_before, 0) << seq;
      EXPECT_GE(one.not_after, 0) << seq;
    }
    return said;
  }
  void ExpectAllCorrected(std::int64_t first_mono_us = kFirstUs) {
    const auto said = Corrected(first_mono_us);
    ASSERT_EQ(said.size(), kRows);
    for (const auto& [seq, one] : said) {
      EXPECT_EQ(one.how, "anchor") << seq;
      EXPECT_EQ(one.corrected, 0) << seq;
      EXPECT_LT(one.not_after - one.not_before, 2 * kSecondUs) << seq;
    }
  }
  void ExpectAllBounded() {
    const auto said = Corrected();
    ASSERT_EQ(said.size(), kRows);
    for (const auto& [seq, one] : said) {
      EXPECT_EQ(one.how, "bounds") << seq;
      EXPECT_FALSE(one.corrected) << seq;
    }
  }
  std::size_t CorrectionFiles() const {
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(Corrections()))
      files += entry.is_regular_file() ? 1 : 0;
    return files;
  }

  const std::int64_t kStartUs = clock_.UtcMicros() - kHourUs + 654'321;
  std::unique_ptr<ClockCorrector> corrector_;
};

TEST_F(ClockTest, RowsOf1970GetTheTimeOfAnAnchorThatComesWithThem) {
  Ship({Segment({.wrong_us = -kStartUs})}, {Anchor(kHourUs / 2)});
  ExpectAllCorrected();
}

TEST_F(ClockTest, RowsOf2106AreCorrectedThoughTheSiteTrustedThem) {
  // So is the anchor that the site took at that time.
  const std::int64_t wrong_us = kYear2106Us - kStartUs;
  Ship({Segment({.wrong_us = wrong_us, .clock = "synced"})}, {Anchor(20 * kSecondUs, wrong_us)});
  ExpectAllBounded();
  Ship({}, {Anchor(kHourUs / 2)});
  ExpectAllCorrected();
}

TEST_F(ClockTest, AStepBackCorrectsWhatWasMadeBefore) {
  const Made ahead{.wrong_us = kHourUs / 2, .clock = "synced"};
  Ship({Segment(ahead)}, {Anchor(20 * kSecondUs, kHourUs / 2)});
  EXPECT_THAT(Corrected(), IsEmpty());  // nothing speaks against it yet
  Ship({}, {Anchor(60 * kSecondUs)});
  ExpectAllCorrected();
}

TEST_F(ClockTest, RightRowsAreLeftAlone) {
  Ship({Segment({.clock = "synced"})}, {Anchor(20 * kSecondUs)});
  Ship({Segment({.first_seq = 11, .mono_us = 20 * kSecondUs, .clock = "holdover"})});
  EXPECT_THAT(Corrected(), IsEmpty());
  EXPECT_EQ(CorrectionFiles(), 0U);
  EXPECT_THAT(Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })), IsEmpty());
}

TEST_F(ClockTest, AnInstanceThatNeverSawATrustedTimeGetsBoundsAlone) {
  Ship({Segment({.wrong_us = -kStartUs})});
  ExpectAllBounded();
  const Said last = Corrected().at(kRows);
  const std::int64_t truth = kStartUs + kFirstUs + 2 * kSecondUs;
  EXPECT_NEAR(static_cast<double>(last.not_after + truth), static_cast<double>(clock_.UtcMicros()),
              kSecondUs);
  // The site joined then, and this row was made two seconds after the file's first.
  EXPECT_NEAR(static_cast<double>(last.not_before + truth),
              static_cast<double>(kStartUs - 30 * kDayUs + 2 * kSecondUs), kSecondUs);
}

TEST_F(ClockTest, WhatTheProcessBeforeKnewIsABound) {
  ShipmentStatement before = site_.Statement({});
  before.epoch = InstanceId::Random();
  before.anchors = {{before.epoch, 5 * kSecondUs, kStartUs, ClockQuality::kSynced}};
  Take(FakeSite::ShipEnvelope(site_.Sign(before), {}));
  // Another process without a trusted time in between changes nothing.
  ShipmentStatement between = site_.Statement({});
  between.epoch = InstanceId::Random();
  Take(FakeSite::ShipEnvelope(site_.Sign(between), {}));
  Ship({Segment({.wrong_us = -kStartUs, .instance = site_.epoch()})});
  ExpectAllBounded();
  EXPECT_NEAR(static_cast<double>(Corrected().at(1).not_before), -static_cast<double>(kFirstUs),
              10);
}

TEST_F(ClockTest, AnchorsOfALaterProcessOfTheSameStartTakeThePlaceOfBounds) {
  Ship({Segment({.wrong_us = -kStartUs})});
  ExpectAllBounded();
  ShipmentStatement later = site_.Statement({});
  later.epoch = InstanceId::Random();
  later.anchors = {{later.epoch, kHourUs / 2, kStartUs + kHourUs / 2, ClockQuality::kSynced},
                   Anchor(kHourUs / 2)};
  const Artifact shipment = FakeSite::ShipEnvelope(site_.Sign(later), {});
  Take(shipment);
  Must(corrector_->CorrectDue());
  ExpectAllCorrected();
  // Whatever is said again changes nothing.
  Take(shipment);
  EXPECT_THAT(Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })), IsEmpty());
}

TEST_F(ClockTest, ACorrectionThatIsBeingReadIsNotReplaced) {
  Ship({Segment({.wrong_us = -kStartUs})});
  ExpectAllBounded();
  const fs::path file =
      Corrections() /
      Must(store_->Read([](Database& db) { return ClockLedger(db).AllCorrected(); })).front();
  const fs::path next = file.parent_path() / fmt::format(".{}.tmp", file.filename().string());
  const std::string before = Must(ReadFile(file, 1U << 20U));
  Take(Shipment({}, {Anchor(kHourUs / 2)}));
  std::thread corrects;
  {
    const auto held = corrector_->HoldFiles();
    corrects = std::thread([&] { Must(corrector_->CorrectDue()); });
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!fs::exists(next) && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // as long as it takes to write it
    EXPECT_TRUE(fs::exists(next));
    EXPECT_EQ(Must(ReadFile(file, 1U << 20U)), before);
  }
  corrects.join();
  EXPECT_FALSE(fs::exists(next));
  ExpectAllCorrected();
}

TEST_F(ClockTest, AnotherSitesAnchorIsNotBelieved) {
  Ship({Segment({.wrong_us = -kStartUs})});
  FakeSite south("south", directory_.path() / "south");
  AddKey(south.name(), south.key());
  ShipmentStatement statement = south.Statement({});
  statement.anchors = {Anchor(kHourUs / 2)};
  ArrivedShipment shipment = Upload(FakeSite::ShipEnvelope(south.Sign(statement), {}));
  shipment.site = "south";
  Must(ingest_->Take(shipment));
  Must(corrector_->CorrectDue());
  ExpectAllBounded();
}

TEST_F(ClockTest, AnchorsThatAreNotTrustedOrSayNothingNewAreNotKept) {
  ClockAnchor held = Anchor(kHourUs / 2, 7 * kSecondUs);
  held.clock = ClockQuality::kHoldover;
  Ship({Segment({.wrong_us = -kStartUs})}, {held});
  ExpectAllBounded();
  std::vector<ClockAnchor> many;
  for (int i = 0; i < 100; ++i) many.push_back(Anchor(kHourUs / 2 + i * kSecondUs));
  Ship({}, many);
  ExpectAllCorrected();
  EXPECT_EQ(Must(store_->Read([](Database& db) -> Result<std::int64_t> {
              SKERRY_ASSIGN_OR_RETURN(auto count, db.Prepare("SELECT count(*) FROM clock_anchors"));
              SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const bool row, count.Step());
              return count.Int(0);
            })),
            1);
}

TEST_F(ClockTest, AHubThatDiedBeforeTheFileWritesItAtItsNextStart) {
  Take(Shipment({Segment({.wrong_us = -kStartUs})}, {Anchor(kHourUs / 2)}));
  EXPECT_EQ(CorrectionFiles(), 0U);
  corrector_.reset();
  OpenCorrector();
  Must(corrector_->CorrectDue());
  ExpectAllCorrected();
}

TEST_F(ClockTest, FilesThatAreGoneAreMadeAgainAndStrangersAreRemoved) {
  Ship({Segment({.wrong_us = -kStartUs})}, {Anchor(kHourUs / 2)});
  fs::remove_all(Corrections());
  fs::create_directories(Corrections() / "class=sample");
  std::ofstream(Corrections() / "class=sample" / ".half.parquet.tmp") << "half";
  OpenCorrector();
  EXPECT_EQ(CorrectionFiles(), 0U);
  Must(corrector_->CorrectDue());
  EXPECT_EQ(CorrectionFiles(), 1U);
  ExpectAllCorrected();
}

TEST_F(ClockTest, AFileThatCannotBeReadIsLeftAloneAndTheNextIsCorrected) {
  Take(Shipment({Segment({.wrong_us = -kStartUs})}));
  Take(Shipment({Segment({.first_seq = 11, .wrong_us = -kStartUs})}));
  const auto due = Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); }));
  ASSERT_EQ(due.size(), 2U);
  std::ofstream(directory_.path() / "lake" / due.front()) << "no Parquet";
  Must(corrector_->CorrectDue());
  EXPECT_EQ(CorrectionFiles(), 1U);
  EXPECT_THAT(Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })), IsEmpty());
}

TEST_F(ClockTest, AFileThatKilledTheHubTwiceIsLeftAlone) {
  Take(Shipment({Segment({.wrong_us = -kStartUs})}));
  const auto due = Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); }));
  for (std::uint64_t i = 0; i < limits::kReadAttempts; ++i)
    Must(store_->Write([&](Database& db) -> Status {
      SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const DueCorrection begun,
                              ClockLedger(db).Begin(due.front()));
      return {};
    }));
  Must(corrector_->CorrectDue());
  EXPECT_EQ(CorrectionFiles(), 0U);
  EXPECT_THAT(Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })), IsEmpty());
}

TEST_F(ClockTest, AnAnchorThatComesWhileAFileIsWrittenIsNotForgotten) {
  Take(Shipment({Segment({.wrong_us = -kStartUs})}));
  const auto due = Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); }));
  DueCorrection begun;
  Must(store_->Write([&](Database& db) -> Status {
    begun = Must(ClockLedger(db).Begin(due.front()));
    return {};
  }));
  Take(Shipment({}, {Anchor(kHourUs / 2)}));
  Must(store_->Write([&](Database& db) { return ClockLedger(db).Finish(begun, kRows, {}); }));
  EXPECT_THAT(Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })),
              ElementsAre(due.front()));
}

TEST_F(ClockTest, TimesThatPolicyCutStayCutAndDroppedOnesGetNothing) {
  Ship({Segment({.wrong_us = -2 * kDayUs, .unit_us = kHourUs})}, {Anchor(kHourUs / 2)});
  const auto said = Corrected();
  ASSERT_EQ(said.size(), kRows);
  for (const auto& [seq, one] : said) {
    const std::int64_t truth = kStartUs + kFirstUs + static_cast<std::int64_t>(seq - 1) * kSecondUs;
    for (const std::int64_t us : {one.corrected.value_or(0), one.not_before, one.not_after})
      EXPECT_EQ((us + truth) % kHourUs, 0);
  }
  // Without times there is nothing to join, and nothing is said.
  Ship({site_.Seal({.first_seq = 11})});
  EXPECT_EQ(Corrected().size(), kRows);
  EXPECT_EQ(CorrectionFiles(), 1U);
}

TEST_F(ClockTest, TimesThatAreNoneStopNothing) {
  const RecordPlan plan{.first_seq = 1, .rows = 4};
  Table table = FakeSite::Records(plan, site_.instance());
  table.columns.push_back({.name = "clock", .type = ColumnType::kText});
  table.columns.push_back({.name = "mono_us", .type = ColumnType::kInt64});
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  table.Find("event_time")->ints = {kMost, -kMost, kStartUs + kFirstUs, 0};
  for (const std::int64_t mono_us : {kFirstUs, kFirstUs, kMost, -kMost}) {
    table.Find("clock")->AppendText("a word that nobody knows");
    table.Find("mono_us")->AppendInt(mono_us);
  }
  const Artifact shipment = Shipment({site_.SealTable(table, plan)}, {Anchor(kHourUs / 2)});
  EXPECT_EQ(Take(shipment).new_rows, 4U);
  Must(corrector_->CorrectDue());
  LakeReader reader(Corrections());
  const auto paths =
      Must(store_->Read([](Database& db) { return ClockLedger(db).AllCorrected(); }));
  const Table said = Must(reader.Query("SELECT seq FROM {files} ORDER BY seq", paths));
  // Infinite ones are no times that a correction could speak of.
  EXPECT_THAT(said.columns.at(0).ints, ElementsAre(3, 4));
}

TEST_F(ClockTest, CountsByTimeFollowTheCorrections) {
  const auto buckets = [&] {
    std::map<std::int64_t, std::uint64_t> rows;
    for (const CountPoint& point :
         Must(store_->Read([](Database& db) { return Ledger(db).Counts("", kHourUs, 0); })))
      rows[point.bucket_us] += point.rows;
    return rows;
  };
  const auto hour = [](std::int64_t us) { return us / kHourUs * kHourUs; };
  Take(Shipment({Segment({.wrong_us = kYear2106Us - kStartUs})}));
  EXPECT_THAT(buckets(), ElementsAre(testing::Pair(hour(kYear2106Us), kRows)));
  Must(corrector_->CorrectDue());
  EXPECT_THAT(buckets(), ElementsAre(testing::Pair(hour(clock_.UtcMicros()), kRows)));
  Ship({}, {Anchor(kHourUs / 2)});
  EXPECT_THAT(buckets(), ElementsAre(testing::Pair(hour(kStartUs), kRows)));
}

TEST_F(ClockTest, TheQueryOfTheFormatsPageJoinsThem) {
  Ship({Segment({.wrong_us = -kStartUs})}, {Anchor(kHourUs / 2)});
  Ship({Segment({.first_seq = 11, .mono_us = 20 * kSecondUs, .clock = "synced"})});
  const std::string page = Must(ReadFile(fs::path(DOCS) / "formats/clock-correction.md", 1 << 20));
  const std::size_t begin = page.find("```sql\n") + 7;
  std::string sql = page.substr(begin, page.find("```", begin) - begin);
  const std::string name = "hub-data";
  for (std::size_t at = sql.find(name); at != std::string::npos; at = sql.find(name))
    sql.replace(at, name.size(), directory_.path().string());
  const auto engine = Must(TabularEngine::Open({.memory_limit = "256MiB", .threads = 1}));
  while (sql.back() == '\n' || sql.back() == ';') sql.pop_back();
  const Table table = Must(engine->Query("SELECT seq, how FROM (" + sql +
                                         ") WHERE best_time BETWEEN make_timestamptz(" +
                                         std::to_string(kStartUs) + ") AND make_timestamptz(" +
                                         std::to_string(kStartUs + kHourUs) + ") ORDER BY seq"));
  ASSERT_EQ(table.rows(), 2 * kRows);
  EXPECT_EQ(table.columns[1].texts.front(), "anchor");
  EXPECT_TRUE(table.columns[1].IsNull(2 * kRows - 1));
}

TEST_F(ClockTest, TheSameFactsMakeTheSameFile) {
  const auto content = [&] {
    const auto paths =
        Must(store_->Read([](Database& db) { return ClockLedger(db).AllCorrected(); }));
    return Must(ReadFile(Corrections() / paths.at(0), limits::kBlobBytes));
  };
  Ship({Segment({.wrong_us = -kStartUs})}, {Anchor(kHourUs / 2)});
  const std::string first = content();
  fs::remove_all(Corrections());
  OpenCorrector();
  Must(corrector_->CorrectDue());
  EXPECT_EQ(content(), first);
}

TEST_F(ClockTest, TheThreadWorksTheListOff) {
  Take(Shipment({Segment({.wrong_us = -kStartUs})}));
  corrector_->Start();
  Take(Shipment({}, {Anchor(kHourUs / 2)}));
  corrector_->Wake();
  for (int i = 0; i < 2'000; ++i) {
    if (Must(store_->Read([](Database& db) { return ClockLedger(db).Due(); })).empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  corrector_->Stop();
  ExpectAllCorrected();
}

}  // namespace
}  // namespace skerry
