#include "outbox/decision_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<DecisionEntry> Chain(std::size_t entries) {
  std::vector<DecisionEntry> chain;
  for (std::uint64_t n = 1; n <= entries; ++n) {
    DecisionEntry entry{n, "hold", "type == 'L'", "sha256:00", 10 * n, "", ""};
    if (n > 1) entry.previous = chain.back().hash;
    entry.hash = entry.MakeHash();
    chain.push_back(std::move(entry));
  }
  return chain;
}

// The hash is part of the format (docs/formats/decision-log.md).
TEST(DecisionLog, TheHashIsThatOfTheFormat) {
  EXPECT_EQ(
      Chain(2)[1].hash,
      Digest::Sha256("skerry-decision/1\n1:2\n4:hold\n11:type == 'L'\n9:sha256:00\n2:20\n64:" +
                     Chain(1)[0].hash)
          .hex());
}

TEST(DecisionLog, AnAuditNamesWhatIsMissingAlteredOrThereTwice) {
  const auto findings = [](auto change) {
    std::vector<DecisionEntry> chain = Chain(6);
    change(chain);
    return AuditDecisions(std::move(chain)).findings;
  };
  EXPECT_THAT(findings([](auto&) {}), IsEmpty());
  EXPECT_THAT(findings([](auto& chain) { std::swap(chain[0], chain[5]); }), IsEmpty());
  EXPECT_THAT(findings([](auto& chain) { chain.erase(chain.begin() + 2); }),
              ElementsAre("entry 3 is missing"));
  EXPECT_THAT(findings([](auto& chain) { chain.erase(chain.begin(), chain.begin() + 2); }),
              ElementsAre("entries 1 to 2 are missing"));
  EXPECT_THAT(findings([](auto& chain) { chain.push_back(chain[1]); }),
              ElementsAre("entry 2 is there twice"));
  EXPECT_THAT(findings([](auto& chain) { chain[3].rows = 1; }),
              ElementsAre(HasSubstr("entry 4 was altered")));
  // With a hash made to fit, the next entry tells.
  EXPECT_THAT(findings([](auto& chain) {
                chain[3].rows = 1;
                chain[3].hash = chain[3].MakeHash();
              }),
              ElementsAre(HasSubstr("entry 5 does not follow entry 4")));
}

class DecisionLogTest : public OutboxTest {};

TEST_F(DecisionLogTest, WhatWasWithheldIsLoggedAlsoWhileItDoesNotLeave) {
  const auto silent = Policy(
      "skerry: policy/1\nname: all\nversion: 1\nfields: {type: keep}\n"
      "withhold: [{when: \"type == 'L'\", rule: hold}]\nclasses: {sample: {rate: 1}}\n");
  const auto telling = Policy(
      "skerry: policy/1\nname: all\nversion: 2\nfields: {type: keep}\n"
      "withhold: [{when: \"type == 'L'\", rule: hold}]\nclasses: {decision: {}}\n");
  ASSERT_TRUE(Put(Rows(50), DenyAll()));
  ASSERT_TRUE(Put(Rows(50), silent));
  ASSERT_TRUE(outbox_->SealNow());
  auto audit = AuditSite(directory_.path());
  ASSERT_TRUE(audit) << audit.error().ToString();
  EXPECT_EQ(audit->entries, 2U);
  EXPECT_EQ(audit->rows, Facts().counters.withheld);
  EXPECT_THAT(audit->findings, IsEmpty());
  Reopen();
  ASSERT_TRUE(Put(Rows(50), telling));
  ASSERT_TRUE(outbox_->SealNow());
  std::uint64_t told = 0;
  for (const Shipment& shipment : Pending())
    for (const SegmentEntry& entry : shipment.statement.segments)
      if (entry.cls == RecordClass::kDecision) told += entry.rows;
  EXPECT_EQ(told, 3U);
  audit = AuditSite(directory_.path());
  ASSERT_TRUE(audit) << audit.error().ToString();
  EXPECT_EQ(audit->entries, 3U);
  EXPECT_THAT(audit->findings, IsEmpty());
  ExpectSound();
}

}  // namespace
}  // namespace skerry
