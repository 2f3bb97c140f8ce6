#include "model/window_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "model/tests/fixture_package.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::HasSubstr;

ModelSchema Windowed() {
  ModelSchema schema = fixture::Schema();
  schema.derived = {{"load", DerivedOperation::kProduct, "torque_nm", "tool_wear_min"}};
  schema.windows = {.entity = "unit_id",
                    .time = "operator_note",
                    .features = {{"torque_nm_mean_30", WindowStatistic::kMean, "torque_nm", 30},
                                 {"torque_nm_sd_30", WindowStatistic::kDeviation, "torque_nm", 30},
                                 {"torque_nm_min_30", WindowStatistic::kMinimum, "torque_nm", 30},
                                 {"torque_nm_max_30", WindowStatistic::kMaximum, "torque_nm", 30},
                                 {"torque_nm_slope_30", WindowStatistic::kSlope, "torque_nm", 30},
                                 {"wear_before", WindowStatistic::kLag, "tool_wear_min", 1}}};
  return schema;
}

TEST(WindowFeatures, AreReadAsTheyAreWritten) {
  const ModelSchema schema = Windowed();
  const std::filesystem::path golden =
      std::filesystem::path(SKERRY_MODEL_GOLDEN) / "schema_windows.json";
  const Json json = ParseJson(ReadFile(golden, limits::kSchemaBytes).value()).value();
  EXPECT_EQ(schema.ToJson(), json);
  EXPECT_EQ(json["format"], "skerry-schema/1.2");
  EXPECT_EQ(ModelSchema::FromJson(json).value(), schema);
  EXPECT_THAT(schema.input_names(),
              testing::ElementsAre("type", "torque_nm", "tool_wear_min", "load",
                                   "torque_nm_mean_30", "torque_nm_sd_30", "torque_nm_min_30",
                                   "torque_nm_max_30", "torque_nm_slope_30", "wear_before"));
  EXPECT_EQ(schema.windows.features[1].Words(), "sd of torque_nm over 30 rows");
  EXPECT_EQ(schema.windows.features[5].Words(), "tool_wear_min 1 row before");
}

TEST(WindowFeatures, BadOnesAreRefusedByName) {
  struct Case {
    const char* pointer;
    Json value;
    const char* says;
    ErrorCode code = ErrorCode::kInvalidArgument;
  };
  Json many = Json::array();
  for (std::size_t i = 0; i <= limits::kWindowFeatures; ++i) many.push_back(Json::object());
  const std::vector<Case> cases = {
      {"/windows/entity", "torque_nm",
       "schema.windows.entity is \"torque_nm\", which is no field of role context or id"},
      {"/windows/time", "day", "schema.windows.time is \"day\", which is no field"},
      {"/windows/features", Json::array(), "schema.windows.features is empty"},
      {"/windows/features", many, "kWindowFeatures", ErrorCode::kTooLarge},
      {"/windows/features/1/statistic", "median",
       "schema.windows.features[1].statistic is \"median\"; this version of skerry knows mean, sd",
       ErrorCode::kUnimplemented},
      {"/windows/features/0/of", "type", "features[0].of is \"type\", which is no feature of type"},
      {"/windows/features/0/rows", 0, "features[0].rows is 0, expected 1 to 1000 (kWindowRows)"},
      {"/windows/features/0/rows", limits::kWindowRows + 1, "kWindowRows"},
      {"/windows/features/1/name", "load", "features[1].name is \"load\", expected"},
      {"/windows/features/1/name", "torque_nm_mean_30", "and no other's name"},
      {"/windows/features/1/name", "Mean", "expected [a-z][a-z0-9_]*"},
      {"/windows/features/1", 7, "schema.windows.features[1]"}};
  for (const Case& one : cases) {
    Json json = Windowed().ToJson();
    json[Json::json_pointer(one.pointer)] = one.value;
    const auto read = ModelSchema::FromJson(json);
    ASSERT_FALSE(read) << one.says;
    EXPECT_EQ(read.error().code(), one.code) << one.says;
    EXPECT_THAT(read.error().message(), HasSubstr(one.says));
  }
  Json anomaly = Windowed().ToJson();
  anomaly["task"] = "anomaly";
  anomaly.erase("derived");
  EXPECT_THAT(ModelSchema::FromJson(anomaly).error().message(),
              HasSubstr("a detector sees the features of a row alone"));
}

}  // namespace
}  // namespace skerry
