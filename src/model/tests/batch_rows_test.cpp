// Batches that are taken apart and put together.
#include "model/batch_rows.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

class BatchRowsTest : public testing::Test {
 protected:
  // Every column filled, each value of a row its own.
  RowBatch Scored(std::size_t rows) {
    RowBatch batch;
    batch.package = package_;
    batch.instance = instance_;
    batch.first_n = next_n_;
    batch.event_time_us = 1'000'000 + static_cast<std::int64_t>(next_n_);
    batch.mono_us = 500 + static_cast<std::int64_t>(next_n_);
    batch.clock = next_n_ % 2 == 0 ? ClockQuality::kSynced : ClockQuality::kUnknown;
    batch.rows = rows;
    batch.texts.resize(2);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto n = static_cast<float>(next_n_++);
      for (const float column : {0.0F, 0.1F, 0.2F}) batch.features.push_back(n + column);
      batch.windows.push_back(n + 0.5F);
      for (const float column : {0.0F, 0.1F, 0.2F, 0.3F}) batch.inputs.push_back(n - column);
      batch.score.push_back(n / 1'000);
      for (const float c : {0.0F, 1.0F}) batch.probabilities.push_back(n / 2'000 + c);
      batch.anomaly_score.push_back(-n);
      batch.prediction.push_back(static_cast<std::uint8_t>(next_n_ % 2));
      batch.out_of_range.emplace_back(next_n_ % 3, static_cast<std::uint16_t>(next_n_));
      batch.texts[0].push_back("unit " + std::to_string(next_n_));
      batch.texts[1].push_back("");
    }
    return batch;
  }
  static void ExpectSameRow(const RowBatch& batch, std::size_t row, const RowBatch& like,
                            std::size_t as) {
    const RowBatch a = SliceOf(batch, row, 1);
    const RowBatch b = SliceOf(like, as, 1);
    EXPECT_EQ(a.package, b.package);
    EXPECT_EQ(a.row_id(0).n, b.row_id(0).n);
    EXPECT_EQ(a.ScoredAtOf(0).event_time_us, b.ScoredAtOf(0).event_time_us);
    EXPECT_EQ(a.ScoredAtOf(0).mono_us, b.ScoredAtOf(0).mono_us);
    EXPECT_EQ(a.ScoredAtOf(0).clock, b.ScoredAtOf(0).clock);
    EXPECT_EQ(a.features, b.features);
    EXPECT_EQ(a.windows, b.windows);
    EXPECT_EQ(a.inputs, b.inputs);
    EXPECT_EQ(a.score, b.score);
    EXPECT_EQ(a.probabilities, b.probabilities);
    EXPECT_EQ(a.anomaly_score, b.anomaly_score);
    EXPECT_EQ(a.prediction, b.prediction);
    EXPECT_EQ(a.out_of_range, b.out_of_range);
    EXPECT_EQ(a.texts, b.texts);
  }

  std::shared_ptr<const ModelPackage> package_ = std::make_shared<ModelPackage>();
  const InstanceId instance_ = InstanceId::Random();
  std::uint64_t next_n_ = 41;
};

TEST_F(BatchRowsTest, AppendedRowsAreWhatTheyWere) {
  const std::vector<RowBatch> requests = {Scored(1), Scored(3), Scored(1), Scored(2)};
  // Two halves that were gathered each, gathered again.
  RowBatch front = requests[0];
  AppendRows(front, requests[1]);
  RowBatch back = requests[2];
  AppendRows(back, requests[3]);
  AppendRows(front, back);
  ASSERT_EQ(front.rows, 7U);
  std::size_t at = 0;
  for (const RowBatch& request : requests)
    for (std::size_t row = 0; row < request.rows; ++row) ExpectSameRow(front, at++, request, row);
  EXPECT_GE(MemoryOf(front), MemoryOf(requests[0]) + MemoryOf(requests[1]) + MemoryOf(back));
}

TEST_F(BatchRowsTest, OnlyTheSameColumnsAndTheNextIdFollowOn) {
  const RowBatch first = Scored(2);
  const RowBatch next = Scored(1);
  EXPECT_TRUE(FollowsOn(first, next));
  EXPECT_FALSE(FollowsOn(next, first));
  EXPECT_FALSE(FollowsOn(first, Scored(1)));  // one is between
  const auto changed = [&](const auto& change) {
    RowBatch other = next;
    change(other);
    return FollowsOn(first, other);
  };
  EXPECT_FALSE(changed([](RowBatch& b) { b.role = "canary"; }));
  EXPECT_FALSE(changed([](RowBatch& b) { b.package = std::make_shared<ModelPackage>(); }));
  EXPECT_FALSE(changed([](RowBatch& b) { b.instance = InstanceId::Random(); }));
  EXPECT_FALSE(changed([](RowBatch& b) { b.anomaly_score.clear(); }));
  EXPECT_FALSE(changed([](RowBatch& b) { b.texts.pop_back(); }));
  EXPECT_FALSE(changed([](RowBatch& b) { b.rows = 0; }));
}

}  // namespace
}  // namespace skerry
