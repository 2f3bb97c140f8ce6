#include "trust/tuf_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/file.h"
#include "trust/certificate_times.h"
#include "trust/tests/made_repository.h"

namespace skerry {
namespace {

class TufRepositoryTest : public testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  // What a site that knows the first root alone, or more, gets of the path.
  std::string Follow(const std::string& path, const std::string& site = "site") {
    TufClient client = *TufClient::Open(Path(site));
    const Status trusted = client.Trust(first_root_);
    if (!trusted) return trusted.error().message();
    if (const Status updated = client.Update(hub_); !updated) return updated.error().message();
    const auto target = client.FindTarget(path, hub_);
    if (!target) return target.error().message();
    return client.FetchTarget(path, *target, hub_).value_or("no target");
  }
  Json Role(const std::string& name) {
    const Json facts = hub_.maker.ToJson();
    for (const Json& role : facts["roles"])
      if (role["role"] == name) return role;
    return {};
  }
  // Signed elsewhere, with keys that the hub has never seen.
  std::string SignedElsewhere(const std::string& draft, const std::vector<PrivateKey>& keys) {
    TufSigned document = *ParseTuf(draft, "root", 1U << 20U);
    for (const PrivateKey& key : keys) EXPECT_TRUE(SignTuf(document, key));
    return document.ToJson();
  }

  std::int64_t now_us_ = 1'750'000'000'000'000;
  TemporaryDirectory directory_ = *TemporaryDirectory::Create("tuf-repository");
  MadeRepository hub_{Path("keys"), now_us_};
  const std::string first_root_ = hub_.maker.root_json();
};

TEST_F(TufRepositoryTest, GoesOnWhereItWasAfterARestart) {
  hub_.Publish("sites/north/desired.json", "one", now_us_);
  hub_.maker = hub_.Reloaded(Path("keys"));
  EXPECT_EQ(hub_.maker.ToJson(), hub_.Reloaded(Path("keys")).ToJson());
  hub_.Publish("sites/south/desired.json", "two", now_us_);
  EXPECT_EQ(Follow("sites/north/desired.json"), "one");
  EXPECT_EQ(Follow("sites/south/desired.json"), "two");
  EXPECT_EQ(Role("timestamp")["version"], 3);
  EXPECT_EQ(hub_.maker.Publish("elsewhere", "x", now_us_).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(TufRepositoryTest, TheTimestampIsSignedAgainAfterADayAndTheOthersWhenTheyAreOld) {
  EXPECT_FALSE(hub_.maker.RefreshIsDue(now_us_ + kDayMicros / 2));
  EXPECT_TRUE(hub_.maker.RefreshIsDue(now_us_ + 2 * kDayMicros));
  const auto refresh = [&](int days) {
    now_us_ += days * kDayMicros;
    ASSERT_TRUE(hub_.maker.Refresh(now_us_));
    hub_.Take();
  };
  refresh(2);
  EXPECT_FALSE(hub_.maker.RefreshIsDue(now_us_));
  EXPECT_EQ(Role("timestamp")["version"], 2);
  EXPECT_EQ(Role("sites")["version"], 1);
  refresh(300);
  EXPECT_EQ(Role("sites")["version"], 2);
  EXPECT_EQ(Role("root")["version"], 1);
  refresh(4 * 365);
  EXPECT_EQ(Role("root")["version"], 2);
  EXPECT_THAT(Follow("sites/north/desired.json"), testing::HasSubstr("no target"));
}

TEST_F(TufRepositoryTest, EachSiteHearsFromTheRoleOfItsGroupAlone) {
  for (const char* site : {"north", "south", "east"})
    hub_.Publish(fmt::format("sites/{}/desired.json", site), site, now_us_);
  ASSERT_TRUE(hub_.maker.SetGroup("polar", {"north", "south"}, now_us_));
  hub_.Take();
  const auto fetched = [&](const std::string& site) {
    std::filesystem::remove_all(Path("site"));
    hub_.fetched.clear();
    EXPECT_EQ(Follow(fmt::format("sites/{}/desired.json", site)), site);
    std::string roles;
    for (const std::string& name : hub_.fetched)
      for (const char* role : {"polar", "cold", "sites"})
        if (name.ends_with(fmt::format(".{}.json", role))) roles += role;
    return roles;
  };
  EXPECT_EQ(fetched("north"), "polar");
  EXPECT_EQ(fetched("east"), "sites");
  ASSERT_TRUE(hub_.maker.SetGroup("cold", {"south"}, now_us_)) << "out of the other group";
  hub_.Take();
  EXPECT_EQ(fetched("south"), "cold");
  EXPECT_EQ(fetched("north"), "polar");
  ASSERT_TRUE(hub_.maker.SetGroup("polar", {}, now_us_));
  hub_.Take();
  EXPECT_EQ(fetched("north"), "sites");
  // Also of a repository that was loaded after the group had ended.
  hub_.maker = hub_.Reloaded(Path("keys"));
  ASSERT_TRUE(hub_.maker.SetGroup("polar", {"north"}, now_us_));
  hub_.Take();
  EXPECT_EQ(fetched("north"), "polar");
  EXPECT_EQ(hub_.maker.SetGroup("targets", {"a"}, now_us_).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(hub_.maker.SetGroup("nobody", {}, now_us_).error().code(), ErrorCode::kNotFound);
}

TEST_F(TufRepositoryTest, ARootOfTwoOutOfThreeKeysElsewhereWaitsForTheirSignatures) {
  hub_.Publish("sites/north/desired.json", "one", now_us_);
  const std::vector<PrivateKey> people{*PrivateKey::Generate(), *PrivateKey::Generate(),
                                       *PrivateKey::Generate()};
  std::vector<PublicKey> keys;
  for (const PrivateKey& person : people) keys.push_back(person.public_key());
  ASSERT_TRUE(hub_.maker.SetRootKeys(2, keys, now_us_));
  hub_.Take();
  hub_.maker = hub_.Reloaded(Path("keys"));
  const std::string draft = *hub_.maker.draft_json();
  EXPECT_EQ(hub_.maker.ToJson()["draft"]["signed_by_old"], 1);
  EXPECT_EQ(hub_.maker.ToJson()["draft"]["signed_by_new"], 0);
  ASSERT_TRUE(hub_.maker.TakeRoot(SignedElsewhere(draft, {people[0]}), now_us_));
  EXPECT_EQ(Role("root")["version"], 1) << "one is not enough";
  // A stranger's signature is no help.
  ASSERT_TRUE(hub_.maker.TakeRoot(SignedElsewhere(draft, {*PrivateKey::Generate()}), now_us_));
  EXPECT_EQ(Role("root")["version"], 1);
  ASSERT_TRUE(hub_.maker.TakeRoot(SignedElsewhere(draft, {people[2]}), now_us_));
  hub_.Take();
  EXPECT_EQ(Role("root")["version"], 2);
  EXPECT_EQ(Role("root")["threshold"], 2);
  EXPECT_EQ(Follow("sites/north/desired.json"), "one");

  // From now on no root comes out of the hub alone, whatever is asked of it.
  ASSERT_TRUE(hub_.maker.Rotate("timestamp", now_us_));
  hub_.Take();
  EXPECT_EQ(Role("root")["version"], 2);
  hub_.Publish("sites/north/desired.json", "two", now_us_);
  EXPECT_EQ(Follow("sites/north/desired.json"), "two") << "and it works on with the old key";
  EXPECT_EQ(hub_.maker.Rotate("root", now_us_).error().code(), ErrorCode::kFailedPrecondition);
  const std::string rotated = *hub_.maker.draft_json();
  ASSERT_TRUE(hub_.maker.TakeRoot(SignedElsewhere(rotated, {people[0], people[1]}), now_us_));
  hub_.Take();
  EXPECT_EQ(Role("root")["version"], 3);
  EXPECT_EQ(Follow("sites/north/desired.json"), "two");
  EXPECT_EQ(Follow("sites/north/desired.json", "late"), "two") << "who has missed them all";
  EXPECT_EQ(hub_.maker.TakeRoot(rotated, now_us_).error().code(), ErrorCode::kConflict);
}

TEST_F(TufRepositoryTest, ARootThatNobodyHereDraftedNeedsItsWholeThreshold) {
  Json root = ParseJson(first_root_)->at("signed");
  root["version"] = 2;
  const TufSigned unsigned_root = *MakeTuf(root);
  EXPECT_EQ(hub_.maker.TakeRoot(unsigned_root.ToJson(), now_us_).error().code(),
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(hub_.maker.SetRootKeys(2, {}, now_us_).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(TufRepositoryTest, ARestoredHubJumpsPastWhatSitesHaveSeenAndTakesLostRootsBack) {
  hub_.Publish("sites/north/desired.json", "one", now_us_);
  MadeRepository backup = hub_;
  for (int i = 0; i < 20; ++i)
    hub_.Publish("sites/north/desired.json", fmt::format("later {}", i), now_us_);
  ASSERT_TRUE(hub_.maker.SetGroup("polar", {"north"}, now_us_));
  ASSERT_TRUE(hub_.maker.Rotate("snapshot", now_us_));
  hub_.Take();
  EXPECT_EQ(Follow("sites/north/desired.json"), "later 19");
  const std::string lost_root = hub_.files.at("metadata/2.root.json");

  hub_ = backup;
  EXPECT_NE(Follow("sites/north/desired.json"), "one");
  hub_.maker.SetFloor(kTufVersionsPerRestore);
  EXPECT_TRUE(hub_.maker.RefreshIsDue(now_us_));
  ASSERT_TRUE(hub_.maker.Refresh(now_us_));
  hub_.Take();
  EXPECT_FALSE(hub_.maker.RefreshIsDue(now_us_));
  for (const char* role : {"timestamp", "snapshot", "targets", "sites"})
    EXPECT_EQ(Role(role)["version"], kTufVersionsPerRestore + 1) << role;
  EXPECT_NE(Follow("sites/north/desired.json"), "one") << "a root is still missing";
  ASSERT_TRUE(hub_.maker.TakeRoot(lost_root, now_us_));
  hub_.Take();
  EXPECT_THAT(Follow("sites/north/desired.json"), testing::HasSubstr("polar.json"))
      << "and a group";
  ASSERT_TRUE(hub_.maker.SetGroup("polar", {"north"}, now_us_));
  hub_.Take();
  EXPECT_EQ(Follow("sites/north/desired.json"), "one");
}

}  // namespace
}  // namespace skerry
