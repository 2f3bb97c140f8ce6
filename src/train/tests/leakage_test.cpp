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

TEST(Copies, AreCountedWithThoseOfAnotherLabel) {
  const Copies copies =
      CountCopies(RowUnits{0, 1, 0, 0, 2, 1}, std::vector<std::uint8_t>{0, 1, 0, 1, 0, 1});
  EXPECT_EQ(copies.rows, 3U);
  EXPECT_EQ(copies.other_label, 1U);
}

}  // namespace
}  // namespace skerry
