#include "hub/join_desk.h"

#include <gtest/gtest.h>

#include "hub/tests/fake_site.h"
#include "storage/file.h"

namespace skerry {
namespace {

class JoinDeskTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub-join"));
  FakeClock clock_{1'790'000'000'000'000};
  std::unique_ptr<HubStore> store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  CertificateAuthority authority_ =
      Must(CertificateAuthority::LoadOrCreate(directory_.path(), "test CA", clock_));
  PrivateKey hub_key_ = Must(PrivateKey::Generate());
  PrivateKey site_key_ = Must(PrivateKey::Generate());
  std::unique_ptr<TrustDesk> trust_ =
      Must(TrustDesk::Open(*store_, directory_.path() / "tuf", clock_));
  JoinDesk desk_{*store_, authority_, hub_key_, *trust_, clock_};
};

TEST_F(JoinDeskTest, TokenGivesACertificateThatTheSiteAccepts) {
  const JoinToken token = Must(desk_.MakeToken("north", "https://hub:8443"));
  EXPECT_EQ(token.hub_url, "https://hub:8443");
  const JoinRequest request = Must(MakeJoinRequest(token, site_key_));
  const JoinDesk::Answer answer = Must(desk_.Join(request, Road::kLink));
  EXPECT_FALSE(answer.repeated);
  const JoinGrant grant = Must(VerifyJoinGrant(answer.grant, token, site_key_.public_key()));
  EXPECT_EQ(grant.site, "north");
  EXPECT_EQ(grant.tuf_root, Must(trust_->Root()));
  const auto keys =
      Must(store_->Read([](Database& db) { return SiteDirectory(db).Keys("north"); }));
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[0].key_id(), site_key_.public_key().key_id());
}

TEST_F(JoinDeskTest, SameKeyMayAskAgainAndAnotherMayNot) {
  const JoinToken token = Must(desk_.MakeToken("north", ""));
  const JoinRequest request = Must(MakeJoinRequest(token, site_key_));
  const std::string first = Must(desk_.Join(request, Road::kMedia)).grant;
  const JoinDesk::Answer again = Must(desk_.Join(request, Road::kMedia));
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(Must(VerifyJoinGrant(again.grant, token, site_key_.public_key())).certificate_pem,
            Must(VerifyJoinGrant(first, token, site_key_.public_key())).certificate_pem);
  const JoinRequest other = Must(MakeJoinRequest(token, Must(PrivateKey::Generate())));
  EXPECT_EQ(desk_.Join(other, Road::kLink).error().code(), ErrorCode::kConflict);
}

TEST_F(JoinDeskTest, FalseProofsAreRefused) {
  const JoinToken token = Must(desk_.MakeToken("north", ""));
  JoinRequest request = Must(MakeJoinRequest(token, site_key_));
  JoinRequest unknown = request;
  unknown.token_id = "0011223344556677";
  EXPECT_EQ(desk_.Join(unknown, Road::kLink).error().code(), ErrorCode::kPermissionDenied);
  JoinRequest renamed = request;
  renamed.site = "south";
  EXPECT_EQ(desk_.Join(renamed, Road::kLink).error().code(), ErrorCode::kPermissionDenied);
  JoinToken guessed = token;
  guessed.secret = std::string(64, '0');
  EXPECT_EQ(desk_.Join(Must(MakeJoinRequest(guessed, site_key_)), Road::kLink).error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(JoinDeskTest, NamesAgainstTheGrammarAreRefused) {
  for (const char* name : {"", "North", "a/b", "../etc", "-a", "a b", "a..b"})
    EXPECT_EQ(desk_.MakeToken(name, "").error().code(), ErrorCode::kInvalidArgument) << name;
}

TEST_F(JoinDeskTest, SiteThatJoinsAnewKeepsItsOldKey) {
  for (int i = 0; i < 2; ++i) {
    const JoinToken token = Must(desk_.MakeToken("north", ""));
    Must(desk_.Join(Must(MakeJoinRequest(token, Must(PrivateKey::Generate()))), Road::kLink));
    clock_.Advance(1);
  }
  EXPECT_EQ(Must(store_->Read([](Database& db) { return SiteDirectory(db).Keys("north"); })).size(),
            2U);
}

TEST_F(JoinDeskTest, GrantForABundleIsTheNewestKeys) {
  EXPECT_EQ(desk_.GrantOf("north").error().code(), ErrorCode::kNotFound);
  const JoinToken token = Must(desk_.MakeToken("north", ""));
  Must(desk_.Join(Must(MakeJoinRequest(token, site_key_)), Road::kMedia));
  Must(VerifyJoinGrant(Must(desk_.GrantOf("north")), token, site_key_.public_key()));
}

}  // namespace
}  // namespace skerry
