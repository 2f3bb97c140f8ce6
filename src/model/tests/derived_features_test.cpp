#include "model/derived_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "model/scorer.h"
#include "model/tests/fixture_package.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
constexpr float kMost = std::numeric_limits<float>::max();

std::vector<DerivedFeature> ThreeDerived() {
  return {{"load", DerivedOperation::kProduct, "torque_nm", "tool_wear_min"},
          {"torque_nm_per_tool_wear_min", DerivedOperation::kRatio, "torque_nm", "tool_wear_min"},
          {"rest", DerivedOperation::kDifference, "tool_wear_min", "torque_nm"}};
}

bool IsMissing(float value) {
  return std::bit_cast<std::uint32_t>(value) == std::bit_cast<std::uint32_t>(kMissing);
}

TEST(DerivedFeatures, AreFiniteOrMissing) {
  EXPECT_EQ(Derive(DerivedOperation::kProduct, 1.1F, 3.3F), 1.1F * 3.3F);
  EXPECT_EQ(Derive(DerivedOperation::kRatio, 1.1F, 3.3F), 1.1F / 3.3F);
  EXPECT_EQ(Derive(DerivedOperation::kDifference, 1.1F, 3.3F), 1.1F - 3.3F);
  EXPECT_EQ(Derive(DerivedOperation::kRatio, 0, 3), 0);
  for (const float left : {1.0F, 0.0F, -1.0F, kMissing}) {
    EXPECT_TRUE(IsMissing(Derive(DerivedOperation::kRatio, left, 0.0F))) << left;
    EXPECT_TRUE(IsMissing(Derive(DerivedOperation::kRatio, left, -0.0F))) << left;
  }
  for (const auto operation :
       {DerivedOperation::kProduct, DerivedOperation::kRatio, DerivedOperation::kDifference}) {
    EXPECT_TRUE(IsMissing(Derive(operation, kMissing, 2)));
    EXPECT_TRUE(IsMissing(Derive(operation, 2, -kMissing)));
  }
  EXPECT_TRUE(IsMissing(Derive(DerivedOperation::kProduct, kMost, -2)));
  EXPECT_TRUE(IsMissing(Derive(DerivedOperation::kRatio, kMost, 0.5F)));
  EXPECT_TRUE(IsMissing(Derive(DerivedOperation::kDifference, kMost, -kMost)));
}

TEST(DerivedFeatures, StandBehindTheFeaturesOfEachRow) {
  ModelSchema schema = fixture::Schema();
  schema.derived = ThreeDerived();
  const DerivedColumns columns(schema);
  std::vector<float> expanded = {7};
  const std::vector<float> rows = {0, 42, 10, 2, 30, 0};
  columns.Expand(rows, {}, expanded);
  ASSERT_EQ(expanded.size(), 12U);
  EXPECT_THAT(std::vector<float>(expanded.begin(), expanded.begin() + 6),
              testing::ElementsAre(0, 42, 10, 420, 4.2F, -32));
  EXPECT_THAT(std::vector<float>(expanded.begin() + 6, expanded.begin() + 10),
              testing::ElementsAre(2, 30, 0, 0));
  EXPECT_TRUE(IsMissing(expanded[10]));
  EXPECT_EQ(expanded[11], -30);
}

TEST(DerivedFeatures, GoldenSchemaIsReadAndWritten) {
  const std::filesystem::path file =
      std::filesystem::path(SKERRY_MODEL_GOLDEN) / "schema_derived.json";
  const Json golden = ParseJson(ReadFile(file, 1U << 20U).value()).value();
  ModelSchema schema = fixture::Schema();
  schema.derived = ThreeDerived();
  const auto read = ModelSchema::FromJson(golden);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, schema);
  EXPECT_EQ(read->ToJson(), golden);
  EXPECT_EQ(schema.derived[0].Words(), "torque_nm x tool_wear_min");
  EXPECT_EQ(schema.derived[1].Words(), "torque_nm / tool_wear_min");
  EXPECT_EQ(schema.derived[2].Words(), "tool_wear_min - torque_nm");
}

TEST(DerivedFeatures, BadOnesAreRefusedByName) {
  struct Case {
    const char* pointer;
    Json value;
    const char* says;
    ErrorCode code = ErrorCode::kInvalidArgument;
  };
  const std::vector<Case> cases = {
      {"/derived/1/operation", "logarithm",
       "schema.derived[1].operation is \"logarithm\"; this version of skerry knows product, ratio, "
       "difference",
       ErrorCode::kUnimplemented},
      {"/derived/0/of", Json::array({"torque_nm"}), "names 1 features, expected 2"},
      {"/derived/0/of/1", "speed", "names \"speed\", which is no feature"},
      {"/derived/0/of/1", "type", "names \"type\", which is no feature of type number"},
      {"/derived/0/of/1", "unit_id", "names \"unit_id\", which is no feature"},
      {"/derived/0/of/1", "rest", "names \"rest\", which is no feature"},
      {"/derived/0/name", "torque_nm", "derived[0].name is \"torque_nm\""},
      {"/derived/2/name", "load", "derived[2].name is \"load\""},
      {"/derived/0/name", "Load", "expected [a-z][a-z0-9_]*"},
      {"/derived/0", 3, "derived[0]"},
      {"/derived", 3, "derived"},
      {"/task", "anomaly", "a detector sees the features alone"}};
  for (const Case& one : cases) {
    ModelSchema schema = fixture::Schema();
    schema.derived = ThreeDerived();
    Json json = schema.ToJson();
    json[Json::json_pointer(one.pointer)] = one.value;
    const auto read = ModelSchema::FromJson(json);
    ASSERT_FALSE(read) << one.says;
    EXPECT_EQ(read.error().code(), one.code) << read.error().message();
    EXPECT_THAT(read.error().message(), HasSubstr(one.says));
  }
}

TEST(DerivedFeatures, AreLimited) {
  ModelSchema schema = fixture::Schema();
  for (std::size_t i = 0; i < limits::kDerivedFeatures; ++i)
    schema.derived.push_back(
        {fmt::format("d{}", i), DerivedOperation::kProduct, "torque_nm", "tool_wear_min"});
  EXPECT_TRUE(ModelSchema::FromJson(schema.ToJson()));
  schema.derived.push_back({"more", DerivedOperation::kRatio, "torque_nm", "tool_wear_min"});
  const auto refused = ModelSchema::FromJson(schema.ToJson());
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message(), HasSubstr("kDerivedFeatures"));
}

class DerivingPackage : public testing::Test {
 protected:
  TemporaryDirectory directory_ = TemporaryDirectory::Create("derives").value();
  std::filesystem::path path() const { return directory_.path() / "package"; }
};

TEST_F(DerivingPackage, PredictorSeesThemAndTheDetectorDoesNot) {
  fixture::WritePackage(
      path(), {.model = {.features = 6, .feature = 3, .split = 600}, .derived = ThreeDerived()});
  const auto package = LoadPackage(path(), {});
  ASSERT_TRUE(package) << package.error().message();
  RowBatch batch;
  batch.package = *package;
  batch.rows = 3;
  batch.features = {0, 30, 10, 0, 30, 100, 1, kMissing, 100};
  const Status scored = ScoreRows(batch);
  ASSERT_TRUE(scored) << scored.error().message();
  EXPECT_THAT(batch.score, testing::Pointwise(testing::FloatEq(), {0.1F, 0.9F, 0.1F}));
  EXPECT_EQ(batch.anomaly_score.size(), 3U);
  EXPECT_EQ(batch.Row(1).size(), 3U);
  EXPECT_EQ(batch.InputRow(1).size(), 6U);
  EXPECT_EQ(batch.InputRow(1)[3], 3'000);
  EXPECT_TRUE(IsMissing(batch.InputRow(2)[3]));
  EXPECT_TRUE(batch.out_of_range[1].empty());
}

TEST_F(DerivingPackage, GraphOfTheFeaturesAloneDoesNotFit) {
  fixture::WritePackage(path(), {.model = {.features = 3}, .derived = ThreeDerived()});
  const auto few = LoadPackage(path(), {});
  ASSERT_FALSE(few);
  EXPECT_THAT(few.error().message(), HasSubstr("[-1,6]"));
  // As a reader that does not know `derived` sees it.
  fixture::WritePackage(path(), {.model = {.features = 6}});
  const auto many = LoadPackage(path(), {});
  ASSERT_FALSE(many);
  EXPECT_THAT(many.error().message(), HasSubstr("[-1,3]"));
}

}  // namespace
}  // namespace skerry
