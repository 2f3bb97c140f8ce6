#include "site/policy_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PolicyDeskTest : public testing::Test {
 protected:
  std::unique_ptr<PolicyDesk> Open(Approval approval, const std::filesystem::path& local = {}) {
    auto desk = PolicyDesk::Open(directory_.path() / "policy", local, approval);
    EXPECT_TRUE(desk) << desk.error().ToString();
    return std::move(*desk);
  }
  static CombinedPolicy Policy(const std::string& version, const std::string& fields) {
    return Combine(
        *PolicyDocument::Parse("skerry: policy/1\nname: p\nversion: \"" + version +
                               "\"\nfields: {" + fields + "}\nclasses: {sample: {rate: 1}}\n"),
        std::nullopt);
  }
  static PolicyRef Ref(const CombinedPolicy& policy) {
    return {policy.hub.name, policy.hub.version, Digest::Sha256("manifest of " + policy.hub.text)};
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::Create("desk");
};

TEST_F(PolicyDeskTest, AWiderPolicyWaitsAcrossRestartsAndADecisionIsForOneTime) {
  const CombinedPolicy narrow = Policy("1", "a: keep");
  const CombinedPolicy wide = Policy("2", "a: keep, b: keep");
  auto desk = Open(Approval::kRequired);
  EXPECT_FALSE(desk->Admit(Ref(narrow), narrow));  // nothing left before
  ASSERT_TRUE(desk->Approve("p:1"));
  ASSERT_TRUE(desk->Admit(Ref(narrow), narrow));
  desk->NoteInForce(&narrow);
  const Status waits = desk->Admit(Ref(wide), wide);
  ASSERT_FALSE(waits);
  EXPECT_EQ(waits.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(waits.error().message(), HasSubstr("waits for approval"));
  desk = Open(Approval::kRequired);
  ASSERT_TRUE(desk->waiting());
  EXPECT_THAT(desk->waiting()->widenings, ElementsAre("b leaves by keep, and did by drop"));
  EXPECT_EQ(desk->Approve("p:1").error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(desk->Refuse("p:2"));
  desk = Open(Approval::kRequired);
  EXPECT_TRUE(desk->waiting()->refused);
  EXPECT_THAT(desk->Admit(Ref(wide), wide).error().message(), HasSubstr("was refused"));
  ASSERT_TRUE(desk->Approve("p:2"));
  ASSERT_TRUE(desk->Admit(Ref(wide), wide));
  desk->NoteInForce(&wide);
  EXPECT_FALSE(desk->waiting());
  ASSERT_TRUE(desk->Admit(Ref(narrow), narrow));
  desk->NoteInForce(&narrow);
  EXPECT_FALSE(desk->Admit(Ref(wide), wide));
  EXPECT_TRUE(Open(Approval::kNone)->Admit(Ref(wide), wide));
}

TEST_F(PolicyDeskTest, WhatWasMadeUnderAPolicyThatIsNotKnownAnyMoreIsWider) {
  const auto desk = Open(Approval::kNone);
  const CombinedPolicy first = Policy("0", "a: hash");
  const CombinedPolicy now = Policy("now", "a: keep");
  const auto wider = [&](const CombinedPolicy& made) {
    return desk->Wider(made.digest.ToString(), RecordClass::kSample, &now);
  };
  EXPECT_TRUE(wider(first));
  desk->NoteInForce(&first);
  EXPECT_FALSE(wider(first));
  EXPECT_TRUE(desk->Wider(first.digest.ToString(), RecordClass::kSample, nullptr));
  // Its file gets an age, so that it is the first to go.
  for (const auto& entry :
       std::filesystem::directory_iterator(directory_.path() / "policy" / "made"))
    std::filesystem::last_write_time(
        entry, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24));
  CombinedPolicy last;
  for (std::size_t i = 1; i <= limits::kPoliciesKept; ++i) {
    last = Policy(std::to_string(i), "a: hash");
    desk->NoteInForce(&last);
  }
  EXPECT_TRUE(wider(first));
  EXPECT_FALSE(wider(last));
  for (const auto& entry :
       std::filesystem::directory_iterator(directory_.path() / "policy" / "made"))
    std::ofstream(entry.path()) << "{}";
  EXPECT_TRUE(wider(last));
}

}  // namespace
}  // namespace skerry
