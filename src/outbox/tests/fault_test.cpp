// A full queue, a disk that refuses to grow, many writers at once.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "base/limits.h"
#include "outbox/tests/outbox_fixture.h"
#include "storage/sqlite.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class OutboxFaultTest : public OutboxTest {};

// No file of this process may grow beyond `bytes` while this lives: what a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(OutboxFaultTest, AFullQueueRefusesAtOnceAndTheRowsAreCountedAsNotCaptured) {
  options_.queue_rows = 100;
  Reopen();
  std::promise<void> entered;
  std::promise<void> release;
  // The first batch's `done` holds the writer, so that the queue fills behind it.
  outbox_->Submit(Rows(10), SampleAll(), [&](const Status&) {
    entered.set_value();
    release.get_future().wait();
  });
  entered.get_future().wait();
  std::promise<Status> waits;
  outbox_->Submit(Rows(60), SampleAll(), [&](const Status& status) { waits.set_value(status); });
  Status refused;
  outbox_->Submit(Rows(50), SampleAll(), [&](const Status& status) { refused = status; });
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("limit is 100"));
  release.set_value();
  EXPECT_TRUE(waits.get_future().get());
  // A batch over the limit is taken when nothing else waits.
  ASSERT_TRUE(outbox_->Flush());
  EXPECT_TRUE(Put(Rows(500), SampleAll()));
  const Counters counters = Facts().counters;
  EXPECT_EQ(counters.not_captured, 50U);
  EXPECT_EQ(counters.scored, 620U);
  ExpectSound();
}

TEST_F(OutboxFaultTest, RefusedRowsAreCountedEvenWhenNothingComesAfterThem) {
  options_.queue_rows = 10;
  Reopen();
  std::promise<void> entered;
  std::promise<void> release;
  outbox_->Submit(Rows(10), SampleAll(), [&](const Status&) {
    entered.set_value();
    release.get_future().wait();
  });
  entered.get_future().wait();
  outbox_->Submit(Rows(5), SampleAll(), [](const Status& status) { EXPECT_FALSE(status); });
  release.set_value();
  Reopen();
  EXPECT_EQ(Facts().counters.not_captured, 5U);
  EXPECT_EQ(Facts().counters.scored, 15U);
}

TEST_F(OutboxFaultTest, AFailedCommitIsToldRolledBackCountedAndFollowedByGoodOnes) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  ASSERT_TRUE(Put(Rows(100), SampleAll()));
  {
    const auto wal = std::filesystem::file_size(directory_.path() / "outbox-000001.db-wal");
    const FileSizeLimit full(wal);
    const Status failed = Put(Rows(300), SampleAll());
    ASSERT_FALSE(failed);
    EXPECT_FALSE(Put(Rows(200), SampleAll()));
  }
  EXPECT_TRUE(Put(Rows(50), SampleAll()));
  const OutboxFacts facts = Facts();
  EXPECT_EQ(facts.counters.scored, 650U);
  EXPECT_EQ(facts.counters.not_captured, 500U);
  EXPECT_EQ(facts.unsealed_primary_rows, 150U);
  EXPECT_FALSE(*outbox_->LookupRow({instance_, 150}));
  EXPECT_EQ(Fate(601).seq, 101U);  // no hole in the stream
  ExpectSound();
  ASSERT_TRUE(outbox_->SealNow());
  Reopen();
  ExpectSound();
}

TEST_F(OutboxFaultTest, ASealThatFailsLeavesTheRowsAndIsMadeLater) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  ASSERT_TRUE(Put(Rows(5000), SampleAll()));
  {
    const FileSizeLimit full(1024);
    EXPECT_FALSE(outbox_->SealNow());
  }
  EXPECT_EQ(Facts().unsealed_primary_rows, 5000U);
  ASSERT_TRUE(outbox_->SealNow());
  EXPECT_EQ(Facts().unsealed_primary_rows, 0U);
  ExpectSound();
}

TEST_F(OutboxFaultTest, WhatCannotBeSealedIsAnAlarmUntilItCan) {
  options_.segment_age = std::chrono::hours(1);
  options_.urgent_age = std::chrono::milliseconds(100);  // the sealing thread looks twice as often
  Reopen();
  ASSERT_TRUE(Put(Rows(5000), SampleAll()));
  const auto wait_until_alarmed = [this](bool alarmed) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    bool found = !alarmed;
    while (found != alarmed && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const auto alarms = outbox_->Alarms();
      found = std::ranges::any_of(alarms, [](const std::string& alarm) {
        return alarm.find("they cannot be sealed") != std::string::npos;
      });
    }
    EXPECT_EQ(found, alarmed);
  };
  {
    const FileSizeLimit full(1024);
    clock_.Advance(std::chrono::microseconds(std::chrono::hours(2)).count());
    wait_until_alarmed(true);
  }
  wait_until_alarmed(false);
  EXPECT_EQ(Facts().unsealed_primary_rows, 0U);
  ExpectSound();
}

class OutboxDamageTest : public OutboxFaultTest {
 protected:
  void SetUp() override {
    options_.segment_age = std::chrono::hours(1);
    Reopen();
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put(Rows(20), SampleAll()));
    ASSERT_TRUE(outbox_->SealNow());
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(Put(Rows(20), SampleAll()));
    outbox_.reset();
    // The journal's content into the database file, for the damage to meet it.
    auto database = *Database::Open(path());
    ASSERT_TRUE(database->Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  }
  std::filesystem::path path() const { return directory_.path() / "outbox-000001.db"; }
  std::size_t Quarantined() const {
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(directory_.path() / "quarantine"))
      ++files;
    return files;
  }
};

TEST_F(OutboxDamageTest, ADamagedPageCostsItsOwnRowsAndTheSumsHold) {
  std::string bytes = *ReadFile(path(), 1 << 26);
  // The page in the middle of those that hold unsealed rows.
  std::vector<std::size_t> pages;
  for (std::size_t at = bytes.find("SKT"); at != std::string::npos; at = bytes.find("SKT", at + 1))
    if (pages.empty() || at / 4096 * 4096 != pages.back()) pages.push_back(at / 4096 * 4096);
  ASSERT_GT(pages.size(), 2U);
  const std::size_t page = pages[pages.size() / 2];
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(page), 4096, '\xA5');
  ASSERT_TRUE(WriteFileDurably(path(), bytes, 0600));
  Reopen();
  // It may be found only when it is read.
  EXPECT_TRUE(Put(Rows(20), SampleAll()) || Put(Rows(20), SampleAll()));
  EXPECT_TRUE(outbox_->SealNow() || outbox_->SealNow());
  ExpectSound();
  const OutboxFacts facts = Facts();
  EXPECT_GE(facts.counters.scored, 1620U);
  EXPECT_GT(facts.sealed_primary_rows, 800U);
  EXPECT_GT(facts.damaged_primary_rows, 0U);
  EXPECT_LT(facts.damaged_primary_rows, 800U);
  EXPECT_GT(Quarantined(), 0U);
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  EXPECT_EQ(Facts().open_gaps, 0U);
  ExpectSound();
}

TEST_F(OutboxDamageTest, ADatabaseThatIsNoneIsSetAsideAndCaptureGoesOn) {
  const std::uint64_t before = [&] {
    Reopen();
    const std::uint64_t counter = outbox_->ReadStatus()->counter;
    outbox_.reset();
    return counter;
  }();
  ASSERT_TRUE(WriteFileDurably(path(), std::string(100'000, 'x'), 0600));
  Reopen();
  EXPECT_TRUE(Put(Rows(20), SampleAll()));
  EXPECT_EQ(Facts().counters.scored, 20U);
  // The database with its journal, and the segment that it named.
  EXPECT_EQ(Quarantined(), 3U);
  EXPECT_GT(outbox_->ReadStatus()->counter, before);
  ExpectSound();
}

// 8 writers that wait for each row's commit, and seals beside them: every acknowledged row is
// there, and the commits are fewer than the rows (group commit). Prints the rate.
TEST_F(OutboxFaultTest, ManyWritersOfSingleRowsShareTheirCommits) {
  options_.segment_rows = 1000;
  Reopen();
  const auto policy = Policy(testing_rows::MillingYaml());
  constexpr int kWriters = 8;
  constexpr std::uint64_t kRowsEach = 250;
  std::vector<std::thread> writers;
  const auto started = std::chrono::steady_clock::now();
  for (int writer = 0; writer < kWriters; ++writer)
    writers.emplace_back([&, writer] {
      for (std::uint64_t i = 0; i < kRowsEach; ++i) {
        const std::uint64_t n = 1 + static_cast<std::uint64_t>(writer) + i * kWriters;
        const auto row = testing_rows::MillingRows(package_, 1, n, n, instance_);
        EXPECT_TRUE(Put(row, policy));
      }
    });
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(outbox_->SealNow());
  for (std::thread& writer : writers) writer.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const std::uint64_t commits = metrics_.AddCounter("skerry_outbox_commits_total", "").value();
  std::printf("single rows from %d writers: %.0f rows/s, %.1f rows a commit\n", kWriters,
              kWriters * kRowsEach / took.count(),
              static_cast<double>(kWriters * kRowsEach) / static_cast<double>(commits));
  EXPECT_LT(commits, kWriters * kRowsEach);
  EXPECT_EQ(Facts().counters.scored, kWriters * kRowsEach);
  for (std::uint64_t n = 1; n <= kWriters * kRowsEach; ++n) Fate(n);
  ExpectSound();
}

// Batches without waiting for each: the writer's own speed. Prints the rate.
TEST_F(OutboxFaultTest, BatchesAreTakenFasterThanTheyAreScored) {
  const auto policy = Policy(testing_rows::MillingYaml());
  std::vector<std::shared_ptr<RowBatch>> batches;
  for (int i = 0; i < 200; ++i) batches.push_back(Rows(100));
  const auto started = std::chrono::steady_clock::now();
  for (const auto& batch : batches)
    outbox_->Submit(batch, policy, [](const Status& status) { EXPECT_TRUE(status); });
  ASSERT_TRUE(outbox_->Flush());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("batches of 100: %.0f rows/s\n", 20'000 / took.count());
  EXPECT_EQ(Facts().counters.scored, 20'000U);
  ExpectSound();
}

}  // namespace
}  // namespace skerry
