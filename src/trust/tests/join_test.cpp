#include "trust/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "trust/tests/trust_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class JoinTest : public TrustTest {
 protected:
  PrivateKey site_key_ = *PrivateKey::Generate();
  JoinToken token_ = TokenOf(hub_, "north");
};

TEST_F(JoinTest, TokenFileComesBackAndOnlyItsOwnerMayReadIt) {
  const auto path = directory_.path() / "token.json";
  ASSERT_TRUE(token_.Save(path));
  struct stat facts{};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  const auto loaded = JoinToken::Load(path);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->ToJson(), token_.ToJson());
}

TEST_F(JoinTest, TokenFileThatOthersMayReadIsRefusedWithTheWayOut) {
  const auto path = directory_.path() / "token.json";
  ASSERT_TRUE(token_.Save(path));
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const auto loaded = JoinToken::Load(path);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_THAT(loaded.error().message(), HasSubstr("chmod 600"));
}

TEST_F(JoinTest, TokenOfAnotherFormatOrWithABadNameIsRefused) {
  JoinToken bad = token_;
  bad.site = "North Pole";
  EXPECT_FALSE(JoinToken::FromJson(bad.ToJson()));
  const auto other = JoinToken::FromJson(R"({"format":"skerry-token/2"})");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message(), HasSubstr("skerry-token/2"));
  EXPECT_FALSE(JoinToken::FromJson(std::string(limits::kJoinDocumentBytes + 1, ' ')));
}

TEST_F(JoinTest, RequestProvesTheSecretAndTheKey) {
  const auto request = MakeJoinRequest(token_, site_key_);
  ASSERT_TRUE(request) << request.error().message();
  const auto parsed = JoinRequest::FromJson(request->ToJson());
  ASSERT_TRUE(parsed) << parsed.error().message();
  const auto key = VerifyJoinRequest(*parsed, token_.secret);
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_EQ(key->key_id(), site_key_.public_key().key_id());
  EXPECT_THAT(request->ToJson(), testing::Not(HasSubstr(token_.secret)));
}

TEST_F(JoinTest, RequestWithAnotherSecretSiteOrCsrIsRefused) {
  JoinRequest request = *MakeJoinRequest(token_, site_key_);
  EXPECT_EQ(VerifyJoinRequest(request, "other").error().code(), ErrorCode::kPermissionDenied);

  JoinRequest renamed = request;
  renamed.site = "south";
  EXPECT_FALSE(VerifyJoinRequest(renamed, token_.secret));

  JoinRequest swapped = request;
  swapped.csr_pem = MakeJoinRequest(token_, *PrivateKey::Generate())->csr_pem;
  EXPECT_EQ(VerifyJoinRequest(swapped, token_.secret).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(JoinTest, GrantIsBelievedOnlyFromThePinnedHub) {
  const PublicKey key = site_key_.public_key();
  const auto grant = VerifyJoinGrant(GrantOf(hub_, "north", key), token_, key);
  ASSERT_TRUE(grant) << grant.error().message();
  EXPECT_EQ(grant->site, "north");

  const Hub stranger = MakeHub("stranger");
  EXPECT_EQ(VerifyJoinGrant(GrantOf(stranger, "north", key), token_, key).error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(JoinTest, GrantForAnotherSiteOrKeyIsRefused) {
  const PublicKey key = site_key_.public_key();
  EXPECT_EQ(VerifyJoinGrant(GrantOf(hub_, "south", key), token_, key).error().code(),
            ErrorCode::kPermissionDenied);
  const std::string others = GrantOf(hub_, "north", PrivateKey::Generate()->public_key());
  EXPECT_EQ(VerifyJoinGrant(others, token_, key).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(JoinTest, GrantWithAFlippedBitIsRefused) {
  const PublicKey key = site_key_.public_key();
  const std::string envelope = GrantOf(hub_, "north", key);
  for (std::size_t at = 0; at < envelope.size(); at += 37) {
    std::string damaged = envelope;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    if (const auto grant = VerifyJoinGrant(damaged, token_, key); grant) {
      EXPECT_EQ(grant->ToJson(), VerifyJoinGrant(envelope, token_, key)->ToJson())
          << "byte " << at << ": only unsigned hints may change unseen";
    }
  }
}

TEST_F(JoinTest, GoldenDocumentsAreStillRead) {
  const std::filesystem::path golden = TRUST_GOLDEN;
  const auto token = JoinToken::FromJson(*ReadFile(golden / "token.json", 1 << 20));
  ASSERT_TRUE(token) << token.error().message();
  EXPECT_EQ(token->site, "north");
  const auto request = JoinRequest::FromJson(*ReadFile(golden / "join-request.json", 1 << 20));
  ASSERT_TRUE(request) << request.error().message();
  const auto key = VerifyJoinRequest(*request, token->secret);
  ASSERT_TRUE(key) << key.error().message();
  const auto grant =
      VerifyJoinGrant(*ReadFile(golden / "join-grant.dsse.json", 1 << 20), *token, *key);
  ASSERT_TRUE(grant) << grant.error().message();
  EXPECT_EQ(grant->hub_key_pems, std::vector<std::string>{token->hub_key_pem});
}

}  // namespace
}  // namespace skerry
