#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "base/delta_limits.h"
#include "codec/patch.h"
#include "codec/tests/noise.h"
#include "http/client.h"
#include "oci/delta_artifact.h"
#include "oci/media_types.h"
#include "storage/file.h"
#include "sync/deployer.h"
#include "sync/tests/site_fixture.h"
#include "sync/tuf_artifact.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kNotesBytes = 300'000;

// A site that runs milling:1 and is to run milling:2, whose largest layer differs a little.
class DeltaTest : public SiteFixture {
 protected:
  DeltaTest() {
    OpenSite();
    JoinDirectly(hub_);
    old_notes_ = Noise(kNotesBytes, 1);
    new_notes_ = Noise(2'000, 2) + old_notes_ + "the end";
    first_ = PublishWithNotes("one", "1", 60, old_notes_);
    Follow(1, first_);
  }

  ModelRef PublishWithNotes(const std::string& directory, const std::string& version, float split,
                            const std::string& notes) {
    const std::filesystem::path package = MakePackage(directory, split);
    std::ofstream(package / "notes.md", std::ios::binary) << notes;
    return hub_.Publish(package, "milling", version);
  }

  std::vector<DeployOutcome> Follow(std::uint64_t version, const ModelRef& active) {
    DesiredState state;
    state.version = version;
    state.active = active;
    ArtifactTufSource tuf = ArtifactTufSource::Make(hub_.SetDesired(std::move(state))).value();
    identity_->FollowDesired(tuf).value();
    RegistrySource source(client_, Path("site/sync/incoming"), progress_,
                          [this](const Digest& target, const std::vector<Digest>& holds) {
                            asked_with_ = holds;
                            return delta_ ? delta_(target) : std::nullopt;
                          });
    return deployer_->Reconcile(source);
  }

  // What the hub answers from now on: this patch for the notes, made of those in `base`.
  void OfferPatch(const std::string& patch, const std::string& base) {
    delta_ = [this, patch, base](const Digest& target) -> std::optional<std::string> {
      const Artifact delta =
          MakeDelta(
              target, first_.digest,
              {{.layer = Digest::Sha256(new_notes_), .base = Digest::Sha256(base), .bytes = patch}},
              "2026-01-01T00:00:00Z")
              .value();
      Must(hub_.registry().PutArtifact(kDeltaRepository, "test", delta));
      return delta.manifest_bytes;
    };
  }

  std::filesystem::path FileOf(const ModelRef& model, const std::string& name) const {
    return Path("site/packages") /
           fmt::format("{}-{}", model.digest.algorithm(), model.digest.hex()) / name;
  }
  std::string NotesOf(const ModelRef& model) const {
    return ReadFile(FileOf(model, "notes.md"), 2 * kNotesBytes).value();
  }

  TestHub hub_{Path("hub"), TestHub::Transport::kPlain, clock_};
  HttpClient http_{HttpClientOptions{}};
  RegistryClient client_{hub_.url(), http_, 4'096};
  TransferProgress progress_;
  std::function<std::optional<std::string>(const Digest&)> delta_;
  std::vector<Digest> asked_with_;
  std::string old_notes_, new_notes_;
  ModelRef first_;
};

TEST_F(DeltaTest, PatchMakesTheSameLayerOfFewerBytes) {
  const std::string patch = MakePatch(old_notes_, new_notes_).value();
  OfferPatch(patch, old_notes_);
  const LayerTraffic before = deployer_->facts().layers;
  const ModelRef second = PublishWithNotes("two", "2", 50, new_notes_);
  const auto outcomes = Follow(2, second);
  ASSERT_EQ(outcomes[0].result, DeployResult::kApplied) << outcomes[0].reason;
  EXPECT_THAT(outcomes[0].reason, HasSubstr(fmt::format("by patches of {}", patch.size())));
  EXPECT_THAT(asked_with_, ElementsAre(first_.digest));
  EXPECT_THAT(target_.models, ElementsAre(first_, second));
  EXPECT_EQ(NotesOf(second), new_notes_);
  const LayerTraffic after = deployer_->facts().layers;
  EXPECT_EQ(after.patch_bytes, patch.size());
  EXPECT_EQ(after.patched_bytes, new_notes_.size());
  EXPECT_LT(after.whole_bytes - before.whole_bytes, 20'000U) << "model, config, and no more";
  EXPECT_GT(after.held_bytes, 0U) << "the schema is the same";
  EXPECT_EQ(after.refused_patches, 0U);
  EXPECT_THAT(deployer_->facts().packages, ElementsAre(second.digest));
}

TEST_F(DeltaTest, SameLayersAgainCostNothing) {
  const LayerTraffic before = deployer_->facts().layers;
  const ModelRef again = PublishWithNotes("again", "2", 60, old_notes_);
  ASSERT_EQ(Follow(2, again)[0].result, DeployResult::kApplied);
  const LayerTraffic after = deployer_->facts().layers;
  EXPECT_LT(after.whole_bytes - before.whole_bytes, 2'000U) << "the config alone";
  EXPECT_GT(after.held_bytes, kNotesBytes);
  EXPECT_THAT(asked_with_, IsEmpty()) << "nothing to ask for";
}

TEST_F(DeltaTest, WrongPatchIsRefusedWithAReasonAndTheLayerComesWhole) {
  const std::string good = MakePatch(old_notes_, new_notes_).value();
  std::string flipped = good;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
  struct Wrong {
    std::string patch, base, reason;
  };
  const std::vector<Wrong> all = {
      {good.substr(0, good.size() / 2), old_notes_, "cut"},
      {flipped, old_notes_, "patch"},
      {good + "more", old_notes_, "behind its end"},
      {MakePatch("", std::string(limits::kDeltaLayerBytes, '\0')).value(), old_notes_, "more than"},
      {MakePatch(old_notes_, old_notes_).value(), old_notes_, "instead of"},
      {MakePatch(old_notes_, Noise(new_notes_.size(), 5)).value().substr(0, kNotesBytes),
       old_notes_, "cut"},
      {MakePatch(Noise(kNotesBytes, 6), new_notes_).value().substr(0, 200'000), old_notes_, ""},
      {MakePatch("nothing here", "few").value(), "nothing here", "is not here"},
      {Noise(new_notes_.size() + 1, 7), old_notes_, "the patch has"},
  };
  std::uint64_t version = 2;
  for (const Wrong& wrong : all) {
    OfferPatch(wrong.patch, wrong.base);
    const std::string name = std::to_string(version);
    // Only the notes can be patched: the others stay.
    const ModelRef next = PublishWithNotes("p" + name, name, 60, new_notes_);
    const std::uint64_t refused = deployer_->facts().layers.refused_patches;
    const std::uint64_t whole = deployer_->facts().layers.whole_bytes;
    ASSERT_EQ(Follow(version, next)[0].result, DeployResult::kApplied) << wrong.reason;
    EXPECT_EQ(NotesOf(next), new_notes_);
    EXPECT_EQ(deployer_->facts().layers.refused_patches, refused + 1) << wrong.reason;
    EXPECT_THAT(deployer_->facts().layers.refusal, HasSubstr(wrong.reason));
    EXPECT_GE(deployer_->facts().layers.whole_bytes, whole + new_notes_.size());
    // Back to the notes that the patches are made of, by a package without any.
    delta_ = nullptr;
    const std::string back = std::to_string(version + 1);
    first_ = PublishWithNotes("b" + back, back, 60, old_notes_);
    ASSERT_EQ(Follow(version + 1, first_)[0].result, DeployResult::kApplied);
    version += 2;
  }
}

TEST_F(DeltaTest, AnswerThatIsNoDeltaIsIgnored) {
  std::uint64_t version = 2;
  for (const std::string answer : {"", "{}", "<html>", "{\"schemaVersion\":2}"}) {
    delta_ = [&](const Digest&) { return std::optional(answer); };
    const std::string name = std::to_string(version);
    const ModelRef next = PublishWithNotes("n" + name, name, 60, new_notes_ + name);
    ASSERT_EQ(Follow(version, next)[0].result, DeployResult::kApplied);
    EXPECT_EQ(NotesOf(next), new_notes_ + name);
    ++version;
  }
  EXPECT_EQ(deployer_->facts().layers.patch_bytes, 0U);
}

TEST_F(DeltaTest, DamagedBaseCostsNothingAndTheLayerComesWhole) {
  OfferPatch(MakePatch(old_notes_, new_notes_).value(), old_notes_);
  std::ofstream(FileOf(first_, "notes.md"), std::ios::app) << "rot";
  const ModelRef second = PublishWithNotes("two", "2", 60, new_notes_);
  const std::uint64_t requests = hub_.requests();
  ASSERT_EQ(Follow(2, second)[0].result, DeployResult::kApplied);
  EXPECT_EQ(NotesOf(second), new_notes_);
  const LayerTraffic traffic = deployer_->facts().layers;
  EXPECT_EQ(traffic.patch_bytes, 0U);
  EXPECT_EQ(traffic.refused_patches, 1U);
  EXPECT_THAT(traffic.refusal, HasSubstr(Digest::Sha256(old_notes_).ToString()));
  EXPECT_EQ(hub_.requests() - requests, 6U)
      << "manifest, referrers, the signature's manifest and layer, config, notes: no patch";
}

TEST_F(DeltaTest, DamagedPackageIsNotToldOfAsABaseAndIsFetchedAnew) {
  std::ofstream(FileOf(first_, "notes.md"), std::ios::trunc) << "gone";
  EXPECT_EQ(deployer_->CheckHeld([](std::size_t) { return true; }), 1U);
  EXPECT_THAT(deployer_->facts().packages, IsEmpty());
  DesiredState state;
  state.version = 2;
  state.active = PublishWithNotes("two", "2", 60, new_notes_);
  state.fallback = first_;
  ArtifactTufSource tuf = ArtifactTufSource::Make(hub_.SetDesired(state)).value();
  identity_->FollowDesired(tuf).value();
  OfferPatch(MakePatch(old_notes_, new_notes_).value(), old_notes_);
  std::vector<Digest> told;
  RegistrySource source(client_, Path("site/sync/incoming"), {},
                        [&](const Digest& target, const std::vector<Digest>& holds) {
                          told.insert(told.end(), holds.begin(), holds.end());
                          return delta_(target);
                        });
  deployer_->Reconcile(source);
  EXPECT_THAT(told, testing::Not(testing::Contains(first_.digest)));
  EXPECT_EQ(NotesOf(first_), old_notes_);
  EXPECT_THAT(deployer_->facts().packages,
              testing::UnorderedElementsAre(state.active.digest, first_.digest));
}

TEST_F(DeltaTest, CutPatchGoesOnAtTheByte) {
  new_notes_ = Noise(kNotesBytes / 2, 3) + old_notes_;
  OfferPatch(MakePatch(old_notes_, new_notes_).value(), old_notes_);
  const ModelRef second = PublishWithNotes("two", "2", 60, new_notes_);
  bool cut = false;
  progress_ = [&](std::uint64_t done, std::uint64_t all) -> Status {
    if (all < 100'000 || cut || done < 50'000) return {};
    cut = true;
    return Fail(ErrorCode::kUnavailable, "the link is cut");
  };
  EXPECT_EQ(Follow(2, second)[0].result, DeployResult::kNotHere);
  EXPECT_TRUE(cut);
  EXPECT_EQ(deployer_->facts().layers.refused_patches, 0U) << "a cut says nothing of a patch";
  std::uint64_t least = kNotesBytes;
  progress_ = [&](std::uint64_t done, std::uint64_t all) -> Status {
    if (all > 100'000) least = std::min(least, done);
    return {};
  };
  CloseSite();  // also over a restart
  OpenSite();
  ASSERT_EQ(Follow(2, second)[0].result, DeployResult::kApplied);
  EXPECT_GT(least, 50'000U) << "what had come was not fetched again";
  EXPECT_EQ(NotesOf(second), new_notes_);
}

TEST_F(DeltaTest, NothingIsToldOfPackagesWherePolicyKeepsThat) {
  OfferPatch(MakePatch(old_notes_, new_notes_).value(), old_notes_);
  target_.may_tell = false;
  const ModelRef second = PublishWithNotes("two", "2", 60, new_notes_);
  ASSERT_EQ(Follow(2, second)[0].result, DeployResult::kApplied);
  EXPECT_THAT(asked_with_, IsEmpty());
}

TEST_F(DeltaTest, LeftoversOfAPowerCutAreRemoved) {
  CloseSite();
  std::filesystem::create_directories(Path("site/sync") / ".layers-0123/deep");
  OpenSite();
  EXPECT_FALSE(std::filesystem::exists(Path("site/sync") / ".layers-0123"));
}

}  // namespace
}  // namespace skerry
