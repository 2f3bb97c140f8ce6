#include "policy/condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/limits.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class Values final : public ConditionInput {
 public:
  Values(const Condition& condition, std::map<std::string, ConditionValue> values)
      : condition_(condition), values_(std::move(values)) {}
  ConditionValue Value(std::size_t name) const override {
    const auto found = values_.find(condition_.names()[name]);
    return found == values_.end() ? ConditionValue() : found->second;
  }

 private:
  const Condition& condition_;
  std::map<std::string, ConditionValue> values_;
};

bool Holds(const std::string& text) {
  const auto condition = Condition::Parse(text);
  EXPECT_TRUE(condition) << condition.error().ToString();
  return condition->Evaluate(Values(*condition, {{"torque_nm", 61.5},
                                                 {"type", std::string_view("L")},
                                                 {"anomaly", true},
                                                 {"quiet", false}})) == Truth::kTrue;
}

std::string ErrorOf(const std::string& text) {
  const auto condition = Condition::Parse(text);
  return condition ? "accepted" : condition.error().ToString();
}

TEST(Condition, ComparesNumbersAndTexts) {
  EXPECT_TRUE(Holds("torque_nm > 60"));
  EXPECT_TRUE(Holds("torque_nm>=61.5"));
  EXPECT_FALSE(Holds("torque_nm < +6.15e1"));
  EXPECT_TRUE(Holds("torque_nm != -1"));
  EXPECT_TRUE(Holds("type == 'L'"));
  EXPECT_TRUE(Holds("type != \"H\""));
  EXPECT_TRUE(Holds("anomaly"));
  EXPECT_FALSE(Holds("quiet"));
}

TEST(Condition, AndBindsTighterThanOr) {
  EXPECT_TRUE(Holds("anomaly or quiet and torque_nm < 0"));
  EXPECT_FALSE(Holds("(anomaly or quiet) and torque_nm < 0"));
  EXPECT_TRUE(Holds("not quiet and not (type == 'H' or torque_nm <= 1)"));
}

TEST(Condition, AnAbsentValueMakesEveryComparisonFalse) {
  EXPECT_FALSE(Holds("wear > 1"));
  EXPECT_FALSE(Holds("wear != 1"));
  EXPECT_TRUE(Holds("not wear > 1"));
  EXPECT_FALSE(Holds("type > 3"));
}

TEST(Condition, SaysWhereItIsWrongAndWhatToWrite) {
  EXPECT_THAT(ErrorOf("torque_nm = 60"), HasSubstr("two signs"));
  EXPECT_THAT(ErrorOf("torque_nm >"), HasSubstr("found the end"));
  EXPECT_THAT(ErrorOf("torque_nm > 60 60"), HasSubstr("at character 16"));
  EXPECT_THAT(ErrorOf("(anomaly"), HasSubstr("expected ')'"));
  EXPECT_THAT(ErrorOf("type == 'L"), HasSubstr("closing quote"));
  EXPECT_THAT(ErrorOf("type == L"), HasSubstr("quoted text"));
  EXPECT_THAT(ErrorOf("and anomaly"), HasSubstr("a field name"));
  EXPECT_THAT(ErrorOf("a > 1e999"), HasSubstr("a number"));
  EXPECT_THAT(ErrorOf("a > 1x"), HasSubstr("a number"));
  EXPECT_THAT(ErrorOf("a & b"), HasSubstr("operator"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("found the end"));
}

TEST(Condition, IsBounded) {
  EXPECT_THAT(ErrorOf(std::string(limits::kConditionDepth + 1, '(') + "a"), HasSubstr("deeper"));
  std::string deep;
  for (std::size_t i = 0; i <= limits::kConditionDepth; ++i) deep += "not ";
  EXPECT_THAT(ErrorOf(deep + "a"), HasSubstr("deeper"));
  std::string wide = "a";
  for (std::size_t i = 0; i < limits::kConditionTerms; ++i) wide += " or a";
  EXPECT_THAT(ErrorOf(wide), HasSubstr("comparisons"));
  EXPECT_THAT(ErrorOf(std::string(limits::kConditionChars + 1, ' ')), HasSubstr("limit"));
}

}  // namespace
}  // namespace skerry
