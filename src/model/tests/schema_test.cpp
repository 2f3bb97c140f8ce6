#include "model/schema.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "base/limits.h"
#include "model/reference.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

Json Golden(const std::string& name) {
  std::ifstream file(std::string(SKERRY_MODEL_GOLDEN) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  auto json = ParseJson(text.str());
  EXPECT_TRUE(json) << name;
  return json ? *json : Json();
}

TEST(Schema, GoldenFileReadsAndWritesTheSame) {
  const Json golden = Golden("schema.json");
  const auto schema = ModelSchema::FromJson(golden);
  ASSERT_TRUE(schema) << schema.error().message();
  EXPECT_EQ(*schema, fixture::Schema());
  EXPECT_EQ(schema->ToJson(), golden);
}

TEST(Schema, UnknownOptionalMembersAndMinorVersionsAreIgnored) {
  Json json = fixture::Schema().ToJson();
  json["format"] = "skerry-schema/1.7";
  json["colour"] = "blue";
  json["fields"][1]["unit"] = "Nm";
  EXPECT_EQ(ModelSchema::FromJson(json).value(), fixture::Schema());
}

TEST(Schema, UnknownMajorVersionIsRefused) {
  Json json = fixture::Schema().ToJson();
  json["format"] = "skerry-schema/2";
  const auto schema = ModelSchema::FromJson(json);
  ASSERT_FALSE(schema);
  EXPECT_EQ(schema.error().code(), ErrorCode::kUnimplemented);
  EXPECT_NE(schema.error().message().find("skerry-schema/1"), std::string::npos);
}

TEST(Schema, EveryTaskSurvivesItsJson) {
  for (const ModelTask task :
       {ModelTask::kBinary, ModelTask::kMulticlass, ModelTask::kRegression, ModelTask::kAnomaly}) {
    ModelSchema schema = fixture::Schema();
    schema.task = task;
    if (task != ModelTask::kBinary) schema.positive.clear();
    if (task == ModelTask::kMulticlass) schema.classes = {"low", "mid", "high"};
    if (task == ModelTask::kRegression || task == ModelTask::kAnomaly) schema.classes.clear();
    if (task == ModelTask::kAnomaly) schema.label_column.clear();
    const auto read = ModelSchema::FromJson(schema.ToJson());
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, schema) << ModelTaskName(task);
  }
}

TEST(Schema, ClassesAreLimitedAndDistinct) {
  ModelSchema schema = fixture::Schema();
  schema.task = ModelTask::kMulticlass;
  schema.positive.clear();
  schema.classes.clear();
  for (std::size_t i = 0; i < limits::kClasses; ++i)
    schema.classes.push_back(fmt::format("c{}", i));
  EXPECT_TRUE(ModelSchema::FromJson(schema.ToJson()));
  schema.classes.back() = "c0";
  EXPECT_NE(ModelSchema::FromJson(schema.ToJson()).error().message().find("twice"),
            std::string::npos);
  schema.classes.back() = "last";
  schema.classes.emplace_back("one more");
  EXPECT_NE(ModelSchema::FromJson(schema.ToJson()).error().message().find("kClasses"),
            std::string::npos);
}

struct BadSchema {
  const char* pointer;
  Json value;
  const char* named;  // what the error must name
};

TEST(Schema, BadMembersAreRefusedByName) {
  const std::vector<BadSchema> cases = {
      {"/format", "other/1", "format"},
      {"/model", "Bad Name!", "model"},
      {"/task", "ranking", "task"},
      {"/classes", Json::array({"0"}), "classes"},
      {"/fields/1/name", "Torque Nm", "fields[1].name"},
      {"/fields/1/name", "type", "type"},
      {"/fields/1/role", "target", "fields[1].role"},
      {"/fields/1/type", "text", "torque_nm"},
      {"/fields/0/categories", Json::array(), "fields[0].categories"},
      {"/fields/0/categories", Json::array({"L", "L"}), "fields[0].categories"},
      {"/fields", Json::array(), "fields"}};
  for (const BadSchema& bad : cases) {
    Json json = fixture::Schema().ToJson();
    json[Json::json_pointer(bad.pointer)] = bad.value;
    const auto schema = ModelSchema::FromJson(json);
    ASSERT_FALSE(schema) << bad.pointer;
    EXPECT_NE(schema.error().message().find(bad.named), std::string::npos)
        << schema.error().message();
  }
}

TEST(Schema, FieldNamesAreSlugsOfColumns) {
  EXPECT_EQ(FieldNameOf("Air temperature [K]"), "air_temperature_k");
  EXPECT_EQ(FieldNameOf("  Torque__[Nm] "), "torque_nm");
  EXPECT_EQ(FieldNameOf("3rd sensor"), "f_3rd_sensor");
  EXPECT_EQ(FieldNameOf("°"), "field");
}

TEST(Schema, CategoriesAreCodesUnseenIsTheNextCodeAndMissingIsNaN) {
  const Field field = fixture::Schema().fields[0];
  EXPECT_EQ(EncodeFeature(field, "M").value(), 1);
  EXPECT_EQ(EncodeFeature(field, " H ").value(), 2);
  EXPECT_EQ(EncodeFeature(field, "Q").value(), 3);
  EXPECT_TRUE(std::isnan(EncodeFeature(field, "").value()));
  EXPECT_TRUE(std::isnan(EncodeFeature(field, "NA").value()));
}

TEST(Schema, NumbersAreFiniteOrMissing) {
  const Field field = fixture::Schema().fields[1];
  EXPECT_FLOAT_EQ(EncodeFeature(field, " +42.5 ").value(), 42.5F);
  EXPECT_FLOAT_EQ(EncodeFeature(field, "1e-3").value(), 0.001F);
  for (const char* missing : {"", "  ", "NaN", "na", "NULL"})
    EXPECT_TRUE(std::isnan(EncodeFeature(field, missing).value())) << missing;
  for (const char* bad : {"wet", "1.5x", "inf", "-Infinity", "1e60", "1,5"}) {
    const auto value = EncodeFeature(field, bad);
    ASSERT_FALSE(value) << bad;
    EXPECT_NE(value.error().message().find("torque_nm"), std::string::npos);
  }
}

TEST(Reference, GoldenFileReadsAndWritesTheSame) {
  const Json golden = Golden("reference.json");
  const auto reference = ModelReference::FromJson(golden);
  ASSERT_TRUE(reference) << reference.error().message();
  EXPECT_EQ(*reference, fixture::Reference());
  EXPECT_EQ(reference->ToJson(), golden);
}

TEST(Reference, GroupsUnderKAreLeftOutOfTheFile) {
  ModelReference reference = fixture::Reference();
  reference.features[0].counts = {600, 4, 5};
  reference.features[2].missing = 3;
  reference.score_counts = {0, 1, 900};
  const Json json = reference.ToJson();
  EXPECT_EQ(json["features"][0]["counts"], Json::array({600, nullptr, 5}));
  EXPECT_TRUE(json["features"][2]["missing"].is_null());
  EXPECT_EQ(json["score"]["counts"], Json::array({0, nullptr, 900}));
  const auto read = ModelReference::FromJson(json);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->features[0].counts, (std::vector<std::uint64_t>{600, 0, 5}));
}

TEST(Reference, BadMembersAreRefusedByName) {
  const std::vector<BadSchema> cases = {
      {"/features/1/edges", Json::array({30, 30, 50}), "features[1]"},
      {"/features/1/counts", Json::array({1, 2}), "features[1].counts"},
      {"/features/1/counts", Json::array({1, 2, -3, 4}), "counts"},
      {"/features/1/min", 100, "features[1]"},
      {"/score/counts", Json::array({1}), "score.counts"},
      {"/threshold", "high", "threshold"}};
  for (const BadSchema& bad : cases) {
    Json json = fixture::Reference().ToJson();
    json[Json::json_pointer(bad.pointer)] = bad.value;
    const auto reference = ModelReference::FromJson(json);
    ASSERT_FALSE(reference) << bad.pointer;
    EXPECT_NE(reference.error().message().find(bad.named), std::string::npos)
        << reference.error().message();
  }
}

TEST(Reference, DecileEdgesAreDistinctAndBinsHoldTheirShare) {
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) values.push_back(static_cast<float>((i * 7) % 1000));
  values.push_back(std::nanf(""));
  const Field field = fixture::Schema().fields[1];
  const FeatureReference reference = MakeFeatureReference(field, values);
  EXPECT_EQ(reference.edges.size(), 9U);
  for (const std::uint64_t count : reference.counts) EXPECT_EQ(count, 100U);
  EXPECT_EQ(reference.missing, 1U);
  EXPECT_EQ(reference.min, 0);
  EXPECT_EQ(reference.max, 999);
  EXPECT_TRUE(DecileEdges(std::vector<float>{5, 5, 5}).empty());
  EXPECT_EQ(BinOf(reference.edges, reference.edges[0]), 0U);
  EXPECT_EQ(BinOf(reference.edges, 1e9), 9U);
}

}  // namespace
}  // namespace skerry
