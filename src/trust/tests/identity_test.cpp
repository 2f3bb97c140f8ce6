#include "trust/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "trust/certificate_times.h"
#include "trust/tests/trust_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class IdentityTest : public TrustTest {};

TEST_F(IdentityTest, SecretsAreMadeOnceAndForTheOwnerAlone) {
  std::string key_id;
  std::string policy_key;
  {
    const auto identity = SiteIdentity::Open(identity_path());
    ASSERT_TRUE(identity) << identity.error().message();
    key_id = (*identity)->key().public_key().key_id();
    policy_key = (*identity)->policy_hmac_key();
    EXPECT_EQ(policy_key.size(), 32U);
  }
  const auto again = *SiteIdentity::Open(identity_path());
  EXPECT_EQ(again->key().public_key().key_id(), key_id);
  EXPECT_EQ(again->policy_hmac_key(), policy_key);
  ASSERT_TRUE(again->TakeToken(TokenOf(hub_, "north")));
  for (const char* name : {"key.pem", "policy.key", "token.json"}) {
    struct stat facts{};
    ASSERT_EQ(::stat((identity_path() / name).c_str(), &facts), 0) << name;
    EXPECT_EQ(facts.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(IdentityTest, SecretThatOthersMayReadIsRefused) {
  ASSERT_TRUE(SiteIdentity::Open(identity_path()));
  ASSERT_EQ(::chmod((identity_path() / "policy.key").c_str(), 0640), 0);
  const auto identity = SiteIdentity::Open(identity_path());
  ASSERT_FALSE(identity);
  EXPECT_THAT(identity.error().message(), HasSubstr("chmod 600"));
}

TEST_F(IdentityTest, OneDataDirectoryIsOneSite) {
  ASSERT_TRUE(SiteIdentity::Open(identity_path(), "north"));
  EXPECT_EQ((*SiteIdentity::Open(identity_path()))->site(), "north");
  EXPECT_EQ(SiteIdentity::Open(identity_path(), "south").error().code(), ErrorCode::kConflict);
  EXPECT_EQ(SiteIdentity::Open(identity_path(), "South Pole").error().code(),
            ErrorCode::kInvalidArgument);
  const auto identity = *SiteIdentity::Open(identity_path());
  EXPECT_EQ(identity->TakeToken(TokenOf(hub_, "south")).error().code(), ErrorCode::kConflict);
}

TEST_F(IdentityTest, JoiningSurvivesRestartsAtEveryStep) {
  ASSERT_TRUE((*SiteIdentity::Open(identity_path()))->TakeToken(TokenOf(hub_, "north")));
  std::string grant;
  {
    const auto identity = *SiteIdentity::Open(identity_path());
    EXPECT_TRUE(identity->has_token());
    EXPECT_FALSE(identity->joined());
    EXPECT_EQ(identity->hub_url(), "https://hub.example:8443");
    const auto request = identity->MakeRequest();
    ASSERT_TRUE(request) << request.error().message();
    grant = GrantOf(hub_, "north", *VerifyJoinRequest(*request, TokenOf(hub_, "north").secret));
    ASSERT_TRUE(identity->ApplyGrant(grant));
  }
  const auto identity = *SiteIdentity::Open(identity_path());
  EXPECT_TRUE(identity->joined());
  EXPECT_FALSE(identity->has_token());
  EXPECT_FALSE(std::filesystem::exists(identity_path() / "token.json"));
  EXPECT_EQ(identity->hub_url(), "https://hub.example:8443");
  ASSERT_EQ(identity->hub_keys().size(), 1U);
  EXPECT_EQ(identity->hub_keys()[0].key_id(), hub_.key.public_key().key_id());
  EXPECT_TRUE(identity->ApplyGrant(grant)) << "the same grant again is harmless";
  EXPECT_TRUE(identity->TakeToken(TokenOf(hub_, "north"))) << "a token when joined is harmless";
  EXPECT_FALSE(identity->has_token());
}

TEST_F(IdentityTest, AnotherTokenMeansJoiningAgainWithANewKey) {
  JoinToken second = TokenOf(hub_, "north");
  second.token_id = "t2";
  std::string first_key;
  {
    const auto identity = OpenJoined();
    first_key = identity->key().public_key().key_id();
    ASSERT_TRUE(Follow(*identity, State(1)));
    JoinToken foreign = second;
    foreign.hub_key_pem = model_key_.public_key().ToPem();
    EXPECT_EQ(identity->TakeToken(foreign).error().code(), ErrorCode::kConflict);
    EXPECT_TRUE(identity->joined());
    ASSERT_TRUE(identity->TakeToken(second));
    EXPECT_FALSE(identity->joined());
    EXPECT_NE(identity->key().public_key().key_id(), first_key);
  }
  std::string second_key;
  {
    // Whatever it holds of its hub stays, and so does the token.
    const auto identity = *SiteIdentity::Open(identity_path());
    EXPECT_FALSE(identity->joined());
    EXPECT_TRUE(identity->has_token());
    ASSERT_TRUE(identity->desired());
    second_key = identity->key().public_key().key_id();
    EXPECT_TRUE(identity->TakeToken(second));
    EXPECT_EQ(identity->key().public_key().key_id(), second_key) << "one new key for a token";
    ASSERT_TRUE(identity->ApplyGrant(GrantOf(hub_, "north", identity->key().public_key())));
  }
  const auto identity = *SiteIdentity::Open(identity_path());
  EXPECT_TRUE(identity->joined());
  EXPECT_EQ(identity->key().public_key().key_id(), second_key);
  EXPECT_TRUE(identity->TakeToken(second));
  EXPECT_TRUE(identity->joined());
}

TEST_F(IdentityTest, GrantWithoutATokenIsNotBelieved) {
  const auto identity = *SiteIdentity::Open(identity_path(), "north");
  const std::string grant = GrantOf(hub_, "north", identity->key().public_key());
  EXPECT_EQ(identity->ApplyGrant(grant).error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(identity->MakeRequest().error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(IdentityTest, ForgedGrantChangesNothing) {
  const auto identity = OpenJoined();
  const Hub stranger = MakeHub("stranger");
  EXPECT_EQ(
      identity->ApplyGrant(GrantOf(stranger, "north", identity->key().public_key())).error().code(),
      ErrorCode::kPermissionDenied);
  EXPECT_EQ(identity->hub_keys()[0].key_id(), hub_.key.public_key().key_id());
}

TEST_F(IdentityTest, RenewedCertificateTakesThePlaceOfTheOldOneAlsoAfterARestart) {
  const auto identity = OpenJoined();
  const PublicKey key = identity->key().public_key();
  const CertificateFacts first = *identity->certificate();
  EXPECT_FALSE(identity->RenewalIsDue(clock_));
  clock_.Advance(250 * kDayMicros);
  EXPECT_TRUE(identity->RenewalIsDue(clock_));
  EXPECT_EQ(*VerifyCertificateRequest(*identity->MakeRenewalRequest(), "north"), key);
  const std::string old_grant = GrantOf(hub_, "north", key);
  clock_.Advance(150 * kDayMicros);
  const std::string grant = GrantOf(hub_, "north", key);
  EXPECT_EQ(*identity->ApplyGrant(grant), SiteIdentity::GrantChange::kTaken);
  EXPECT_FALSE(identity->RenewalIsDue(clock_));
  EXPECT_EQ(*identity->ApplyGrant(grant), SiteIdentity::GrantChange::kSame);
  EXPECT_EQ(*identity->ApplyGrant(old_grant), SiteIdentity::GrantChange::kSame) << "never back";
  const CertificateFacts second = *(*SiteIdentity::Open(identity_path()))->certificate();
  EXPECT_EQ(second.pem, identity->certificate_pem());
  EXPECT_EQ(second.key, first.key);
  EXPECT_EQ(second.not_after_us - first.not_after_us, 400 * kDayMicros);
}

TEST_F(IdentityTest, RenewalOfAnotherSitesKeyOrAuthorityChangesNothing) {
  const auto identity = OpenJoined();
  const std::string held = identity->certificate_pem();
  clock_.Advance(kDayMicros);
  const PublicKey other = PrivateKey::Generate()->public_key();
  const Hub stranger = MakeHub("stranger");
  const Hub half{hub_.key, stranger.ca, hub_.tuf};
  const PublicKey key = identity->key().public_key();
  for (const std::string& grant :
       {GrantOf(hub_, "north", other), GrantOf(hub_, "south", key), GrantOf(half, "north", key)})
    EXPECT_EQ(identity->ApplyGrant(grant).error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(identity->certificate_pem(), held);
}

TEST_F(IdentityTest, TimeFloorIsRaisedBySignedTimesAloneAndNeverLowered) {
  const std::int64_t signed_us = clock_.UtcMicros() + kDayMicros;
  {
    OpenJoined();
    const auto identity = *SiteIdentity::Open(identity_path());
    EXPECT_EQ(identity->time_floor_us(), identity->certificate()->not_before_us);
    clock_.SetUtc(0);
    EXPECT_EQ(identity->Now(clock_), identity->time_floor_us()) << "a clock in 1970";
    clock_.SetUtc(4'300'000'000'000'000);
    EXPECT_EQ(identity->Now(clock_), clock_.UtcMicros()) << "a clock in 2106";
    EXPECT_LT(identity->time_floor_us(), signed_us) << "no clock raises it";
    identity->RaiseTimeFloor(signed_us);
    identity->RaiseTimeFloor(signed_us - 1);
    EXPECT_EQ(identity->time_floor_us(), signed_us);
  }
  EXPECT_EQ((*SiteIdentity::Open(identity_path()))->time_floor_us(), signed_us);
  ASSERT_TRUE(WriteFileDurably(identity_path() / "time.json", "{"));
  const auto identity = *SiteIdentity::Open(identity_path());
  EXPECT_EQ(identity->time_floor_us(), identity->certificate()->not_before_us)
      << "a damaged one stops nothing";
  DesiredState state = State(2);
  state.issued_at_us = signed_us;
  ASSERT_TRUE(Follow(*identity, state));
  EXPECT_EQ((*SiteIdentity::Open(identity_path()))->time_floor_us(), signed_us);
}

TEST_F(IdentityTest, AGrantAndItsIssueTimeRaiseTheFloor) {
  const auto identity = OpenJoined();
  const std::int64_t later_us = clock_.UtcMicros() + 10 * kDayMicros;
  ASSERT_TRUE(identity->ApplyGrant(GrantOf(hub_, "north", identity->key().public_key(), later_us)));
  EXPECT_EQ(identity->time_floor_us(), later_us);
}

TEST_F(IdentityTest, DesiredStateOnlyGoesForwardAlsoAfterARestart) {
  {
    const auto identity = OpenJoined();
    EXPECT_EQ(*Follow(*identity, State(5)), SiteIdentity::DesiredChange::kNewer);
    EXPECT_EQ(*Follow(*identity, State(5)), SiteIdentity::DesiredChange::kSame);
  }
  const auto identity = *SiteIdentity::Open(identity_path());
  ASSERT_TRUE(identity->desired());
  EXPECT_EQ(identity->desired()->version, 5U);
  // The hub as it was before: its desired states are older than what this site has seen.
  MadeRepository before = *hub_.tuf;
  Follow(*identity, State(6));
  EXPECT_EQ(identity->FollowDesired(before).error().code(), ErrorCode::kConflict);
  EXPECT_EQ(identity->desired()->version, 6U);
  EXPECT_EQ(*Follow(*identity, State(7)), SiteIdentity::DesiredChange::kNewer);
}

TEST_F(IdentityTest, NewerDesiredStateIsAppliedEvenIfItExpiredOnItsWay) {
  const auto identity = OpenJoined();
  ASSERT_TRUE(Follow(*identity, State(2)));
  EXPECT_EQ(identity->metadata_expiry()->role, "timestamp");
  EXPECT_EQ(identity->metadata_expiry()->expires_us, clock_.UtcMicros() + 90 * kDayMicros);
  hub_.tuf->Publish(DesiredStatePath("north"), State(3).ToJson(), clock_.UtcMicros());
  clock_.Advance(4'000 * kDayMicros);
  EXPECT_EQ(*identity->FollowDesired(*hub_.tuf), SiteIdentity::DesiredChange::kNewer);
  EXPECT_EQ(identity->desired()->version, 3U);
  EXPECT_LT(identity->metadata_expiry()->expires_us, clock_.UtcMicros()) << "there is an alarm";
}

TEST_F(IdentityTest, ATimestampThatWasFollowedNeedsNothingMoreAlsoAfterARestart) {
  std::string timestamp;
  {
    const auto identity = OpenJoined();
    EXPECT_EQ(*identity->FollowDesired(*hub_.tuf), SiteIdentity::DesiredChange::kNone);
    timestamp = hub_.tuf->files.at("metadata/timestamp.json");
    EXPECT_TRUE(identity->IsCurrent(timestamp)) << "that there is none is known, too";
    ASSERT_TRUE(Follow(*identity, State(1)));
    EXPECT_FALSE(identity->IsCurrent(timestamp));
    timestamp = hub_.tuf->files.at("metadata/timestamp.json");
  }
  const auto identity = *SiteIdentity::Open(identity_path());
  EXPECT_TRUE(identity->IsCurrent(timestamp));
  EXPECT_EQ(identity->root_version(), 1U);
  // A cut between the metadata and the target: not current, so that the target is fetched.
  hub_.tuf->Publish(DesiredStatePath("north"), State(2).ToJson(), clock_.UtcMicros());
  MadeRepository cut = *hub_.tuf;
  std::erase_if(cut.files, [](const auto& file) { return file.first.starts_with("targets/"); });
  EXPECT_EQ(identity->FollowDesired(cut).error().code(), ErrorCode::kDataLoss);
  EXPECT_FALSE(identity->IsCurrent(hub_.tuf->files.at("metadata/timestamp.json")));
  EXPECT_EQ(identity->desired()->version, 1U);
  EXPECT_EQ(*identity->FollowDesired(*hub_.tuf), SiteIdentity::DesiredChange::kNewer);
}

TEST_F(IdentityTest, NoDesiredStateIsBelievedBeforeJoining) {
  const auto identity = *SiteIdentity::Open(identity_path(), "north");
  EXPECT_EQ(Follow(*identity, State(1)).error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(IdentityTest, FloorsHoldAcrossRestartsAndOnlyTheNamedFallbackPassesBelow) {
  {
    const auto identity = OpenJoined();
    EXPECT_TRUE(identity->CheckFloor(Model("1", "one"), State(1)));
    ASSERT_TRUE(identity->RaiseFloor(Model("2", "two")));
    ASSERT_TRUE(identity->RaiseFloor(Model("1", "one"))) << "never lowers";
  }
  const auto identity = *SiteIdentity::Open(identity_path());
  DesiredState state = State(1);
  EXPECT_EQ(identity->CheckFloor(Model("1", "one"), state).error().code(), ErrorCode::kConflict);
  EXPECT_EQ(identity->CheckFloor(Model("2", "altered"), state).error().code(),
            ErrorCode::kConflict);
  EXPECT_TRUE(identity->CheckFloor(Model("2", "two"), state));
  EXPECT_TRUE(identity->CheckFloor(Model("10", "ten"), state));
  state.fallback = Model("1", "one");
  EXPECT_TRUE(identity->CheckFloor(Model("1", "one"), state));
  EXPECT_FALSE(identity->CheckFloor(Model("1", "another one"), state))
      << "the fallback is one digest, not a version";
}

TEST_F(IdentityTest, DamagedFilesAreNamed) {
  OpenJoined();
  ASSERT_TRUE(WriteFileDurably(identity_path() / "grant.json", "{\"site\":"));
  const auto identity = SiteIdentity::Open(identity_path());
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(identity.error().message(), HasSubstr("grant.json"));
}

}  // namespace
}  // namespace skerry
