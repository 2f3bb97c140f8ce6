// What scorers hand over is committed once, whatever comes again, and what they lost is counted
// once.
#include "outbox/hand_over.h"

#include "outbox/tests/outbox_fixture.h"
#include "storage/sqlite.h"

namespace skerry {
namespace {

class HandOverTest : public OutboxTest {
 protected:
  using Batches = std::vector<std::shared_ptr<const RowBatch>>;

  Result<HandOverFate> Hand(std::uint64_t number, Batches batches, std::uint64_t lost_rows = 0,
                            HandOver::Kind kind = HandOver::Kind::kRows) {
    return HandAs(instance_, number, std::move(batches), lost_rows, kind);
  }
  Result<HandOverFate> HandAs(const InstanceId& scorer, std::uint64_t number, Batches batches,
                              std::uint64_t lost_rows = 0,
                              HandOver::Kind kind = HandOver::Kind::kRows) {
    const auto done = std::make_shared<std::promise<Result<HandOverFate>>>();
    outbox_->SubmitHandOver({scorer, number, kind, lost_rows}, std::move(batches), policy_,
                            [done](const Result<HandOverFate>& fate) { done->set_value(fate); });
    return done->get_future().get();
  }

  std::shared_ptr<const CompiledPolicy> policy_ = SampleAll();
};

TEST_F(HandOverTest, ARepeatIsToldFromNewsAlsoAfterARestart) {
  const Batches rows = {Rows(3), Rows(2)};
  const auto first = Hand(1, rows);
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_TRUE(first->kept && !first->repeated);
  for (int restart = 0; restart < 2; ++restart) {
    const auto again = Hand(1, rows);
    ASSERT_TRUE(again);
    EXPECT_TRUE(again->kept && again->repeated && !again->stale);
    EXPECT_EQ(Facts().counters.scored, 5U);
    Reopen();
  }
  EXPECT_EQ(Fate(5).place, RowPlace::kSealed) << "as what every process before has left";
  EXPECT_TRUE(Hand(2, {Rows(1)})->kept);
  EXPECT_TRUE(Hand(1, rows)->stale);
  EXPECT_EQ(Facts().counters.scored, 6U);
  ExpectSound();
}

TEST_F(HandOverTest, WhatIsAbandonedIsNotTakenAnyMore) {
  const Batches rows = {Rows(4)};
  const auto lost = HandOver::Kind::kAbandoned;
  EXPECT_FALSE(Hand(1, {}, 0, lost)->kept);
  EXPECT_FALSE(Hand(1, rows)->kept);  // was on its way
  EXPECT_FALSE(outbox_->LookupRow({instance_, 1})->has_value());
  EXPECT_TRUE(Hand(2, rows)->kept);
  const auto asked = Hand(2, {}, 0, lost);
  EXPECT_TRUE(asked->kept && asked->repeated);
  EXPECT_EQ(Facts().counters.scored, 4U);
  ExpectSound();
}

TEST_F(HandOverTest, LostRowsAreCountedOnceAndSoThatTheNumbersAddUp) {
  EXPECT_TRUE(Hand(1, {Rows(2)}, 7)->kept);
  EXPECT_TRUE(Hand(1, {}, 7)->repeated);
  EXPECT_TRUE(Hand(2, {}, 9)->kept);
  const InstanceId other = InstanceId::Random();
  EXPECT_TRUE(HandAs(other, 1, {}, 5)->kept);
  Reopen();
  EXPECT_TRUE(Hand(3, {}, 9)->kept);
  const Counters counters = Facts().counters;
  EXPECT_EQ(counters.not_captured, 14U);
  EXPECT_EQ(counters.scored, 16U);
  ExpectSound();
}

TEST_F(HandOverTest, AFailedCommitCountsNothingAndMayBeTriedAgain) {
  {
    auto other = *Database::Open(directory_.path() / "outbox-000001.db");
    ASSERT_TRUE(
        other->Execute("CREATE TRIGGER no BEFORE INSERT ON scorers WHEN NEW.number = 1 AND "
                       "NEW.kept = 1 BEGIN SELECT RAISE(ABORT, 'no'); END"));
  }
  EXPECT_FALSE(Hand(1, {Rows(6)}));
  EXPECT_EQ(Facts().counters.not_captured, 0U);
  EXPECT_FALSE(Hand(1, {}, 0, HandOver::Kind::kAbandoned)->kept);
  EXPECT_TRUE(Hand(2, {Rows(6)})->kept);
  EXPECT_EQ(Facts().counters.scored, 6U);
  ExpectSound();
}

TEST_F(HandOverTest, ScorersAreForgottenInTheOrderInWhichTheyWereHeardOf) {
  std::vector<InstanceId> scorers;
  for (std::size_t i = 0; i < limits::kScorersRemembered + 2; ++i)
    scorers.push_back(InstanceId::Random());
  std::vector<std::future<bool>> done;
  for (const InstanceId& scorer : scorers) {
    auto kept = std::make_shared<std::promise<bool>>();
    done.push_back(kept->get_future());
    outbox_->SubmitHandOver(
        {scorer, 1, HandOver::Kind::kRows, 0}, {}, policy_,
        [kept](const Result<HandOverFate>& fate) { kept->set_value(fate && fate->kept); });
  }
  for (std::future<bool>& kept : done) EXPECT_TRUE(kept.get());
  EXPECT_TRUE(HandAs(scorers.back(), 1, {})->repeated);
}

}  // namespace
}  // namespace skerry
