#include "trust/tuf_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/tuf_limits.h"
#include "storage/file.h"
#include "trust/certificate_times.h"
#include "trust/tests/made_repository.h"

namespace skerry {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kNorth = "sites/north/desired.json";

class TufClientTest : public testing::Test {
 protected:
  TufClientTest() { Publish("one"); }

  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  void Publish(const std::string& text) { hub_.Publish(kNorth, text, now_us_); }
  // A change of the hub's keys, groups, ...
  template <typename Change>
  void Alter(Change change) {
    const Status changed = change(hub_.maker);
    ASSERT_TRUE(changed) << changed.error().message();
    hub_.Take();
  }
  TufClient Open() {
    TufClient client = *TufClient::Open(Path("site"));
    EXPECT_TRUE(client.Trust(first_root_));
    return client;
  }
  // The target, or what went wrong.
  static Result<std::string> Follow(TufClient& client, TufSource& source) {
    SKERRY_RETURN_IF_ERROR(client.Update(source));
    SKERRY_ASSIGN_OR_RETURN(const TufTarget target, client.FindTarget(kNorth, source));
    return client.FetchTarget(kNorth, target, source);
  }
  static ErrorCode CodeOf(const Result<std::string>& followed) {
    EXPECT_FALSE(followed) << "believed: " << followed.value_or("");
    return followed ? ErrorCode::kInternal : followed.error().code();
  }
  // Signed anew by the hub's own key of that role: what whoever stole it can do.
  std::string SignedBy(const std::string& role, Json body) {
    TufSigned document = *MakeTuf(std::move(body));
    const Json root = ParseJson(hub_.maker.root_json())->at("signed");
    for (const auto& id : root["roles"][role]["keyids"])
      EXPECT_TRUE(SignTuf(document, *keys_.Find(id.get<std::string>())));
    return document.ToJson();
  }
  Json BodyOf(const std::string& name) { return ParseJson(hub_.files.at(name))->at("signed"); }

  std::int64_t now_us_ = 1'750'000'000'000'000;
  TemporaryDirectory directory_ = *TemporaryDirectory::Create("tuf");
  TufKeyDirectory keys_{Path("keys")};
  MadeRepository hub_{Path("keys"), now_us_};
  const std::string first_root_ = hub_.maker.root_json();
};

TEST_F(TufClientTest, FollowsEveryChangeAndFetchesWhatChangedAlone) {
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  hub_.fetched.clear();
  Publish("two");
  EXPECT_EQ(*Follow(client, hub_), "two");
  EXPECT_THAT(hub_.fetched,
              ElementsAre("metadata/2.root.json", "metadata/timestamp.json",
                          "metadata/3.snapshot.json", "metadata/3.sites.json",
                          "targets/sites/north/" + std::string(Digest::Sha256("two").hex()) +
                              ".desired.json"));
  TufClient again = Open();
  hub_.fetched.clear();
  EXPECT_EQ(*Follow(again, hub_), "two");
  EXPECT_EQ(hub_.fetched.size(), 3U) << "root, timestamp, the target: the rest is held";
}

TEST_F(TufClientTest, WithoutARootNothingIsBelieved) {
  TufClient client = *TufClient::Open(Path("other"));
  EXPECT_EQ(CodeOf(Follow(client, hub_)), ErrorCode::kFailedPrecondition);
  MadeRepository stranger(Path("stranger"), now_us_);
  stranger.Publish(kNorth, "forged", now_us_);
  TufClient site = Open();
  EXPECT_EQ(CodeOf(Follow(site, stranger)), ErrorCode::kPermissionDenied);
}

TEST_F(TufClientTest, TargetThatNobodySpeaksOfIsNotFound) {
  TufClient client = Open();
  ASSERT_TRUE(client.Update(hub_));
  EXPECT_EQ(client.FindTarget("sites/south/desired.json", hub_).error().code(),
            ErrorCode::kNotFound);
  EXPECT_EQ(client.FindTarget("sites/north/x/desired.json", hub_).error().code(),
            ErrorCode::kNotFound);
}

TEST_F(TufClientTest, ARollbackIsRefusedAlsoAfterARestart) {
  MadeRepository before = hub_;
  {
    TufClient client = Open();
    Publish("two");
    EXPECT_EQ(*Follow(client, hub_), "two");
  }
  TufClient client = Open();
  EXPECT_EQ(CodeOf(Follow(client, before)), ErrorCode::kConflict);
  EXPECT_EQ(*Follow(client, hub_), "two");
}

TEST_F(TufClientTest, ASnapshotThatGoesBackUnderANewTimestampIsRefused) {
  TufClient client = Open();
  const std::string old_snapshot = hub_.files.at("metadata/2.snapshot.json");
  Publish("two");
  EXPECT_EQ(*Follow(client, hub_), "two");
  // Whoever has the timestamp's key alone.
  MadeRepository attacker = hub_;
  Json timestamp = BodyOf("metadata/timestamp.json");
  timestamp["version"] = 9;
  timestamp["meta"]["snapshot.json"] = {{"version", 2}};
  attacker.files["metadata/timestamp.json"] = SignedBy("timestamp", timestamp);
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kConflict);
  // And the snapshot's, too: what the snapshot names goes back.
  Json snapshot = ParseJson(old_snapshot)->at("signed");
  snapshot["version"] = 9;
  attacker.files["metadata/9.snapshot.json"] = SignedBy("snapshot", snapshot);
  timestamp["meta"]["snapshot.json"] = {{"version", 9}};
  attacker.files["metadata/timestamp.json"] = SignedBy("timestamp", timestamp);
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kConflict);
  snapshot["meta"].erase("sites.json");
  attacker.files["metadata/9.snapshot.json"] = SignedBy("snapshot", snapshot);
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kConflict) << "nor may it forget a role";
}

TEST_F(TufClientTest, AFreezeKeepsWhatIsHeldAndTheAgeTellsOfIt) {
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  MadeRepository frozen = hub_;
  Publish("two");
  EXPECT_EQ(*Follow(client, frozen), "one") << "which no check of signatures can find out";
  const TufExpiry expiry = *client.expiry();
  EXPECT_EQ(expiry.role, "timestamp");
  EXPECT_EQ(expiry.expires_us, now_us_ + 90 * kDayMicros);
}

TEST_F(TufClientTest, MixedFilesOfTwoTimesAreRefused) {
  const std::string old_role = hub_.files.at("metadata/2.sites.json");
  const std::string old_snapshot = hub_.files.at("metadata/2.snapshot.json");
  Publish("two");
  const auto refuse = [&](MadeRepository mixed) {
    std::filesystem::remove_all(Path("site"));
    TufClient client = Open();
    // Of another length, or of the same and with another digest.
    EXPECT_THAT(CodeOf(Follow(client, mixed)),
                testing::AnyOf(ErrorCode::kDataLoss, ErrorCode::kTooLarge));
    EXPECT_EQ(*Follow(client, hub_), "two");
  };
  MadeRepository mixed = hub_;
  mixed.files["metadata/3.sites.json"] = old_role;
  refuse(mixed);
  mixed = hub_;
  mixed.files["metadata/3.snapshot.json"] = old_snapshot;
  refuse(mixed);
  mixed = hub_;
  for (auto& [name, bytes] : mixed.files)
    if (name.starts_with("targets/")) bytes = "one";
  refuse(mixed);
}

TEST_F(TufClientTest, WhatExpiredOnItsWayIsTakenIfItIsNewer) {
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  now_us_ += 20'000 * kDayMicros;
  const std::int64_t long_ago_us = 1'000'000'000'000'000;
  hub_.Publish(kNorth, "two", long_ago_us);
  EXPECT_EQ(*Follow(client, hub_), "two");
  EXPECT_LT(client.expiry()->expires_us, now_us_);
  EXPECT_EQ(client.expiry()->role, "timestamp");
}

TEST_F(TufClientTest, RootsAreFollowedOneByOneHoweverManyWereMissed) {
  TufClient client = Open();
  for (const char* role : {"root", "timestamp", "snapshot", "targets", "root", "sites"})
    Alter([&](TufRepository& maker) { return maker.Rotate(role, now_us_); });
  Publish("two");
  EXPECT_EQ(*Follow(client, hub_), "two");
  EXPECT_EQ(client.root_version(), 6U);
  // One link of the chain is missing: it ends there, and new keys are not believed.
  TufClient other = *TufClient::Open(Path("other"));
  ASSERT_TRUE(other.Trust(first_root_));
  hub_.files.erase("metadata/3.root.json");
  EXPECT_EQ(CodeOf(Follow(other, hub_)), ErrorCode::kPermissionDenied);
  EXPECT_EQ(other.root_version(), 2U);
}

TEST_F(TufClientTest, ARootNeedsTheOldKeysAndItsOwn) {
  TufClient client = Open();
  Json root = ParseJson(first_root_)->at("signed");
  root["version"] = 2;
  const PrivateKey stolen = *PrivateKey::Generate();
  const std::string id = TufKeyId(stolen.public_key());
  root["keys"][id] = TufKeyJson(stolen.public_key());
  root["roles"]["root"] = {{"keyids", {id}}, {"threshold", 1}};
  TufSigned by_itself = *MakeTuf(root);
  ASSERT_TRUE(SignTuf(by_itself, stolen));
  MadeRepository attacker = hub_;
  attacker.files["metadata/2.root.json"] = by_itself.ToJson();
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kPermissionDenied);
  attacker.files["metadata/2.root.json"] = SignedBy("root", root);
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kPermissionDenied) << "not by its own";
  root["version"] = 5;
  attacker.files["metadata/2.root.json"] = SignedBy("root", root);
  EXPECT_FALSE(Follow(client, attacker));
  EXPECT_EQ(client.root_version(), 1U);
  EXPECT_EQ(*Follow(client, hub_), "one");
}

TEST_F(TufClientTest, AStolenKeyIsWorthNothingOnceItIsRotatedAndHighVersionsBarNoWay) {
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  // With the stolen keys: versions so high that nothing of the hub's would be newer.
  MadeRepository attacker = hub_;
  Json snapshot = BodyOf("metadata/2.snapshot.json");
  snapshot["version"] = 1'000'000;
  attacker.files["metadata/1000000.snapshot.json"] = SignedBy("snapshot", snapshot);
  Json timestamp = BodyOf("metadata/timestamp.json");
  timestamp["version"] = 1'000'000;
  timestamp["meta"]["snapshot.json"] = {{"version", 1'000'000}};
  attacker.files["metadata/timestamp.json"] = SignedBy("timestamp", timestamp);
  EXPECT_EQ(*Follow(client, attacker), "one");
  Publish("two");
  EXPECT_EQ(CodeOf(Follow(client, hub_)), ErrorCode::kConflict);
  const std::string forged = attacker.files["metadata/timestamp.json"];
  for (const char* role : {"timestamp", "snapshot"})
    Alter([&](TufRepository& maker) { return maker.Rotate(role, now_us_); });
  EXPECT_EQ(*Follow(client, hub_), "two");
  attacker.files = hub_.files;
  attacker.files["metadata/timestamp.json"] = forged;
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kPermissionDenied);
  TufClient again = Open();
  EXPECT_EQ(*Follow(again, hub_), "two");
}

TEST_F(TufClientTest, AStolenKeyOfAGroupSpeaksForThatGroupAlone) {
  Alter([&](TufRepository& maker) { return maker.SetGroup("polar", {"south"}, now_us_); });
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  // The key of "polar" signs something for the site north, and the snapshot's key helps.
  const Json top = BodyOf("metadata/2.targets.json");
  std::string polar_key;
  for (const Json& role : top["delegations"]["roles"])
    if (role["name"] == "polar") polar_key = role["keyids"][0].get<std::string>();
  TufTargets forged = *TufTargets::FromJson(BodyOf("metadata/1.polar.json"));
  forged.version = 2;
  forged.targets[kNorth] = TufTarget::Of("forged");
  TufSigned document = *MakeTuf(forged.ToJson());
  ASSERT_TRUE(SignTuf(document, *keys_.Find(polar_key)));
  MadeRepository attacker = hub_;
  attacker.files["metadata/2.polar.json"] = document.ToJson();
  Json snapshot = BodyOf("metadata/3.snapshot.json");
  snapshot["version"] = 9;
  snapshot["meta"]["polar.json"] = {{"version", 2}};
  attacker.files["metadata/9.snapshot.json"] = SignedBy("snapshot", snapshot);
  Json timestamp = BodyOf("metadata/timestamp.json");
  timestamp["version"] = 9;
  timestamp["meta"]["snapshot.json"] = {{"version", 9}};
  attacker.files["metadata/timestamp.json"] = SignedBy("timestamp", timestamp);
  EXPECT_EQ(*Follow(client, attacker), "one");
  EXPECT_THAT(attacker.fetched, testing::Not(Contains("metadata/2.polar.json")));
}

TEST_F(TufClientTest, TheSameKeyUnderTwoIdsCountsOnce) {
  const PrivateKey key = *PrivateKey::Generate();
  TufSigned document = *MakeTuf(Json{{"a", 1}});
  ASSERT_TRUE(SignTuf(document, key));
  const std::string id = TufKeyId(key.public_key());
  document.signatures["other"] = document.signatures[id];
  const TufKeys keys{{id, key.public_key()}, {"other", key.public_key()}};
  EXPECT_EQ(CountSignatures(document, keys, {{id, "other"}, 2}), 1U);
}

TEST_F(TufClientTest, EveryFlippedByteIsRefusedOrHarmless) {
  for (const auto& [name, bytes] : hub_.files) {
    if (name == "metadata/1.root.json") continue;  // held already
    for (std::size_t at = 0; at < bytes.size(); at += 101) {
      MadeRepository damaged = hub_;
      damaged.files[name][at] = static_cast<char>(bytes[at] ^ 1);
      std::filesystem::remove_all(Path("site"));
      TufClient client = Open();
      const auto followed = Follow(client, damaged);
      if (followed) {
        EXPECT_EQ(*followed, "one") << name << " byte " << at;
      }
    }
  }
}

TEST_F(TufClientTest, DamagedFilesOfTheSiteAreFetchedAgainAndADamagedRootIsNamed) {
  {
    TufClient client = Open();
    EXPECT_EQ(*Follow(client, hub_), "one");
  }
  for (const char* name : {"timestamp.json", "snapshot.json", "targets.json", "roles/sites.json"})
    ASSERT_TRUE(WriteFileDurably(Path("site") / name, "{\"signed\":"));
  TufClient client = Open();
  EXPECT_EQ(*Follow(client, hub_), "one");
  ASSERT_TRUE(WriteFileDurably(Path("site") / "root.json", "{"));
  const auto damaged = TufClient::Open(Path("site"));
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(damaged.error().message(), HasSubstr("root.json"));
}

TEST_F(TufClientTest, DelegationsInACircleAndTooManyOfThemEnd) {
  // A top-level role that delegates everything to itself, again and again.
  TufTargets top = *TufTargets::FromJson(BodyOf("metadata/1.targets.json"));
  MadeRepository attacker = hub_;
  const PrivateKey key = *PrivateKey::Generate();
  const TufRole role{{TufKeyId(key.public_key())}, 1};
  TufTargets loop = *TufTargets::FromJson(BodyOf("metadata/2.sites.json"));
  loop.targets.clear();
  loop.keys = {{role.key_ids[0], key.public_key()}};
  Json snapshot = BodyOf("metadata/2.snapshot.json");
  const auto add = [&](const std::string& name, const std::string& next) {
    loop.delegations = {{next, role, false, {"sites/*/*"}, {}}};
    TufSigned document = *MakeTuf(loop.ToJson());
    EXPECT_TRUE(SignTuf(document, key));
    snapshot["meta"][name + ".json"] = {{"version", loop.version}};
    attacker.files[TufMetadataName(name, loop.version)] = document.ToJson();
  };
  const auto publish = [&](const std::string& first) {
    top.keys = loop.keys;
    top.delegations = {{first, role, false, {"sites/*/*"}, {}}};
    top.version = snapshot["version"].get<std::uint64_t>() + 1;
    snapshot["version"] = top.version;
    snapshot["meta"]["targets.json"] = {{"version", top.version}};
    attacker.files[TufMetadataName("targets", top.version)] = SignedBy("targets", top.ToJson());
    attacker.files[TufMetadataName("snapshot", top.version)] = SignedBy("snapshot", snapshot);
    Json timestamp = BodyOf("metadata/timestamp.json");
    timestamp["version"] = top.version;
    timestamp["meta"]["snapshot.json"] = {{"version", top.version}};
    attacker.files["metadata/timestamp.json"] = SignedBy("timestamp", timestamp);
  };
  add("a", "b");
  add("b", "a");
  publish("a");
  TufClient client = Open();
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kNotFound);
  for (std::size_t i = 0; i <= limits::kTufRolesVisited; ++i)
    add(fmt::format("r{}", i), fmt::format("r{}", i + 1));
  publish("r0");
  EXPECT_EQ(CodeOf(Follow(client, attacker)), ErrorCode::kTooLarge);
}

TEST(TufMetadata, MalformedDocumentsAreRefused) {
  const auto error = [](const std::string& text) {
    const auto read = ParseTuf(text, "timestamp", 1'000);
    return read ? std::string("read") : read.error().message();
  };
  const std::string head =
      R"({"signed":{"_type":"timestamp","spec_version":"1.0.0","version":1,"expires":"2030-01-01T00:00:00Z"})";
  EXPECT_EQ(error(head + R"(,"signatures":[]})"), "read");
  EXPECT_THAT(error(head + "}"), HasSubstr("signatures"));
  EXPECT_THAT(error(head + R"(,"signatures":[{"keyid":"a","sig":"zz"}]})"), HasSubstr("hex"));
  EXPECT_THAT(error(head + R"(,"signatures":[{"keyid":"a","sig":""},{"keyid":"a","sig":""}]})"),
              HasSubstr("two signatures"));
  EXPECT_THAT(error(std::string(2'000, ' ')), HasSubstr("limit"));
  EXPECT_THAT(error(R"({"signed":{"_type":"root"},"signatures":[]})"), HasSubstr("spec_version"));
  EXPECT_THAT(error(R"({"signed":{"_type":"timestamp","spec_version":"2.0.0"},"signatures":[]})"),
              HasSubstr("1.0 is"));
  EXPECT_THAT(
      error(
          R"({"signed":{"_type":"timestamp","spec_version":"1.0.0","version":0,"expires":"2030-01-01T00:00:00Z"},"signatures":[]})"),
      HasSubstr("version"));
}

TEST(TufMetadata, NamesOfRolesThatAreNoFileNamesAreRefused) {
  const auto read = [](const std::string& name) {
    TufTargets targets;
    targets.version = 1;
    Json body = targets.ToJson();
    body["delegations"] = {
        {"keys", Json::object()},
        {"roles", {{{"name", name}, {"keyids", Json::array()}, {"threshold", 1}}}}};
    return TufTargets::FromJson(body).has_value();
  };
  EXPECT_TRUE(read("polar"));
  EXPECT_TRUE(read("\xC3\xA9"));
  for (const std::string& name :
       {std::string("a\0b", 3), std::string("\0", 1), std::string("a\nb"), std::string(""),
        std::string(".."), std::string("a/b"), std::string("a\\b"), std::string("a%2fb"),
        std::string("root"), std::string(129, 'a')})
    EXPECT_FALSE(read(name)) << Json(name);
}

TEST(TufMetadata, PatternsMatchPartByPart) {
  TufDelegation delegation;
  delegation.paths = {"sites/*/*", "exact", "a?c/[xy]"};
  for (const char* path : {"sites/north/desired.json", "exact", "abc/x"})
    EXPECT_TRUE(delegation.Matches(path)) << path;
  for (const char* path : {"sites/north/deep/desired.json", "sites/north", "exactly", "abc/z", ""})
    EXPECT_FALSE(delegation.Matches(path)) << path;
  delegation.paths.clear();
  delegation.hash_prefixes = {std::string(Digest::Sha256("exact").hex().substr(0, 2))};
  EXPECT_TRUE(delegation.Matches("exact"));
}

}  // namespace
}  // namespace skerry
