#include "train/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/limits.h"
#include "train/report_plots.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Column TextColumn(std::string name, std::vector<std::string> texts) {
  Column column;
  column.name = std::move(name);
  column.type = ColumnType::kText;
  column.valid.assign(texts.size(), 1);
  column.texts = std::move(texts);
  return column;
}

class SlicesTest : public testing::Test {
 protected:
  // `rows` rows of the feature "load" (0, 1, 2, ...), which is missing in the last row.
  void Fill(std::size_t rows) {
    schema_.task = ModelTask::kBinary;
    schema_.label_column = "failed";
    schema_.classes = {"0", "1"};
    schema_.fields = {{.name = "load", .column = "Load [kN]", .categories = {}}};
    labelled_.features.columns = 1;
    for (std::size_t row = 0; row < rows; ++row) {
      labelled_.features.values.push_back(static_cast<float>(row));
      labelled_.labels.push_back(row % 3 == 0 ? 1 : 0);
      labelled_.weights.push_back(1);
      scores_.push_back(row % 3 == 0 ? 0.8F : 0.2F);
    }
    labelled_.features.values.back() = std::numeric_limits<float>::quiet_NaN();
    rows_.resize(rows);
    std::iota(rows_.begin(), rows_.end(), std::size_t{0});
  }
  void AddContext(const std::string& name, std::vector<std::string> texts) {
    schema_.fields.push_back({.name = name,
                              .column = name,
                              .role = FieldRole::kContext,
                              .type = FieldType::kText,
                              .categories = {}});
    table_.columns.push_back(TextColumn(name, std::move(texts)));
  }
  Result<std::vector<SliceColumn>> Choose(const std::vector<std::string>& asked = {}) {
    return ChooseSlices(
        {.schema = &schema_, .features = &labelled_.features, .table = &table_, .rows = rows_},
        asked);
  }
  std::vector<SliceTable> Judge(const std::vector<SliceColumn>& columns) {
    const JudgedRows judged{
        .kind = "rows", .schema = &schema_, .rows = &labelled_, .outputs = scores_};
    return JudgeSlices(columns, judged, {.threshold = 0.5}, 1);
  }
  static std::vector<std::string> Words(std::size_t rows, std::size_t different) {
    std::vector<std::string> words;
    for (std::size_t row = 0; row < rows; ++row)
      words.push_back(fmt::format("word {:03}", row % different));
    return words;
  }

  ModelSchema schema_;
  LabelledRows labelled_;
  Table table_;
  std::vector<float> scores_;
  std::vector<std::size_t> rows_;
};

TEST_F(SlicesTest, NumbersAreJudgedByQuartersAndMissing) {
  Fill(401);
  const auto columns = Choose({"Load [kN]"});
  ASSERT_TRUE(columns) << columns.error().ToString();
  EXPECT_THAT(columns->at(0).groups, ElementsAre("up to 99", "over 99, up to 199",
                                                 "over 199, up to 299", "over 299", "(missing)"));
  const std::vector<SliceTable> tables = Judge(*columns);
  ASSERT_EQ(tables.size(), 1U);
  ASSERT_EQ(tables[0].groups.size(), 4U);
  EXPECT_EQ(tables[0].left_out_rows, 1U);  // the missing one
  for (const SliceGroup& group : tables[0].groups) {
    EXPECT_EQ(group.rows, 100U);
    EXPECT_EQ(group.figures.figures[0].first, "auc");
    EXPECT_EQ(group.figures.figures[0].second.value, 1);
  }
  EXPECT_TRUE(Choose({"load"})) << "by the field's name, too";
}

TEST_F(SlicesTest, GroupOfOneClassHasItsAlarmRateAlone) {
  Fill(300);
  std::vector<std::string> words;
  for (std::size_t row = 0; row < 300; ++row) words.push_back(row % 3 == 0 ? "hit" : "quiet");
  AddContext("kind", words);
  const std::vector<SliceTable> tables = Judge(*Choose());
  ASSERT_EQ(tables.at(0).groups.size(), 2U);
  EXPECT_EQ(tables[0].groups[0].name, "hit");
  EXPECT_EQ(tables[0].groups[0].positives, 100U);
  ASSERT_EQ(tables[0].groups[0].figures.figures.size(), 1U);
  EXPECT_EQ(tables[0].groups[0].figures.figures[0].first, "alarm_rate");
  EXPECT_EQ(tables[0].groups[0].figures.figures[0].second.value, 1);
  EXPECT_EQ(tables[0].groups[1].figures.figures[0].second.value, 0);
}

TEST_F(SlicesTest, SmallGroupsAreJudgedTogether) {
  Fill(200);
  std::vector<std::string> words(200, "most");
  for (std::size_t row = 0; row < limits::kLeastSliceRows - 1; ++row) words[row] = "few";
  words[150] = "one";
  AddContext("kind", words);
  const std::vector<SliceTable> tables = Judge(*Choose());
  ASSERT_EQ(tables.at(0).groups.size(), 2U);
  EXPECT_EQ(tables[0].groups[0].name, "most");
  EXPECT_EQ(tables[0].groups[1].name, "(2 small groups)");
  EXPECT_EQ(tables[0].groups[1].rows, limits::kLeastSliceRows);
  EXPECT_EQ(tables[0].left_out_rows, 0U);
  EXPECT_THAT(SlicesText(tables), HasSubstr("(2 small groups)"));
}

TEST_F(SlicesTest, RowsInSmallGroupsThatAreTooFewTogetherAreCounted) {
  Fill(200);
  std::vector<std::string> words(200, "most");
  words[7] = "one";
  words[8] = "";
  AddContext("kind|er", words);
  const std::vector<SliceTable> tables = Judge(*Choose());
  ASSERT_EQ(tables.at(0).groups.size(), 1U);
  EXPECT_EQ(tables[0].left_out_rows, 2U);
  EXPECT_THAT(SlicesSection(tables), HasSubstr("2 rows in groups of fewer than 30 are not judged"));
  EXPECT_THAT(SlicesSection(tables), HasSubstr("| kind\\|er | rows |"));
}

TEST_F(SlicesTest, ByDefaultColumnsOfFewWordsAreTakenSoManyOfThem) {
  Fill(400);
  AddContext("same", Words(400, 1));
  AddContext("many", Words(400, limits::kSliceGroups + 1));
  EXPECT_TRUE(Choose()->empty());
  AddContext("few", Words(400, limits::kSliceGroups));
  EXPECT_EQ(Choose()->at(0).column, "few");
  for (std::size_t i = 0; i < limits::kSliceColumns; ++i)
    AddContext(fmt::format("two_{}", i), Words(400, 2));
  EXPECT_EQ(Choose()->size(), limits::kSliceColumns);
  EXPECT_EQ(Choose()->back().column, fmt::format("two_{}", limits::kSliceColumns - 2));
}

TEST_F(SlicesTest, AskedColumnsThatCannotBeSlicedAreRefused) {
  Fill(400);
  AddContext("words", Words(400, limits::kAskedSliceGroups));
  AddContext("too_many", Words(400, limits::kAskedSliceGroups + 1));
  EXPECT_EQ(Choose({"words"})->at(0).groups.size(), limits::kAskedSliceGroups);
  EXPECT_THAT(Choose({"too_many"}).error().message(), HasSubstr("kAskedSliceGroups"));
  EXPECT_THAT(Choose({"nothing"}).error().message(), HasSubstr("'words', 'too_many'"));
  table_.columns.push_back({.name = "at",
                            .type = ColumnType::kTimestamp,
                            .ints = std::vector<std::int64_t>(400),
                            .valid = std::vector<std::uint8_t>(400, 1)});
  EXPECT_THAT(Choose({"at"}).error().message(), HasSubstr("holds times"));
  EXPECT_THAT(Choose({"failed"}).error().message(), HasSubstr("is the label"));
  EXPECT_THAT(Choose({"words", "words"}).error().message(), HasSubstr("given twice"));
  const auto without_table =
      ChooseSlices({.schema = &schema_, .features = &labelled_.features}, {"words"});
  EXPECT_EQ(without_table.error().code(), ErrorCode::kUnimplemented);
}

TEST_F(SlicesTest, NumbersWrittenAsTextAreNumbers) {
  Fill(400);
  std::vector<std::string> words;
  for (std::size_t row = 0; row < 400; ++row) words.push_back(row == 3 ? "" : std::to_string(row));
  table_.columns.push_back(TextColumn("day", words));
  EXPECT_EQ(Choose({"day"})->at(0).groups.size(), 5U);
  table_.columns.push_back(TextColumn("shift", Words(400, 2)));
  for (std::string& text : table_.columns.back().texts) text = text.back() == '0' ? "10" : "9";
  EXPECT_THAT(Choose({"shift"})->at(0).groups, ElementsAre("9", "10"));
}

}  // namespace
}  // namespace skerry
