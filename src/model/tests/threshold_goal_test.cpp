#include "model/threshold_goal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry {
namespace {

using ::testing::HasSubstr;

TEST(ThresholdGoal, IsWrittenAsItIsRead) {
  for (const char* text : {"f1", "cost=1:20", "cost=0.5:1e-05", "alarm-rate=0.02"}) {
    const auto goal = ThresholdGoal::Parse(text);
    ASSERT_TRUE(goal) << goal.error().ToString();
    EXPECT_EQ(goal->ToText(), text);
  }
  const auto cost = ThresholdGoal::Parse("cost=1:20");
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->kind, ThresholdGoal::Kind::kCost);
  EXPECT_EQ(cost->false_positive_cost, 1);
  EXPECT_EQ(cost->false_negative_cost, 20);
}

TEST(ThresholdGoal, AnythingElseIsRefusedWithWhatToWrite) {
  for (const char* text : {"", "F1", "f1 ", "recall", "cost", "alarm-rate"})
    EXPECT_THAT(ThresholdGoal::Parse(text).error().message(), HasSubstr("cost=FP:FN")) << text;
  for (const char* text : {"cost=", "cost=1", "cost=1:", "cost=:1", "cost=0:1", "cost=1:-2",
                           "cost=1:2:3", "cost=1:nan", "cost=inf:1", "cost=1 :2"})
    EXPECT_THAT(ThresholdGoal::Parse(text).error().message(), HasSubstr("cost=1:20")) << text;
  for (const char* text : {"alarm-rate=", "alarm-rate=0", "alarm-rate=1", "alarm-rate=2%",
                           "alarm-rate=-0.1", "alarm-rate=nan"})
    EXPECT_THAT(ThresholdGoal::Parse(text).error().message(), HasSubstr("alarm-rate=0.02")) << text;
}

}  // namespace
}  // namespace skerry
