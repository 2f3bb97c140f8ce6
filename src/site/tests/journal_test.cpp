#include "site/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include "policy/tests/milling_rows.h"
#include "storage/file.h"

namespace skerry {
namespace {

using namespace testing_rows;

class JournalTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> Open(JournalOptions options) {
    auto journal = Journal::Open(directory_.path() / "journal", options, clock_, metrics_);
    EXPECT_TRUE(journal) << journal.error().ToString();
    return std::move(*journal);
  }
  std::vector<RowBatch> All(const Journal& journal, std::int64_t since_us = 0) {
    std::vector<RowBatch> batches;
    skipped_ = 0;
    const Status read = journal.Read(
        package_, since_us,
        [&](const RowBatch& batch) -> Status {
          batches.push_back(batch);
          return {};
        },
        skipped_);
    EXPECT_TRUE(read) << read.error().ToString();
    return batches;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::Create("journal");
  FakeClock clock_{1'790'000'000'000'000};
  MetricRegistry metrics_;
  std::shared_ptr<ModelPackage> package_ = MillingPackage();
  InstanceId instance_ = InstanceId::Random();
  std::uint64_t skipped_ = 0;
};

TEST_F(JournalTest, GivesBackWhatWasScoredAlsoAfterARestart) {
  const auto batch = MillingRows(package_, 50, 7, 1, instance_);
  batch->features[3] = std::nanf("");
  {
    const auto journal = Open({.days = 0, .bytes = 1 << 24});
    journal->Append(batch);
    auto other = MillingPackage();
    other->digest = Digest::Sha256("another");
    journal->Append(MillingRows(other, 3, 1, 1, instance_));
    journal->Flush();
  }
  MetricRegistry again;
  auto journal =
      Journal::Open(directory_.path() / "journal", {.days = 0, .bytes = 1 << 24}, clock_, again);
  ASSERT_TRUE(journal) << journal.error().ToString();
  const std::vector<RowBatch> found = All(**journal);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(skipped_, 3U);
  EXPECT_TRUE(std::isnan(found[0].features[3]));
  EXPECT_EQ(found[0].features[4], batch->features[4]);
  EXPECT_EQ(found[0].texts, batch->texts);
  EXPECT_EQ(found[0].score, batch->score);
  EXPECT_EQ(found[0].anomaly_score, batch->anomaly_score);
  EXPECT_EQ(found[0].prediction, batch->prediction);
  EXPECT_EQ(found[0].out_of_range, batch->out_of_range);
  EXPECT_EQ(found[0].row_id(3).n, batch->row_id(3).n);
  EXPECT_EQ(found[0].event_time_us, batch->event_time_us);
  struct stat facts{};
  ASSERT_EQ(::stat((directory_.path() / "journal").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0700U);
}

TEST_F(JournalTest, TheOldestRowsGoFirstByAgeAndBySize) {
  const auto journal = Open({.days = 2, .bytes = 1 << 18});
  const auto old = MillingRows(package_, 5, 1, 1, instance_);
  old->event_time_us = clock_.UtcMicros() - 3 * std::int64_t{86'400'000'000};
  journal->Append(old);
  journal->Flush();
  EXPECT_TRUE(All(*journal).empty());
  for (std::uint64_t n = 0; n < 60; ++n) {
    journal->Append(MillingRows(package_, 200, 1000 + n * 200, n, instance_));
    journal->Flush();
  }
  const std::vector<RowBatch> kept = All(*journal);
  ASSERT_FALSE(kept.empty());
  EXPECT_LT(kept.size(), 60U);
  EXPECT_EQ(kept.back().first_n, 1000U + 59 * 200);
  EXPECT_LT(std::filesystem::file_size(directory_.path() / "journal" / "journal.db"),
            std::uintmax_t{1} << 19);
}

}  // namespace
}  // namespace skerry
