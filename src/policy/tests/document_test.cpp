#include "policy/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/limits.h"

namespace skerry {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ExampleYaml() {
  std::ostringstream text;
  text << std::ifstream(std::filesystem::path(POLICY_EXAMPLES) / "milling.yaml").rdbuf();
  return text.str();
}

const std::string kHead = "skerry: policy/1\nname: milling\nversion: 1\n";

std::string ErrorOf(const std::string& yaml) {
  const auto policy = PolicyDocument::Parse(yaml);
  return policy ? "accepted" : policy.error().ToString();
}

TEST(PolicyDocument, ReadsTheExample) {
  const std::string yaml = ExampleYaml();
  const auto policy = PolicyDocument::Parse(yaml);
  ASSERT_TRUE(policy) << policy.error().ToString();
  EXPECT_EQ(policy->name, "milling");
  EXPECT_EQ(policy->version, "1");
  EXPECT_EQ(policy->digest, Digest::Sha256(yaml));
  EXPECT_EQ(policy->fields.size(), 8U);
  EXPECT_EQ(policy->fields.at("tool_wear_min").action, FieldAction::kBucket);
  EXPECT_EQ(policy->fields.at("tool_wear_min").step, 10);
  EXPECT_EQ(policy->fields.at("tool_wear_min").rule, "wear-in-tens");
  EXPECT_EQ(policy->derived.event_time.time_unit_us, 1'000'000);
  EXPECT_EQ(policy->derived.outputs.rule, kDefaultDeny);
  EXPECT_EQ(policy->classes.sample_rate, 0.5);
  EXPECT_EQ(policy->classes.summary->every_rows, 2000U);
  EXPECT_TRUE(policy->classes.decision);
}

TEST(PolicyDocument, AShortRuleIsNamedForItsPlace) {
  const auto policy = PolicyDocument::Parse(kHead + "fields: {a: keep}\nderived: {score: keep}\n");
  ASSERT_TRUE(policy) << policy.error().ToString();
  EXPECT_EQ(policy->fields.at("a").rule, "fields.a");
  EXPECT_EQ(policy->derived.score.rule, "derived.score");
  EXPECT_FALSE(policy->classes.anomaly);
}

TEST(PolicyDocument, ErrorsGiveThePlaceAndWhatToWrite) {
  EXPECT_THAT(ErrorOf("name: a\nversion: 1\n"), HasSubstr("write 'skerry: policy/1'"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("no mapping"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no mapping"));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  torque_nm: {action: kep}\n"),
              AllOf(HasSubstr("line 5, column 23"), HasSubstr("fields.torque_nm.action"),
                    HasSubstr("write keep, drop, hash")));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  wear: {action: bucket}\n"),
              AllOf(HasSubstr("line 5"), HasSubstr("{action: bucket, width: 10}")));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  wear: bucket\n"), HasSubstr("width: 10"));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  wear: {action: keep, width: 10}\n"),
              AllOf(HasSubstr("fields.wear.width"), HasSubstr("there are action, rule")));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  wear: {action: bucket, width: 0}\n"),
              HasSubstr("no number from"));
  EXPECT_THAT(ErrorOf(kHead + "fields:\n  t: {action: truncate_time, to: second}\n"),
              HasSubstr("no action here"));
  EXPECT_THAT(ErrorOf(kHead + "fields: [a]\n"), HasSubstr("no mapping"));
  EXPECT_THAT(ErrorOf(kHead + "default: keep\n"), HasSubstr("default: drop"));
  EXPECT_THAT(ErrorOf(kHead + "feilds: {}\n"),
              AllOf(HasSubstr("line 4, column"), HasSubstr("there are skerry, name")));
  EXPECT_THAT(ErrorOf(kHead + "derived: {scores: keep}\n"), HasSubstr("there are prediction"));
  EXPECT_THAT(ErrorOf(kHead + "derived: {event_time: {action: truncate_time, to: week}}\n"),
              HasSubstr("write second, minute, hour or day"));
  EXPECT_THAT(ErrorOf(kHead + "withhold: [{when: 'a >'}]\n"), HasSubstr("'rule' is missing"));
  EXPECT_THAT(ErrorOf(kHead + "withhold: [{when: 'a >', rule: x}]\n"),
              AllOf(HasSubstr("line 4"), HasSubstr("withhold[0].when"), HasSubstr("at character")));
  EXPECT_THAT(ErrorOf(kHead + "classes: {sample: {rate: 1.5}}\n"), HasSubstr("from 0 to 1"));
  EXPECT_THAT(ErrorOf(kHead + "classes: {sample: 0.5}\n"), HasSubstr("classes.sample"));
  EXPECT_THAT(ErrorOf(kHead + "classes: {summary: {every_rows: 10}}\n"), HasSubstr("min_group"));
  EXPECT_THAT(ErrorOf(kHead + "classes: {anomalies: {}}\n"), HasSubstr("there are anomaly"));
  EXPECT_THAT(ErrorOf("skerry: policy/1\nname: Mill ing\nversion: 1\n"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("skerry: policy/1\nname: a\nversion: 1.10\n"), HasSubstr("in quotes"));
  EXPECT_THAT(ErrorOf(kHead + "fields: {a: {action: keep, rule: ''}}\n"), HasSubstr("rule's name"));
  EXPECT_THAT(ErrorOf(kHead + "fields: {a: keep, a: drop}\n"), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf("skerry: policy/2\n"), HasSubstr("write policy/1"));
  EXPECT_EQ(PolicyDocument::Parse("skerry: policy/2\n").error().code(), ErrorCode::kUnimplemented);
}

TEST(PolicyDocument, IsBounded) {
  EXPECT_EQ(PolicyDocument::Parse(std::string(limits::kYamlBytes + 1, ' ')).error().code(),
            ErrorCode::kTooLarge);
  std::string yaml = kHead + "fields:\n  a: {action: allow, list: [";
  for (std::size_t i = 0; i <= limits::kPolicyRules; ++i) yaml += "x,";
  EXPECT_EQ(PolicyDocument::Parse(yaml + "]}\n").error().code(), ErrorCode::kTooLarge);
}

// One flipped bit anywhere: another policy or an error, never a crash and never the same digest.
TEST(PolicyDocument, AFlippedBitChangesTheDigestOrIsRefused) {
  const std::string yaml = ExampleYaml();
  const Digest original = Digest::Sha256(yaml);
  for (std::size_t at = 0; at < yaml.size(); ++at) {
    std::string damaged = yaml;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    const auto policy = PolicyDocument::Parse(damaged);
    if (policy) {
      EXPECT_NE(policy->digest, original);
    }
  }
}

}  // namespace
}  // namespace skerry
