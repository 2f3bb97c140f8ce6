#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

class RecallTest : public OutboxTest {
 protected:
  // scored = received + withheld + not selected + shed + recalled + not captured + pending.
  void ExpectEquation() {
    const OutboxFacts facts = Facts();
    const Counters& counters = facts.counters;
    EXPECT_EQ(counters.scored, facts.receipted_primary_rows + counters.withheld +
                                   counters.not_selected + counters.shed + counters.recalled +
                                   counters.not_captured + facts.unsealed_primary_rows +
                                   facts.sealed_primary_rows + facts.damaged_primary_rows);
  }
  std::shared_ptr<const CompiledPolicy> Wide() { return SampleAll(); }
  std::shared_ptr<const CompiledPolicy> Narrow() {
    return Policy(
        "skerry: policy/1\nname: all\nversion: 2\nfields: {type: keep}\n"
        "classes: {sample: {rate: 1}}\n");
  }
  std::uint64_t RecallWide() {
    const auto recalled =
        outbox_->Recall([wide = Wide()->digest()->ToString()](
                            const std::string& policy, RecordClass) { return policy == wide; });
    EXPECT_TRUE(recalled) << recalled.error().ToString();
    return recalled.value_or(0);
  }
};

TEST_F(RecallTest, UnsealedSealedAndOfferedRangesBecomeSignedGaps) {
  ASSERT_TRUE(Put(Rows(10), Wide()));  // 1-10 offered
  ASSERT_TRUE(outbox_->SealNow());
  ASSERT_EQ(Pending().size(), 1U);
  ASSERT_TRUE(Put(Rows(10), Wide()));  // 11-20 sealed
  ASSERT_TRUE(outbox_->SealNow());
  ASSERT_TRUE(Put(Rows(10), Wide()));    // 21-30 unsealed
  ASSERT_TRUE(Put(Rows(10), Narrow()));  // 31-40 stay
  EXPECT_EQ(RecallWide(), 30U);
  EXPECT_EQ(SegmentFiles(), 0U);
  EXPECT_EQ(Facts().counters.recalled, 30U);
  ExpectEquation();
  for (const std::uint64_t n : {1U, 15U, 30U}) EXPECT_EQ(Fate(n).place, RowPlace::kRecalled) << n;
  EXPECT_EQ(Fate(31).place, RowPlace::kUnsealed);
  ASSERT_TRUE(outbox_->SealNow());

  std::vector<GapEntry> gaps;
  for (const Shipment& shipment : Pending())
    gaps.insert(gaps.end(), shipment.statement.gaps.begin(), shipment.statement.gaps.end());
  ASSERT_EQ(gaps.size(), 2U);  // the one that was offered stands alone
  EXPECT_EQ(gaps[0].reason, kGapPolicy);
  EXPECT_EQ(gaps[0].first_seq, 1U);
  EXPECT_EQ(gaps[0].last_seq, 10U);
  EXPECT_EQ(gaps[1].first_seq, 11U);
  EXPECT_EQ(gaps[1].last_seq, 30U);
  EXPECT_EQ(gaps[1].primary_rows, 20U);
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  EXPECT_TRUE(Pending().empty());
  EXPECT_EQ(Facts().receipted_primary_rows, 10U);
  EXPECT_EQ(Facts().counters.recalled, 30U);
  ExpectEquation();
  ExpectSound();
}

TEST_F(RecallTest, WhatTheHubHadReceivedIsReceivedAfterAll) {
  ASSERT_TRUE(Put(Rows(10), Wide()));
  ASSERT_TRUE(outbox_->SealNow());
  HubTakes(Pending().front());  // its receipt is under way
  ASSERT_TRUE(Put(Rows(5), Wide()));
  EXPECT_EQ(RecallWide(), 15U);
  ExpectEquation();
  Apply(HubReceipt());
  EXPECT_EQ(Facts().counters.recalled, 5U);
  EXPECT_EQ(Facts().receipted_primary_rows, 10U);
  EXPECT_EQ(Fate(3).place, RowPlace::kReceived);
  EXPECT_EQ(Fate(12).place, RowPlace::kRecalled);
  ExpectEquation();
  ExpectSound();
}

TEST_F(RecallTest, RowsThatWereOnTheirWayAreRecalledBeforeTheirStatement) {
  EXPECT_EQ(RecallWide(), 0U);
  ASSERT_TRUE(Put(Rows(10), Wide()));
  const std::vector<Shipment> pending = Pending();
  ASSERT_EQ(pending.size(), 1U);
  EXPECT_TRUE(pending[0].segments.empty());
  ASSERT_EQ(pending[0].statement.gaps.size(), 1U);
  EXPECT_EQ(pending[0].statement.gaps[0].reason, kGapPolicy);
  ExpectEquation();
  Reopen();
  EXPECT_EQ(Facts().counters.recalled, 10U);
  ExpectEquation();
  ExpectSound();
}

}  // namespace
}  // namespace skerry
