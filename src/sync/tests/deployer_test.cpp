#include "sync/deployer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "base/limits.h"
#include "http/client.h"
#include "sync/package_check.h"
#include "sync/tests/site_fixture.h"
#include "sync/tuf_artifact.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DeployerTest : public SiteFixture {
 protected:
  DeployerTest() {
    OpenSite();
    JoinDirectly(hub_);
    first_ = hub_.Publish(MakePackage("one", 60), "milling", "1");
    second_ = hub_.Publish(MakePackage("two", 50), "milling", "2");
  }

  std::vector<DeployOutcome> Follow(DesiredState state) {
    ArtifactTufSource tuf = ArtifactTufSource::Make(hub_.SetDesired(std::move(state))).value();
    identity_->FollowDesired(tuf).value();
    return deployer_->Reconcile(source_);
  }

  DesiredState State(std::uint64_t version, const ModelRef& active) {
    DesiredState state;
    state.version = version;
    state.active = active;
    return state;
  }

  TestHub hub_{Path("hub"), TestHub::Transport::kPlain, clock_};
  HttpClient http_{HttpClientOptions{}};
  RegistryClient client_{hub_.url(), http_};
  RegistrySource source_{client_, Path("site/sync/incoming"), {}};
  ModelRef first_;
  ModelRef second_;
};

TEST_F(DeployerTest, FetchesChecksAndActivatesWhatTheDesiredStateNames) {
  DesiredState state = State(1, first_);
  state.policy = hub_.PublishPolicy("milling", "1", OpenPolicyYaml());
  const auto outcomes = Follow(state);
  ASSERT_EQ(outcomes.size(), 2U);
  for (const DeployOutcome& outcome : outcomes)
    EXPECT_EQ(outcome.result, DeployResult::kApplied) << outcome.what << ": " << outcome.reason;
  EXPECT_THAT(target_.models, ElementsAre(first_));
  EXPECT_THAT(target_.policies, ElementsAre(state.policy));
  EXPECT_THAT(deployer_->facts().alarms, IsEmpty());
  for (const DeployOutcome& outcome : deployer_->Reconcile(source_))
    EXPECT_EQ(outcome.result, DeployResult::kHeld) << outcome.what;
  EXPECT_EQ(target_.models.size(), 1U) << "what runs is not loaded again";
}

TEST_F(DeployerTest, RestoresFromTheDiskWithoutAnySource) {
  DesiredState state = State(1, first_);
  state.policy = hub_.PublishPolicy("milling", "1", OpenPolicyYaml());
  Follow(state);
  CloseSite();
  target_ = RecordingTarget();
  OpenSite();
  EXPECT_THAT(target_.models, ElementsAre(first_));
  EXPECT_THAT(target_.policies, ElementsAre(state.policy));
}

TEST_F(DeployerTest, UnsignedPackageIsRefusedAndTheOldOneGoesOn) {
  Follow(State(1, first_));
  const ModelRef unsigned_ref =
      hub_.Publish(MakePackage("three", 40), "milling", "3", TestHub::Signing::kUnsigned);
  const auto outcomes = Follow(State(2, unsigned_ref));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].result, DeployResult::kRefused);
  EXPECT_THAT(outcomes[0].reason, HasSubstr("signature"));
  EXPECT_THAT(target_.models, ElementsAre(first_));
  EXPECT_THAT(deployer_->facts().alarms, testing::Contains(HasSubstr("signature check")));
}

TEST_F(DeployerTest, SignatureThatComesLaterIsFoundAfterAWhile) {
  const ModelRef ref =
      hub_.Publish(MakePackage("three", 40), "milling", "3", TestHub::Signing::kUnsigned);
  Follow(State(1, ref));
  hub_.Publish(Path("three"), "milling", "3");
  EXPECT_EQ(deployer_->Reconcile(source_)[0].result, DeployResult::kRefused)
      << "not asked for again at once";
  clock_.Advance(std::chrono::microseconds(limits::kRefusedRetry).count());
  EXPECT_EQ(deployer_->Reconcile(source_)[0].result, DeployResult::kApplied);
  EXPECT_THAT(deployer_->facts().alarms, IsEmpty());
}

TEST_F(DeployerTest, PackageSignedByAnotherKeyIsRefused) {
  const ModelRef ref =
      hub_.Publish(MakePackage("three", 40), "milling", "3", TestHub::Signing::kByAnotherKey);
  EXPECT_EQ(Follow(State(1, ref))[0].result, DeployResult::kRefused);
  EXPECT_THAT(target_.models, IsEmpty());
}

TEST_F(DeployerTest, OlderPackageIsRefusedUnlessItIsTheNamedFallback) {
  Follow(State(1, second_));
  EXPECT_EQ(Follow(State(2, first_))[0].result, DeployResult::kRefused);
  EXPECT_THAT(target_.models, ElementsAre(second_));
  DesiredState back = State(3, first_);
  back.fallback = first_;
  EXPECT_EQ(Follow(back)[0].result, DeployResult::kApplied);
  EXPECT_THAT(target_.models, ElementsAre(second_, first_));
}

TEST_F(DeployerTest, PackageThatKillsItsReaderIsSetAsideAndNotFetchedAgain) {
  Follow(State(1, first_));
  const std::filesystem::path directory = MakePackage("crash", 30);
  std::ofstream(directory / "crash.md") << "the test's child dies of this";
  const ModelRef crashing = hub_.Publish(directory, "milling", "3");
  const auto outcomes = Follow(State(2, crashing));
  EXPECT_EQ(outcomes[0].result, DeployResult::kRefused);
  EXPECT_THAT(outcomes[0].reason, HasSubstr("smoke run"));
  EXPECT_THAT(target_.models, ElementsAre(first_));

  CloseSite();  // also after a restart it stays aside, and the old one comes back
  target_ = RecordingTarget();
  OpenSite();
  EXPECT_THAT(target_.models, ElementsAre(first_));
  const auto again = deployer_->Reconcile(source_);
  EXPECT_EQ(again[0].result, DeployResult::kRefused);
  EXPECT_THAT(again[0].reason, HasSubstr("smoke run"));
  EXPECT_TRUE(identity_->CheckFloor(second_, State(2, second_))) << "it raised no floor";
}

TEST_F(DeployerTest, FallbackRunsWhenTheActivePackageCannotBeUsedAndNothingElseRuns) {
  const ModelRef bad =
      hub_.Publish(MakePackage("three", 40), "milling", "3", TestHub::Signing::kByAnotherKey);
  DesiredState state = State(1, bad);
  state.fallback = first_;
  Follow(state);
  EXPECT_THAT(target_.models, ElementsAre(first_));
  EXPECT_THAT(deployer_->facts().alarms, testing::Contains(HasSubstr("is in use")));
}

TEST_F(DeployerTest, FallbackIsFetchedBesideTheActiveOneAndUsedWhenThatIsDamagedOnDisk) {
  DesiredState state = State(1, second_);
  state.fallback = first_;
  Follow(state);
  CloseSite();
  const std::filesystem::path model =
      Path("site") / "packages" /
      fmt::format("{}-{}", second_.digest.algorithm(), second_.digest.hex()) / "model.onnx";
  std::ofstream(model, std::ios::app) << "rot";
  target_ = RecordingTarget();
  OpenSite();
  EXPECT_THAT(target_.models, ElementsAre(first_));
  EXPECT_EQ(deployer_->Reconcile(source_)[0].result, DeployResult::kApplied)
      << "the damaged one is fetched anew";
  EXPECT_THAT(target_.models, ElementsAre(first_, second_));
}

TEST_F(DeployerTest, WhatRotsOnTheDiskIsFoundBeforeItIsNeededAndFetchedAnew) {
  DesiredState state = State(1, second_);
  state.fallback = first_;
  Follow(state);
  const ReadPace at_once = [](std::size_t) { return true; };
  EXPECT_EQ(deployer_->CheckHeld(at_once), 0U);
  for (const auto& [ref, file] :
       {std::pair(first_, "model.onnx"), std::pair(second_, "schema.json")}) {
    const std::filesystem::path path =
        Path("site") / "packages" / fmt::format("{}-{}", ref.digest.algorithm(), ref.digest.hex()) /
        file;
    const std::string whole = Must(ReadFile(path, 1U << 20U));
    std::string rotten = whole;
    rotten[rotten.size() / 2] = static_cast<char>(rotten[rotten.size() / 2] ^ 1);
    std::ofstream(path) << rotten;
    EXPECT_EQ(deployer_->CheckHeld([](std::size_t) { return false; }), 0U) << "it was stopped";
    EXPECT_EQ(deployer_->CheckHeld(at_once), 1U);
    EXPECT_EQ(deployer_->CheckHeld(at_once), 0U) << "it is known";
    EXPECT_THAT(deployer_->facts().alarms,
                ElementsAre(testing::AllOf(HasSubstr(ref.ToString()), HasSubstr(file),
                                           HasSubstr("damaged"))));
    EXPECT_THAT(deployer_->facts().packages, testing::Not(testing::Contains(ref.digest)));
    const auto outcomes = deployer_->Reconcile(source_);
    const DeployOutcome& again = outcomes[ref == second_ ? 0 : 1];
    EXPECT_EQ(again.result, DeployResult::kApplied) << again.reason;
    EXPECT_THAT(again.reason, HasSubstr("were here"))
        << "the files that are whole come from the disk";
    EXPECT_EQ(Must(ReadFile(path, 1U << 20U)), whole);
    EXPECT_THAT(deployer_->facts().alarms, IsEmpty());
    EXPECT_EQ(deployer_->CheckHeld(at_once), 0U);
  }
  EXPECT_THAT(target_.models, ElementsAre(second_)) << "what runs goes on";
}

TEST_F(DeployerTest, TheCheckRunsByItselfAtItsPaceAndEndsAtOnce) {
  Follow(State(1, first_));
  std::ofstream(Path("site/packages") /
                    fmt::format("{}-{}", first_.digest.algorithm(), first_.digest.hex()) /
                    "model.onnx",
                std::ios::app)
      << "rot";
  std::promise<void> found;
  PackageCheck check(*deployer_,
                     {.delay = std::chrono::milliseconds(1), .interval = std::chrono::hours(1)},
                     [&] { found.set_value(); });
  check.Start();
  EXPECT_EQ(found.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  PackageCheck slow(*deployer_, {.delay = std::chrono::milliseconds(0), .bytes_per_second = 1}, {});
  slow.Start();
  slow.Stop();  // within hours else
}

TEST_F(DeployerTest, PackagesThatNoDesiredStateNamesAreRemoved) {
  Follow(State(1, first_));
  Follow(State(2, second_));
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(Path("site/packages")))
    if (entry.is_directory()) names.push_back(entry.path().filename());
  EXPECT_THAT(names, ElementsAre(HasSubstr(std::string(second_.digest.hex()))));
}

TEST_F(DeployerTest, ExpiredDesiredStateIsFollowedWithAnAlarm) {
  ArtifactTufSource tuf = ArtifactTufSource::Make(hub_.SetDesired(State(1, first_))).value();
  clock_.Advance(100 * kDayMicros);
  identity_->FollowDesired(tuf).value();
  EXPECT_EQ(deployer_->Reconcile(source_)[0].result, DeployResult::kApplied);
  EXPECT_THAT(deployer_->facts().alarms, testing::Contains(HasSubstr("expired")));
}

TEST_F(DeployerTest, WithdrawnPolicyLetsNothingLeave) {
  DesiredState state = State(1, first_);
  state.policy = hub_.PublishPolicy("milling", "1", OpenPolicyYaml());
  Follow(state);
  Follow(State(2, first_));
  EXPECT_THAT(target_.policies, ElementsAre(state.policy, std::nullopt));
}

TEST_F(DeployerTest, RefusedPolicyLeavesTheOneInForce) {
  DesiredState state = State(1, first_);
  state.policy = hub_.PublishPolicy("milling", "1", OpenPolicyYaml());
  Follow(state);
  DesiredState next = State(2, first_);
  next.policy = hub_.PublishPolicy("milling", "2", "skerry: policy/1\nnonsense: here\n");
  EXPECT_EQ(Follow(next)[0].result, DeployResult::kRefused);
  EXPECT_THAT(target_.policies, ElementsAre(state.policy));
  EXPECT_EQ(deployer_->facts().policy, state.policy);
}

TEST_F(DeployerTest, PackageThatEndedTheProcessTooOftenIsSetAside) {
  Follow(State(1, first_));
  CloseSite();
  const std::string stem = fmt::format("{}-{}", first_.digest.algorithm(), first_.digest.hex());
  Must(WriteFileDurably(Path("site/packages") / (stem + ".loading"),
                        std::to_string(limits::kLoadAttempts)));
  target_ = RecordingTarget();
  OpenSite();
  EXPECT_THAT(target_.models, IsEmpty());
  EXPECT_THAT(deployer_->facts().alarms, testing::Contains(HasSubstr("process ended")));
}

}  // namespace
}  // namespace skerry
