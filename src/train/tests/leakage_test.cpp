#include "train/leakage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace skerry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kRows = 2'000;

Field Number(const std::string& name) { return {.name = name, .column = name, .categories = {}}; }

// One row in ten is of class 1; three columns tell nothing, some or all of it.
class LeakTest : public ::testing::Test {
 protected:
  LeakTest() {
    SeededRandom random(5);
    for (std::size_t i = 0; i < kRows; ++i) labels_.push_back(random.NextDouble() < 0.1);
    for (std::size_t i = 0; i < kRows; ++i)
      noise_.push_back(static_cast<float>(random.NextGaussian()));
  }
  std::vector<std::string> WarningsOf(const Field& field, const std::vector<float>& values) {
    ModelSchema schema;
    schema.label_column = "failed";
    schema.fields = {Number("noise"), field};
    LabelledRows rows{.features = {.columns = 2}, .labels = labels_};
    rows.weights.assign(kRows, 1);
    for (std::size_t i = 0; i < kRows; ++i) {
      rows.features.values.push_back(noise_[i]);
      rows.features.values.push_back(values[i]);
    }
    return LeakWarnings(schema, rows);
  }
  std::vector<std::uint8_t> labels_;
  std::vector<float> noise_;
};

TEST_F(LeakTest, AFeatureThatTellsMuchIsNoWarning) {
  std::vector<float> values;
  for (std::size_t i = 0; i < kRows; ++i)
    values.push_back(noise_[kRows - 1 - i] + 2.0F * labels_[i]);
  EXPECT_THAT(WarningsOf(Number("torque"), values), IsEmpty());
}

TEST_F(LeakTest, AFeatureThatAloneTellsTheLabelIsNamed) {
  std::vector<float> values;  // almost parted: AUC about .996, in either direction
  for (std::size_t i = 0; i < kRows; ++i)
    values.push_back(noise_[kRows - 1 - i] - 3.8F * labels_[i]);
  EXPECT_THAT(WarningsOf(Number("downtime"), values),
              ElementsAre(HasSubstr("column 'downtime' alone tells label 'failed' (AUC 0.99")));
}

TEST_F(LeakTest, AValueThatIsMissingForOneClassIsNamed) {
  std::vector<float> values = noise_;
  for (std::size_t i = 0; i < kRows; ++i)
    if (labels_[i] == 0) values[i] = std::nanf("");
  EXPECT_THAT(WarningsOf(Number("repair_cost"), values), ElementsAre(HasSubstr("'repair_cost'")));
}

TEST_F(LeakTest, ALabelThatIsAFunctionOfAColumnIsSaid) {
  std::vector<float> values;  // codes, odd ones for class 1: no order tells it
  for (std::size_t i = 0; i < kRows; ++i)
    values.push_back(static_cast<float>(2 * (i % 50) + labels_[i]));
  EXPECT_THAT(WarningsOf(Number("code"), values),
              ElementsAre(HasSubstr("label 'failed' is a function of column 'code'")));
}

TEST_F(LeakTest, CategoriesAreJudgedWithoutTheRowItself) {
  Field field{.name = "unit", .column = "unit", .type = FieldType::kCategory, .categories = {}};
  std::vector<float> mostly_single;  // 900 units: their own label would tell it
  for (std::size_t i = 0; i < kRows; ++i) mostly_single.push_back(static_cast<float>(i % 900));
  EXPECT_THAT(WarningsOf(field, mostly_single), IsEmpty());
  std::vector<float> telling;
  for (std::size_t i = 0; i < kRows; ++i)
    telling.push_back(labels_[i] != 0 ? 1.0F : static_cast<float>(2 * (i % 2)));
  EXPECT_THAT(WarningsOf(field, telling), ElementsAre(HasSubstr("'unit'")));
}

// Of other tasks: a label of three classes, or the number, that `told` of a column gives away.
std::vector<std::string> TaskWarnings(ModelTask task, const Field& field,
                                      const std::vector<float>& values,
                                      const std::vector<float>& truth) {
  ModelSchema schema;
  schema.task = task;
  schema.label_column = "grade";
  schema.fields = {field};
  LabelledRows rows{.features = {.columns = 1, .values = values}, .task = task, .classes = 3};
  rows.weights.assign(values.size(), 1);
  for (const float number : truth)
    rows.labels.push_back(task == ModelTask::kRegression ? 0
                          : number < -0.5F               ? 0
                          : number < 1                   ? 1
                                                         : 2);
  if (task == ModelTask::kRegression) rows.targets = truth;
  return LeakWarnings(schema, rows);
}

TEST(TaskLeaks, AColumnThatAloneTellsAClassOrANumberIsNamed) {
  SeededRandom random(9);
  std::vector<float> truth, noisy, close, codes;
  for (std::size_t i = 0; i < kRows; ++i) {
    truth.push_back(static_cast<float>(random.NextGaussian()));
    noisy.push_back(truth[i] + 0.3F * static_cast<float>(random.NextGaussian()));
    close.push_back(-truth[i] + 0.005F * static_cast<float>(random.NextGaussian()));
  }
  for (const ModelTask task : {ModelTask::kMulticlass, ModelTask::kRegression}) {
    EXPECT_THAT(TaskWarnings(task, Number("torque"), noisy, truth), IsEmpty());
    EXPECT_THAT(TaskWarnings(task, Number("downtime"), close, truth),
                ElementsAre(HasSubstr("column 'downtime' alone tells label 'grade' (")));
    close[3] = std::nanf("");
  }
  // A category a row tells nothing; one that is the class in other words tells all.
  const Field unit{
      .name = "unit", .column = "unit", .type = FieldType::kCategory, .categories = {}};
  for (std::size_t i = 0; i < kRows; ++i) codes.push_back(static_cast<float>(i % 900));
  EXPECT_THAT(TaskWarnings(ModelTask::kMulticlass, unit, codes, truth), IsEmpty());
  for (std::size_t i = 0; i < kRows; ++i)
    codes[i] = static_cast<float>(truth[i] < -0.5F ? 7 : truth[i] < 1 ? 3 : 5);
  EXPECT_THAT(TaskWarnings(ModelTask::kMulticlass, unit, codes, truth),
              ElementsAre(HasSubstr("column 'unit' alone tells label 'grade' (100.0 % fewer")));
}

TEST(TaskLeaks, ALabelThatIsAFunctionOfAColumnIsSaid) {
  std::vector<float> parts, prices;  // a price a part, in no order
  for (std::size_t i = 0; i < kRows; ++i) {
    parts.push_back(static_cast<float>(i % 400));
    prices.push_back(static_cast<float>((i % 400) * 37 % 101) / 10 - 4);
  }
  for (const ModelTask task : {ModelTask::kMulticlass, ModelTask::kRegression})
    EXPECT_THAT(TaskWarnings(task, Number("part"), parts, prices),
                ElementsAre(HasSubstr("label 'grade' is a function of column 'part'")));
}

TEST(Copies, NumbersThatDifferAreOtherLabels) {
  LabelledRows rows{.labels = {0, 0, 0}, .targets = {1, 2, 1}, .task = ModelTask::kRegression};
  EXPECT_EQ(LabelNumbers(rows), (std::vector<std::uint32_t>{0, 1, 0}));
  EXPECT_EQ(CountCopies(RowUnits{0, 0, 0}, LabelNumbers(rows)).other_label, 1U);
}

TEST(Copies, AreCountedWithThoseOfAnotherLabel) {
  const Copies copies =
      CountCopies(RowUnits{0, 1, 0, 0, 2, 1}, std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1});
  EXPECT_EQ(copies.rows, 3U);
  EXPECT_EQ(copies.other_label, 1U);
}

}  // namespace
}  // namespace skerry
