// What is given up when there is not room for everything, by class; what is urgent; how fast it
// fills.
#include <gmock/gmock.h>

#include "outbox/rate_meter.h"
#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kHourUs = 3'600'000'000;

class SheddingTest : public OutboxTest {
 protected:
  void SetUp() override { options_.segment_age = std::chrono::hours(1); }

  std::shared_ptr<const CompiledPolicy> AnomaliesAndInsights() {
    return Policy(
        "skerry: policy/1\nname: p\nversion: 1\n"
        "fields: {torque_nm: keep, rotational_speed_rpm: keep, unit_id: keep, operator_note: "
        "keep}\n"
        "classes: {anomaly: {when: anomaly}, insight: {rate: 1}}\n");
  }
  std::uint64_t BytesOf(RecordClass cls) {
    std::uint64_t bytes = 0;
    for (const StreamBacklog& stream : Facts().streams)
      if (stream.cls == cls) bytes += stream.sealed_bytes;
    return bytes;
  }
  // Rows in segments of their own, so that shedding has something to choose from.
  void PutSegments(int count, const std::shared_ptr<const CompiledPolicy>& policy) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(Put(Rows(1000), policy));
      ASSERT_TRUE(outbox_->SealNow());
    }
  }
};

TEST_F(SheddingTest, AClassOverItsOwnQuotaShedsItsOldestAndNoOther) {
  Reopen();
  const auto policy = AnomaliesAndInsights();
  PutSegments(4, policy);
  const std::uint64_t anomalies = BytesOf(RecordClass::kAnomaly);
  const std::uint64_t insights = BytesOf(RecordClass::kInsight);
  ASSERT_GT(anomalies, 0U);
  options_.classes[RecordClass::kInsight].quota_bytes = insights * 3 / 5;
  Reopen();
  Pending();
  EXPECT_LE(BytesOf(RecordClass::kInsight), insights * 3 / 5);
  EXPECT_GT(BytesOf(RecordClass::kInsight), 0U);
  EXPECT_EQ(BytesOf(RecordClass::kAnomaly), anomalies);
  ExpectSound();
}

TEST_F(SheddingTest, AReserveKeepsRoomThatLessValuableClassesDoNotGet) {
  Reopen();
  const auto policy = AnomaliesAndInsights();
  PutSegments(4, policy);
  const OutboxFacts before = Facts();
  // Everything fits, but half of it is promised to the anomalies, which have not come.
  options_.quota_bytes = (before.segment_bytes + before.database_bytes) * 2;
  options_.classes[RecordClass::kAnomaly].reserve_bytes = options_.quota_bytes * 4 / 5;
  Reopen();
  Pending();
  EXPECT_GT(Facts().counters.shed, 0U);
  EXPECT_GT(BytesOf(RecordClass::kAnomaly), 0U);
  EXPECT_LT(BytesOf(RecordClass::kInsight), before.segment_bytes);
  ExpectSound();
}

TEST_F(SheddingTest, WhatIsTooOldIsShedWhileTheClockIsTrusted) {
  options_.classes[RecordClass::kInsight].max_age = std::chrono::hours(24);
  Reopen();
  const auto policy = AnomaliesAndInsights();
  PutSegments(2, policy);
  clock_.Advance(23 * kHourUs);
  PutSegments(1, policy);
  ASSERT_TRUE(Put(Rows(10), policy));
  const std::uint64_t anomalies = BytesOf(RecordClass::kAnomaly);
  Pending();
  EXPECT_EQ(Facts().counters.shed, 0U);

  clock_.Advance(2 * kHourUs);
  clock_.SetQuality(ClockQuality::kUnknown);
  Pending();
  EXPECT_EQ(Facts().counters.shed, 0U);
  clock_.SetQuality(ClockQuality::kSynced);
  Pending();
  EXPECT_GT(Facts().counters.shed, 0U);
  EXPECT_EQ(BytesOf(RecordClass::kAnomaly), anomalies);
  std::uint64_t left = 0;
  for (const StreamBacklog& stream : Facts().streams)
    if (stream.cls == RecordClass::kInsight) left += stream.sealed_segments;
  EXPECT_EQ(left, 2U);  // of the last thousand, and of the ten
  EXPECT_THAT(outbox_->Alarms(), ::testing::Contains(HasSubstr("over its quota")));
  ExpectSound();
}

TEST_F(SheddingTest, MoreReservedThanThereIsIsRefused) {
  options_.quota_bytes = 1 << 20;
  options_.classes[RecordClass::kAnomaly].reserve_bytes = 1 << 19;
  options_.classes[RecordClass::kSummary].reserve_bytes = (1 << 19) + 1;
  const auto outbox = Outbox::Open(OptionsAt(directory_.path()));
  ASSERT_FALSE(outbox);
  EXPECT_THAT(outbox.error().message(), HasSubstr("reserve"));
}

TEST_F(SheddingTest, AnomaliesAreSealedWhileOtherRowsWaitAndSomebodyIsTold) {
  Reopen();
  std::promise<void> told;
  std::atomic<bool> once = false;
  outbox_->OnUrgentSegments([&] {
    if (!once.exchange(true)) told.set_value();
  });
  ASSERT_TRUE(Put(Rows(1000), AnomaliesAndInsights()));
  clock_.Advance(kHourUs / 1'200);
  ASSERT_EQ(told.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_GT(BytesOf(RecordClass::kAnomaly), 0U);
  EXPECT_EQ(BytesOf(RecordClass::kInsight), 0U);
  outbox_->OnUrgentSegments({});
}

TEST_F(SheddingTest, TheLatestRecordsAreThoseMadeLast) {
  Reopen();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Put(Rows(10), SampleAll()));
    ASSERT_TRUE(outbox_->SealNow());
  }
  ASSERT_TRUE(Put(Rows(4), SampleAll()));
  const auto latest = outbox_->Tail(RecordClass::kSample, 7);
  ASSERT_TRUE(latest) << latest.error().ToString();
  ASSERT_EQ(latest->rows(), 7U);
  EXPECT_EQ(latest->Find("n")->ints, (std::vector<std::int64_t>{28, 29, 30, 31, 32, 33, 34}));
  EXPECT_EQ(latest->Find("source_"), nullptr);
  EXPECT_EQ(outbox_->Tail(RecordClass::kSample, 100)->rows(), 34U);
  EXPECT_EQ(outbox_->Tail(RecordClass::kAnomaly, 7).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(outbox_->Tail(RecordClass::kSample, limits::kTailRows + 1).error().code(),
            ErrorCode::kTooLarge);
}

TEST_F(SheddingTest, WhatIsExportedIsAllOfIt) {
  Reopen();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Put(Rows(10), SampleAll()));
    ASSERT_TRUE(outbox_->SealNow());
  }
  ASSERT_TRUE(Put(Rows(5), SampleAll()));
  const auto csv = directory_.path() / "all.csv";
  ASSERT_TRUE(outbox_->ExportTo(csv, RecordClass::kSample));
  const std::string text = *ReadFile(csv, 1 << 20);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 26);
  EXPECT_THAT(text, ::testing::StartsWith("seq,instance,n,"));
  EXPECT_THAT(
      outbox_->ExportTo(directory_.path() / "all.txt", RecordClass::kSample).error().message(),
      HasSubstr(".parquet"));
}

TEST(RateMeter, TellsWhenTheBacklogIsSentOrTheQuotaReached) {
  RateMeter meter;
  const RateMeter::TimePoint start{std::chrono::hours(1)};
  EXPECT_EQ(meter.Rates(start, 100, 100).rows_in, 0);
  meter.Sample(start);
  meter.Add({.rows_in = 500, .bytes_in = 1000, .bytes_out = 3000});
  const OutboxRates draining = meter.Rates(start + std::chrono::seconds(10), 4000, 10'000);
  EXPECT_DOUBLE_EQ(draining.rows_in, 50);
  EXPECT_DOUBLE_EQ(*draining.drained_in, 20);
  EXPECT_FALSE(draining.full_in);
  meter.Add({.bytes_in = 4000});
  const OutboxRates filling = meter.Rates(start + std::chrono::seconds(10), 4000, 10'000);
  EXPECT_FALSE(filling.drained_in);
  EXPECT_DOUBLE_EQ(*filling.full_in, 50);
  // Old samples leave the window.
  meter.Sample(start + limits::kRateWindow);
  meter.Sample(start + limits::kRateWindow + std::chrono::seconds(10));
  EXPECT_EQ(meter.Rates(start + limits::kRateWindow + std::chrono::seconds(20), 1, 1).rows_in, 0);
}

}  // namespace
}  // namespace skerry
