// Rows that nobody waits for: gathered, copied into larger batches, counted where they are lost.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "base/limits.h"
#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

class GatherTest : public OutboxTest {
 protected:
  void SetUp() override {
    options_.segment_age = std::chrono::hours(1);
    OutboxTest::SetUp();
    // Times are kept, so that each record shows its own.
    policy_ = Policy(
        "skerry: policy/1\nname: all\nversion: 1\nfields: {torque_nm: keep}\n"
        "derived: {event_time: keep, score: keep}\nclasses: {sample: {rate: 1}}\n");
  }

  // A batch of which everything tells from which request it comes.
  std::shared_ptr<RowBatch> RequestAt(std::int64_t second, std::size_t rows = 1) {
    auto batch = Rows(rows);
    batch->event_time_us = second * 1'000'000;
    batch->mono_us = second * 1'000;
    batch->clock = second % 2 == 0 ? ClockQuality::kSynced : ClockQuality::kUnknown;
    return batch;
  }
  void Gather(std::shared_ptr<const RowBatch> batch) {
    outbox_->Gather(std::move(batch), policy_, &lost_);
  }
  bool CapturedWithin(std::uint64_t rows, std::chrono::seconds time) {
    Counter& captured = metrics_.AddCounter("skerry_outbox_rows_captured_total", "");
    const auto until = std::chrono::steady_clock::now() + time;
    while (captured.value() < rows && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return captured.value() == rows;
  }
  // The record of each batch's each row holds what the batch says.
  void ExpectRecords(const std::vector<std::shared_ptr<RowBatch>>& batches) {
    std::map<std::int64_t, std::pair<const RowBatch*, std::size_t>> rows;
    for (const auto& batch : batches)
      for (std::size_t row = 0; row < batch->rows; ++row)
        rows[static_cast<std::int64_t>(batch->first_n + row)] = {batch.get(), row};
    const Table table = outbox_->Tail(RecordClass::kSample, limits::kTailRows).value();
    ASSERT_EQ(table.rows(), rows.size());
    for (const char* name :
         {"n", "instance", "event_time", "mono_us", "clock", "role", "score", "in_torque_nm"})
      ASSERT_NE(table.Find(name), nullptr) << name;
    for (std::size_t record = 0; record < table.rows(); ++record) {
      const std::int64_t n = table.Find("n")->ints[record];
      ASSERT_TRUE(rows.contains(n)) << n;
      const auto [batch, row] = rows[n];
      rows.erase(n);
      EXPECT_EQ(table.Find("instance")->texts[record], batch->instance.ToString());
      EXPECT_EQ(table.Find("event_time")->ints[record], batch->event_time_us) << n;
      EXPECT_EQ(table.Find("mono_us")->ints[record], batch->mono_us) << n;
      EXPECT_EQ(table.Find("clock")->texts[record], ClockQualityName(batch->clock)) << n;
      EXPECT_EQ(table.Find("role")->texts[record], batch->role) << n;
      EXPECT_NEAR(table.Find("score")->doubles[record], batch->score[row], 1e-6) << n;
      EXPECT_NEAR(table.Find("in_torque_nm")->doubles[record], batch->Row(row)[4], 1e-4) << n;
    }
  }

  std::shared_ptr<const CompiledPolicy> policy_;
  Counter lost_;
};

TEST_F(GatherTest, RowsShareACommitAndKeepWhatIsTheirOwn) {
  Counter& commits = metrics_.AddCounter("skerry_outbox_commits_total", "");
  const std::uint64_t before = commits.value();
  // Made beforehand, so that a slow machine submits them within few times ten milliseconds too.
  std::vector<std::shared_ptr<RowBatch>> batches;
  for (int i = 0; i < 300; ++i) batches.push_back(RequestAt(1'790'000'000 + i, i % 3 == 0 ? 7 : 1));
  std::uint64_t rows = 0;
  for (const auto& batch : batches) {
    rows += batch->rows;
    Gather(batch);
  }
  ASSERT_TRUE(CapturedWithin(rows, std::chrono::seconds(10)));  // without anybody's asking
  EXPECT_LE(commits.value() - before, 100U);
  EXPECT_EQ(lost_.value(), 0U);
  ExpectRecords(batches);
  ExpectSound();
}

TEST_F(GatherTest, OneThatSomebodyWaitsForTakesAlongWhatHasGathered) {
  Counter& commits = metrics_.AddCounter("skerry_outbox_commits_total", "");
  const std::uint64_t before = commits.value();
  std::vector<std::shared_ptr<RowBatch>> batches;
  for (int i = 0; i < 21; ++i) batches.push_back(RequestAt(1'790'000'000 + i));
  for (int i = 0; i < 20; ++i) Gather(batches[static_cast<std::size_t>(i)]);
  ASSERT_TRUE(Put(batches.back(), policy_));
  EXPECT_LE(commits.value() - before, 10U);
  EXPECT_EQ(Facts().unsealed_primary_rows, 21U);
  ExpectRecords(batches);
}

TEST_F(GatherTest, OnlyRowsThatGoOnAreJoined) {
  std::vector<std::shared_ptr<RowBatch>> batches;
  const auto gather = [&](std::shared_ptr<RowBatch> batch) {
    batches.push_back(std::move(batch));
    Gather(batches.back());
  };
  gather(RequestAt(1'790'000'001));
  gather(RequestAt(1'790'000'002));
  next_n_ += 5;  // as where another event loop took the ids between
  gather(RequestAt(1'790'000'003));
  auto shadow = RequestAt(1'790'000'004);
  shadow->role = "shadow";
  gather(std::move(shadow));
  auto whole = RequestAt(1'790'000'005);
  whole->inputs = whole->features;  // a column that the one before has not
  gather(std::move(whole));
  gather(RequestAt(1'790'000'006, 500));  // more than is copied
  gather(RequestAt(1'790'000'007));
  const auto other = Policy(
      "skerry: policy/1\nname: all\nversion: 2\nfields: {torque_nm: keep}\n"
      "derived: {event_time: keep, score: keep}\nclasses: {sample: {rate: 1}}\n");
  batches.push_back(RequestAt(1'790'000'008));
  outbox_->Gather(batches.back(), other, nullptr);
  ASSERT_TRUE(outbox_->Flush());
  ExpectRecords(batches);
  ExpectSound();
}

TEST_F(GatherTest, WhatIsLostIsCountedOnce) {
  options_.queue_rows = 100;
  Reopen();
  std::promise<void> entered;
  std::promise<void> release;
  // The first batch's `done` holds the writer, so that the queue fills behind it.
  outbox_->Submit(RequestAt(1'790'000'000, 10), policy_, [&](const Status&) {
    entered.set_value();
    release.get_future().wait();
  });
  entered.get_future().wait();
  for (int i = 0; i < 120; ++i) Gather(RequestAt(1'790'000'001 + i));
  EXPECT_EQ(lost_.value(), 30U);
  release.set_value();
  ASSERT_TRUE(outbox_->Flush());
  const auto database = directory_.path() / "outbox-000001.db-wal";
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{std::filesystem::file_size(database), unlimited.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  for (int i = 0; i < 40; ++i) Gather(RequestAt(1'790'000'200 + i));
  const Status flushed = outbox_->Flush();
  setrlimit(RLIMIT_FSIZE, &unlimited);
  EXPECT_EQ(lost_.value(), 70U);
  outbox_->Close();
  Gather(RequestAt(1'790'000'300, 3));
  EXPECT_EQ(lost_.value(), 73U);
  Reopen();
  const Counters counters = Facts().counters;
  EXPECT_EQ(counters.not_captured, 70U);
  EXPECT_EQ(counters.scored, 170U);
  EXPECT_EQ(Facts().unsealed_primary_rows, 100U);
  ExpectSound();
}

}  // namespace
}  // namespace skerry
