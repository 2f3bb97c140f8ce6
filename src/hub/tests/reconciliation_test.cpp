#include "hub/reconciliation.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

class ReconciliationTest : public testing::Test {
 protected:
  ReconciliationTest() {
    input_.site = "north";
    StreamHoldings stream;
    stream.stream = {epoch_, RecordClass::kSample};
    stream.sealed_through = 100;
    stream.held.Add(1, 60);
    stream.gaps.Add(61, 70);
    stream.rows = 60;
    stream.primary_rows = 50;
    input_.streams = {stream};
    SiteStatus status;
    status.counter = 3;
    status.counters = {.scored = 100,
                       .withheld = 5,
                       .not_selected = 6,
                       .shed = 7,
                       .recalled = 1,
                       .not_captured = 2};
    status.pending = {Pending(51, 60, 9), Pending(61, 70, 4), Pending(71, 100, 26)};
    status.unsealed_primary_rows = 3;
    input_.status = status;
  }
  PendingSegment Pending(std::uint64_t first, std::uint64_t last, std::uint64_t primary) const {
    return {.epoch = epoch_,
            .cls = RecordClass::kSample,
            .first_seq = first,
            .last_seq = last,
            .primary_rows = primary};
  }
  Reconciliation Run() {
    auto result = Reconcile(input_);
    EXPECT_TRUE(result);
    return *result;
  }

  InstanceId epoch_ = InstanceId::Random();
  ReconciliationInput input_;
};

TEST_F(ReconciliationTest, PendingLeavesOutWhatIsHereOrAcceptedAsAGap) {
  const Reconciliation sum = Run();
  EXPECT_EQ(sum.pending, 26U + 3U);
  EXPECT_EQ(sum.received, 50U);
  EXPECT_TRUE(sum.balanced()) << sum.difference;
  EXPECT_EQ(sum.unexplained_gaps, 0U);
}

TEST_F(ReconciliationTest, ADifferenceIsShownWithItsSign) {
  input_.status->counters.scored = 103;
  EXPECT_EQ(Run().difference, 3);
  EXPECT_FALSE(Run().balanced());
  input_.status->counters.scored = 98;
  EXPECT_EQ(Run().difference, -2);
}

TEST_F(ReconciliationTest, WhatThisHubLostIsATermOfItsOwn) {
  input_.streams[0].lost_primary_rows = 4;
  input_.status->counters.scored = 104;
  const Reconciliation sum = Run();
  EXPECT_EQ(sum.lost, 4U);
  EXPECT_TRUE(sum.balanced()) << sum.difference;
}

TEST_F(ReconciliationTest, SeqsOfWhichNobodySpeaksAreUnexplained) {
  input_.status->pending.pop_back();
  EXPECT_EQ(Run().unexplained_gaps, 30U);
}

TEST_F(ReconciliationTest, PartOfAPendingSegmentIsAskedFor) {
  input_.status->pending = {Pending(51, 100, 45)};
  input_.held_primary_rows = [](const StreamKey&, std::uint64_t first, std::uint64_t last) {
    EXPECT_EQ(first, 51U);
    EXPECT_EQ(last, 100U);
    return Result<std::uint64_t>(9);
  };
  EXPECT_EQ(Run().pending, 36U + 3U);
}

TEST_F(ReconciliationTest, WithoutAStatusNothingIsGuessed) {
  input_.status.reset();
  const Reconciliation sum = Run();
  EXPECT_EQ(sum.scored, 0U);
  EXPECT_EQ(sum.difference, -50);
  EXPECT_TRUE(sum.ToJson()["status_age_s"].is_null());
}

TEST_F(ReconciliationTest, QuarantinedIsATermOfItsOwn) {
  input_.streams[0].primary_rows = 45;
  input_.streams[0].quarantined_primary_rows = 5;
  const Json json = Run().ToJson();
  EXPECT_EQ(json["terms"]["quarantined"], 5);
  EXPECT_EQ(json["balanced"], true);
}

}  // namespace
}  // namespace skerry
