#include "train/column_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/file.h"
#include "train/tests/training_data.h"

namespace skerry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ColumnFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("columns");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
    WriteText(path("data.csv"),
              "code,day,note,x,w,failed\n01,2026-01-01,a,1.5,1,0\n02,2026-01-02,b,,2,1\n"
              "01,2026-01-03,c,9,1,1\n");
    options_.data = {path("data.csv")};
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }

  Status Read(std::string_view columns) {
    WriteText(path("schema.yaml"), fmt::format("format: skerry-columns/1\ncolumns:\n{}", columns));
    return ReadColumnFile(path("schema.yaml"), options_);
  }
  std::string Refusal(std::string_view columns) {
    Status status = Read(columns);
    if (status) {
      const auto facts = InspectColumns(options_);
      if (facts) return "it was taken";
      status = tl::make_unexpected(facts.error());
    }
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    return status.error().message();
  }

  std::optional<TemporaryDirectory> directory_;
  TrainOptions options_;
};

TEST_F(ColumnFileTest, TellsWhatWouldBeInferredAndReadsTheSame) {
  options_.label = "failed";
  const auto facts = InspectColumns(options_);
  ASSERT_TRUE(facts) << facts.error().ToString();
  const std::string text = ColumnFileText(*facts);
  EXPECT_THAT(text, HasSubstr("\"x\": {role: feature, type: number}  # double, 1 missing, 2 "
                              "different: 1.5 to 9\n"));
  EXPECT_THAT(text, HasSubstr("\"day\": {role: context}  # timestamp"));
  EXPECT_THAT(text, HasSubstr("\"failed\": {role: label}"));
  WriteText(path("schema.yaml"), text);
  TrainOptions told;
  told.data = options_.data;
  ASSERT_TRUE(ReadColumnFile(path("schema.yaml"), told));
  EXPECT_EQ(told.label, "failed");
  const auto again = InspectColumns(told);
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(ColumnFileText(*again), text);
}

TEST_F(ColumnFileTest, RolesAndTypesAreTaken) {
  ASSERT_TRUE(
      Read("  code: {role: feature, type: category}\n  day: {role: time}\n"
           "  note: {role: ignore}\n  w: {role: weight}\n  failed: {role: label}\n"));
  EXPECT_EQ(options_.time_column, "day");
  EXPECT_EQ(options_.weight_column, "w");
  EXPECT_EQ(options_.label, "failed");
  EXPECT_THAT(options_.ignore, ElementsAre("note"));
  const auto facts = InspectColumns(options_);
  ASSERT_TRUE(facts) << facts.error().ToString();
  EXPECT_EQ(facts->front().type, "category");
  EXPECT_EQ(facts->front().values, "01, 02") << "as written, not as numbers";
}

TEST_F(ColumnFileTest, WhatIsWrongIsToldWithItsLine) {
  EXPECT_THAT(
      Refusal("  x: {role: feature}\n  y: {role: ignore}\n"),
      HasSubstr("schema.yaml, line 4, column 6: the data has no column 'y'; it has 'code'"));
  EXPECT_THAT(Refusal("  x: {role: target}\n"),
              HasSubstr("schema.yaml, line 3, column 6: there is no role 'target'"));
  EXPECT_THAT(Refusal("  day: {type: time}\n"),
              HasSubstr("line 3, column 8: a feature is a number"));
  EXPECT_THAT(Refusal("  x: {rol: id}\n"), HasSubstr("rol"));
  EXPECT_THAT(Refusal("  x: {role: label}\n  w: {role: label}\n"),
              HasSubstr("cannot be the label, which 'w' is already"));
  EXPECT_THAT(Refusal("  x: [\n"), HasSubstr("schema.yaml"));
}

TEST_F(ColumnFileTest, ATypeThatTheCellsDoNotHaveIsRefused) {
  EXPECT_THAT(
      Refusal("  note: {type: number}\n"),
      HasSubstr("line 3, column 9: column 'note' is told to be a number, but row 1 says 'a'"));
  options_.told.clear();
  EXPECT_THAT(Refusal("  day: {type: number}\n"), HasSubstr("'day' holds times, not numbers"));
}

TEST_F(ColumnFileTest, TooManyCategoriesAreRefused) {
  std::string csv = "name,failed\n";
  for (int i = 0; i < 1'001; ++i) csv += fmt::format("n{},{}\n", i, i % 2);
  WriteText(path("data.csv"), csv);
  EXPECT_THAT(Refusal("  name: {type: category}\n"), HasSubstr("over 1000 different texts"));
}

TEST_F(ColumnFileTest, AnotherFormatIsRefused) {
  WriteText(path("schema.yaml"), "format: skerry-columns/2\ncolumns: {}\n");
  const Status status = ReadColumnFile(path("schema.yaml"), options_);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(),
              HasSubstr("line 1, column 9: format is 'skerry-columns/2'"));
}

}  // namespace
}  // namespace skerry
