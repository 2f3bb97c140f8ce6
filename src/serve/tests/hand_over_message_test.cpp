// A message comes out as it went in, or not at all.
#include "serve/hand_over_message.h"

#include <gtest/gtest.h>

#include "policy/tests/milling_rows.h"

namespace skerry {
namespace {

class HandOverMessageTest : public ::testing::Test {
 protected:
  std::shared_ptr<RowBatch> Rows(std::size_t rows, std::uint64_t first_n = 1) const {
    return testing_rows::MillingRows(package_, rows, first_n, first_n, scorer_);
  }
  HandOverMessage Message(std::vector<std::shared_ptr<const RowBatch>> batches) const {
    return {scorer_, 7, false, 5, package_->digest, std::move(batches)};
  }
  Result<HandOverMessage> Decode(std::string_view bytes) const {
    return DecodeHandOver(
        bytes,
        [&](const Digest& digest) -> Result<std::shared_ptr<const ModelPackage>> {
          if (digest == *package_->digest) return package_;
          return Fail(ErrorCode::kFailedPrecondition, "another package");
        },
        clock_);
  }
  std::string Encode(std::shared_ptr<const RowBatch> batch) const {
    return EncodeHandOver(Message({std::move(batch)}), kSentUs);
  }

  static constexpr std::int64_t kSentUs = 77'223'456;  // a tenth of a second after the rows
  std::shared_ptr<const ModelPackage> package_ = testing_rows::MillingPackage();
  InstanceId scorer_ = InstanceId::Random();
  FakeClock clock_{1'790'000'000'000'000};
};

TEST_F(HandOverMessageTest, RowsComeOutAsTheyWentInOnTheSitesMonotonicClock) {
  clock_.Advance(5'000'000);
  const auto sent = Rows(40);
  const auto got = Decode(EncodeHandOver(Message({sent, Rows(3, 41)}), kSentUs));
  ASSERT_TRUE(got) << got.error().ToString();
  EXPECT_EQ(got->scorer, scorer_);
  EXPECT_EQ(got->number, 7U);
  EXPECT_EQ(got->lost_rows, 5U);
  ASSERT_EQ(got->batches.size(), 2U);
  const RowBatch& batch = *got->batches[0];
  EXPECT_EQ(batch.package, package_);
  EXPECT_EQ(batch.row_id(39), sent->row_id(39));
  EXPECT_EQ(batch.event_time_us, sent->event_time_us);
  EXPECT_EQ(batch.mono_us, 4'900'000);
  EXPECT_EQ(batch.clock, sent->clock);
  EXPECT_EQ(batch.features, sent->features);
  EXPECT_EQ(batch.texts, sent->texts);
  EXPECT_EQ(batch.score, sent->score);
  EXPECT_EQ(batch.anomaly_score, sent->anomaly_score);
  EXPECT_EQ(batch.prediction, sent->prediction);
  EXPECT_EQ(batch.out_of_range, sent->out_of_range);
  EXPECT_EQ(got->batches[1]->first_n, 41U);
}

TEST_F(HandOverMessageTest, AQuestionHasNoRows) {
  HandOverMessage asks = Message({});
  asks.abandoned = true;
  const auto got = Decode(EncodeHandOver(asks, kSentUs));
  ASSERT_TRUE(got) << got.error().ToString();
  EXPECT_TRUE(got->abandoned && got->batches.empty());
  asks.batches.push_back(Rows(1));
  EXPECT_FALSE(Decode(EncodeHandOver(asks, kSentUs)));
}

TEST_F(HandOverMessageTest, EveryTruncationIsRefused) {
  const std::string whole = Encode(Rows(3));
  ASSERT_TRUE(Decode(whole));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(Decode(std::string_view(whole).substr(0, size))) << size;
  EXPECT_FALSE(Decode(whole + '\0'));
}

TEST_F(HandOverMessageTest, WhateverByteIsAlteredTheRowsFitThePackageOrAreRefused) {
  const std::string whole = Encode(Rows(3));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const char flip : {'\x01', '\x80', '\xFF'}) {
      std::string altered = whole;
      altered[at] = static_cast<char>(altered[at] ^ flip);
      const auto got = Decode(altered);
      if (!got || got->batches.empty()) continue;
      const RowBatch& batch = *got->batches[0];
      ASSERT_EQ(batch.features.size(), batch.rows * 6);
      ASSERT_EQ(batch.score.size(), batch.rows);
      ASSERT_EQ(batch.prediction.size(), batch.rows);
      ASSERT_EQ(batch.out_of_range.size(), batch.rows);
      ASSERT_EQ(batch.texts.size(), 2U);
      for (const std::uint8_t prediction : batch.prediction) ASSERT_LT(prediction, 2);
    }
}

TEST_F(HandOverMessageTest, WhatThePackageCannotHaveMadeIsRefusedByName) {
  const auto refusal = [&](auto&& alter) {
    const auto batch = Rows(2);
    alter(*batch);
    const auto got = Decode(Encode(batch));
    return got ? std::string("taken") : got.error().message();
  };
  EXPECT_NE(refusal([](RowBatch& b) { b.features[0] = 9; }).find("type has the code 9"),
            std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.features[6] = 0.5F; }).find("type"), std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.probabilities = {1, 1, 1, 1}; }).find("probabilities"),
            std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.prediction[1] = 2; }).find("prediction"),
            std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.out_of_range[1] = {6}; }).find("out of range"),
            std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.role = "king"; }).find("role"), std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.mono_us = kSentUs + 1; }).find("monotonic"),
            std::string::npos);
  EXPECT_NE(refusal([](RowBatch& b) { b.event_time_us = -1; }).find("event time"),
            std::string::npos);
  EXPECT_EQ(refusal([](RowBatch& b) { b.features[0] = std::nanf(""); }), "taken");
}

TEST_F(HandOverMessageTest, AnotherVersionIsNamed) {
  std::string bytes = Encode(Rows(1));
  bytes[3] = 2;
  const auto got = Decode(bytes);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), ErrorCode::kUnimplemented);
  EXPECT_NE(got.error().message().find("version 2"), std::string::npos);
}

}  // namespace
}  // namespace skerry
