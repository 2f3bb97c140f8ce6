#include "trust/desired_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "codec/json.h"
#include "trust/tests/trust_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class DesiredStateTest : public TrustTest {
 protected:
  std::vector<PublicKey> keys_{hub_.key.public_key()};
};

TEST_F(DesiredStateTest, ComesBackWholeFromItsEnvelope) {
  DesiredState state = State(7);
  state.fallback = Model("0", "zero");
  state.policy = PolicyRef{"milling", "3", Digest::Sha256("policy")};
  const std::string envelope = *SignDesiredState(state, hub_.key);
  const auto read = VerifyDesiredState(envelope, keys_, "north");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, state);
}

TEST_F(DesiredStateTest, AnotherSitesOrAStrangersIsRefused) {
  const std::string envelope = *SignDesiredState(State(1), hub_.key);
  EXPECT_EQ(VerifyDesiredState(envelope, keys_, "south").error().code(),
            ErrorCode::kPermissionDenied);
  const std::string forged = *SignDesiredState(State(1), *PrivateKey::Generate());
  EXPECT_EQ(VerifyDesiredState(forged, keys_, "north").error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(DesiredStateTest, AFlippedBitIsNeverBelieved) {
  const std::string envelope = *SignDesiredState(State(1), hub_.key);
  for (std::size_t at = 0; at < envelope.size(); at += 17) {
    std::string damaged = envelope;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    if (const auto read = VerifyDesiredState(damaged, keys_, "north"); read) {
      EXPECT_EQ(*read, State(1)) << "byte " << at << ": only unsigned hints may change unseen";
    }
  }
}

TEST_F(DesiredStateTest, OlderIsRefusedEqualIsARepeatAndTheSameVersionWithOtherContentIsNot) {
  EXPECT_TRUE(CheckDesiredStateOrder(State(1), std::nullopt));
  EXPECT_TRUE(CheckDesiredStateOrder(State(2), State(1)));
  EXPECT_TRUE(CheckDesiredStateOrder(State(2), State(2)));
  EXPECT_EQ(CheckDesiredStateOrder(State(1), State(2)).error().code(), ErrorCode::kConflict);
  DesiredState other = State(2);
  other.active = Model("9", "nine");
  EXPECT_EQ(CheckDesiredStateOrder(other, State(2)).error().code(), ErrorCode::kConflict);
}

TEST_F(DesiredStateTest, MalformedOnesNameTheMember) {
  const std::string good = State(1).ToJson();
  const auto broken = [&](std::string_view member, const Json& value) {
    Json json = *ParseJson(good);
    json[Json::json_pointer(std::string(member))] = value;
    const auto read = DesiredState::FromJson(json.dump());
    return read ? std::string("accepted") : read.error().message();
  };
  EXPECT_THAT(broken("/version", 0), HasSubstr("version"));
  EXPECT_THAT(broken("/version", "one"), HasSubstr("version"));
  EXPECT_THAT(broken("/active/name", "Not A Name"), HasSubstr("active"));
  EXPECT_THAT(broken("/active/version", "a b"), HasSubstr("active"));
  EXPECT_THAT(broken("/active/digest", "sha256:12"), HasSubstr("active"));
  EXPECT_THAT(broken("/model_key_pems", Json::array({"no key"})), HasSubstr("model_key_pems"));
  EXPECT_THAT(broken("/model_key_pems", std::vector<std::string>(limits::kTrustedKeys + 1,
                                                                 model_key_.public_key().ToPem())),
              HasSubstr("limit"));
}

TEST_F(DesiredStateTest, VersionsAreOrderedByTheirNumbers) {
  const std::vector<std::string> ascending{"1", "1.1", "1.9", "1.10", "2", "2-rc", "10", "a"};
  for (std::size_t i = 0; i < ascending.size(); ++i)
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      const int order = CompareVersions(ascending[i], ascending[j]);
      EXPECT_EQ(order < 0, i < j) << ascending[i] << " " << ascending[j];
      EXPECT_EQ(order == 0, i == j) << ascending[i] << " " << ascending[j];
    }
  EXPECT_EQ(CompareVersions("007", "7"), 0);
  EXPECT_LT(CompareVersions("99999999999999999999", "100000000000000000000"), 0);
}

TEST_F(DesiredStateTest, GoldenEnvelopeIsStillRead) {
  const std::filesystem::path golden = TRUST_GOLDEN;
  const auto token = JoinToken::FromJson(*ReadFile(golden / "token.json", 1 << 20));
  ASSERT_TRUE(token) << token.error().message();
  const std::vector<PublicKey> keys{*PublicKey::FromPem(token->hub_key_pem)};
  const auto state =
      VerifyDesiredState(*ReadFile(golden / "desired-state.dsse.json", 1 << 20), keys, "north");
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->version, 7U);
  EXPECT_EQ(state->active.ToString(), "milling:2");
  EXPECT_EQ(state->fallback->ToString(), "milling:1");
  EXPECT_EQ(state->policy->ToString(), "milling:1");
  EXPECT_EQ(state->ToJson() + "\n", *ReadFile(golden / "desired-state.json", 1 << 20));
}

}  // namespace
}  // namespace skerry
