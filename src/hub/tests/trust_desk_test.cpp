#include "hub/trust_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/tuf_limits.h"
#include "hub/audit_log.h"
#include "hub/incarnation.h"
#include "hub/tests/fake_site.h"
#include "storage/file.h"
#include "sync/tuf_artifact.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

constexpr const char* kNorth = "sites/north/desired.json";

class TrustDeskTest : public testing::Test, public TufSource {
 protected:
  void Open() { desk_ = Must(TrustDesk::Open(*store_, directory_.path() / "keys", clock_)); }
  void Publish(const std::string& text) {
    Must(store_->Write([&](Database& db) { return desk_->Publish(db, kNorth, text); }));
  }
  Result<std::string> Fetch(const std::string& name, std::size_t /*max_bytes*/) override {
    return desk_->File(name);
  }
  std::string Follow() {
    TufClient client = Must(TufClient::Open(directory_.path() / "site"));
    Must(client.Trust(root_));
    if (const Status updated = client.Update(*this); !updated) return updated.error().message();
    const TufTarget target = Must(client.FindTarget(kNorth, *this));
    return Must(client.FetchTarget(kNorth, target, *this));
  }
  std::uint64_t Version(const std::string& role) {
    const Json facts = Must(desk_->Facts());
    for (const Json& one : facts["roles"])
      if (one["role"] == role) return one["version"];
    return 0;
  }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub-trust"));
  FakeClock clock_{1'790'000'000'000'000};
  std::unique_ptr<HubStore> store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  std::unique_ptr<TrustDesk> desk_;
  std::string root_;
};

TEST_F(TrustDeskTest, IsMadeOnceAndGivesOutWhatASiteFollows) {
  Open();
  root_ = Must(desk_->Root());
  Publish("one");
  EXPECT_EQ(Follow(), "one");
  Open();
  EXPECT_EQ(Must(desk_->Root()), root_);
  Publish("two");
  EXPECT_EQ(Follow(), "two");
  EXPECT_EQ(desk_->File("metadata/9.root.json").error().code(), ErrorCode::kNotFound);
}

TEST_F(TrustDeskTest, OldVersionsGoAndEveryRootStays) {
  Open();
  root_ = Must(desk_->Root());
  for (int i = 0; i < 25; ++i) {
    Publish(fmt::format("text {}", i));
    if (i % 5 == 0) Must(desk_->Rotate("root"));
  }
  EXPECT_EQ(Follow(), "text 24");
  for (int version = 1; version <= 6; ++version)
    EXPECT_TRUE(desk_->File(fmt::format("metadata/{}.root.json", version)));
  const std::uint64_t snapshot = Version("snapshot");
  EXPECT_TRUE(desk_->File(TufMetadataName("snapshot", snapshot - limits::kTufVersionsKept + 1)));
  EXPECT_FALSE(desk_->File(TufMetadataName("snapshot", snapshot - limits::kTufVersionsKept)));
  EXPECT_FALSE(desk_->File(TufTargetName(kNorth, TufTarget::Of("text 1"))));
}

TEST_F(TrustDeskTest, AnotherIncarnationJumpsPastWhatSitesHaveSeen) {
  Open();
  root_ = Must(desk_->Root());
  Publish("one");
  Must(store_->Write([](Database& db) { return BeginIncarnation(db, 2); }));
  EXPECT_EQ(Follow(), "one");
  for (const char* role : {"timestamp", "snapshot", "targets", "sites"})
    EXPECT_EQ(Version(role), 3 * kTufVersionsPerRestore + 1) << role;
  const std::string timestamp = Must(desk_->File("metadata/timestamp.json"));
  EXPECT_EQ(Must(desk_->File("metadata/timestamp.json")), timestamp) << "once";
  clock_.Advance(2 * kDayMicros);
  EXPECT_NE(Must(desk_->File("metadata/timestamp.json")), timestamp) << "a day later";
}

TEST_F(TrustDeskTest, WhatABundleCarriesIsEnoughForASiteThatKnowsTheFirstRoot) {
  Open();
  root_ = Must(desk_->Root());
  Publish("one");
  for (const char* role : {"root", "timestamp", "sites"}) Must(desk_->Rotate(role));
  Must(desk_->SetGroup("polar", {"north"}));
  ArtifactTufSource source =
      Must(ArtifactTufSource::Make(Must(MakeTufArtifact(Must(desk_->FilesFor(kNorth))))));
  TufClient client = Must(TufClient::Open(directory_.path() / "site"));
  Must(client.Trust(root_));
  Must(client.Update(source));
  EXPECT_EQ(client.root_version(), 3U);
  EXPECT_EQ(Must(client.FetchTarget(kNorth, Must(client.FindTarget(kNorth, source)), source)),
            "one");
}

TEST_F(TrustDeskTest, EachChangeIsInTheAuditLogAndARefusedOneChangesNothing) {
  Open();
  const Json before = Must(desk_->Facts());
  EXPECT_EQ(desk_->Rotate("nobody").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(desk_->SetRootKeys(1, {"no key"}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(desk_->SetGroup("Not A Name", {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(desk_->Draft().error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(Must(desk_->Facts()), before);
  Must(desk_->Rotate("targets"));
  const std::string key = Must(PrivateKey::Generate()).public_key().ToPem();
  Must(desk_->SetRootKeys(1, {key}));
  EXPECT_TRUE(desk_->Draft());
  std::vector<std::string> actions;
  const auto entries = Must(store_->Read([](Database& db) { return AuditLog(db).List(0, 100); }));
  for (const auto& entry : entries) actions.push_back(entry.action);
  EXPECT_THAT(actions, testing::ElementsAre("trust.rotate", "trust.root_keys"));
}

}  // namespace
}  // namespace skerry
