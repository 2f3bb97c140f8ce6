#include "trust/desired_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "codec/json.h"
#include "trust/tests/trust_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class DesiredStateTest : public TrustTest {};

TEST_F(DesiredStateTest, ComesBackWhole) {
  DesiredState state = State(7);
  state.fallback = Model("0", "zero");
  state.policy = PolicyRef{"milling", "3", Digest::Sha256("policy")};
  const auto read = ReadDesiredState(state.ToJson(), "north");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, state);
}

TEST_F(DesiredStateTest, AnotherSitesIsRefused) {
  EXPECT_EQ(ReadDesiredState(State(1).ToJson(), "south").error().code(),
            ErrorCode::kPermissionDenied);
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

TEST_F(DesiredStateTest, GoldenDocumentIsStillRead) {
  const std::filesystem::path golden = TRUST_GOLDEN;
  const std::string text = *ReadFile(golden / "desired-state.json", 1 << 20);
  const auto state = ReadDesiredState(text, "north");
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->version, 7U);
  EXPECT_EQ(state->active.ToString(), "milling:2");
  EXPECT_EQ(state->fallback->ToString(), "milling:1");
  EXPECT_EQ(state->policy->ToString(), "milling:1");
  EXPECT_EQ(state->ToJson() + "\n", text);
}

}  // namespace
}  // namespace skerry
