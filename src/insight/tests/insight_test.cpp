#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "base/random.h"
#include "insight/drift.h"
#include "insight/histograms.h"
#include "insight/psi.h"
#include "insight/reasons.h"
#include "model/scorer.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RowBatch Scored(const std::shared_ptr<const ModelPackage>& package, std::vector<float> features,
                std::int64_t event_time_us = 1000) {
  RowBatch batch;
  batch.package = package;
  batch.rows = features.size() / 3;
  batch.features = std::move(features);
  batch.event_time_us = event_time_us;
  EXPECT_TRUE(ScoreRows(batch));
  return batch;
}

std::vector<std::int64_t> CountsOf(const Table& summary, std::string_view kind,
                                   std::string_view field) {
  std::vector<std::int64_t> counts;
  for (std::size_t row = 0; row < summary.rows(); ++row)
    if (summary.Find("kind")->texts[row] == kind && summary.Find("field")->texts[row] == field)
      counts.push_back(summary.Find("count")->IsNull(row) ? -1 : summary.Find("count")->ints[row]);
  return counts;
}

TEST(Psi, HasItsKnownValues) {
  using Counts = std::vector<std::uint64_t>;
  EXPECT_EQ(Psi(Counts{50, 50}, Counts{500, 500}), 0);
  // (0.7-0.5) ln(0.7/0.5) + (0.3-0.5) ln(0.3/0.5)
  EXPECT_NEAR(Psi(Counts{50, 50}, Counts{70, 30}), 0.2 * std::log(1.4) - 0.2 * std::log(0.6),
              1e-12);
  // An empty bin counts as a share of 1e-4.
  EXPECT_NEAR(Psi(Counts{50, 50}, Counts{100, 0}),
              0.5 * std::log(2.0) + (1e-4 - 0.5) * std::log(1e-4 / 0.5), 1e-12);
  EXPECT_EQ(Psi(Counts{}, Counts{1}), 0);
  EXPECT_EQ(Psi(Counts{1, 2}, Counts{0, 0}), 0);
  EXPECT_GT(Psi(Counts{50, 50}, Counts{50, 50, 100}), kPsiAlarm);
}

TEST(FeatureHistograms, CountsEveryRowInOneBinAFeature) {
  const auto package = fixture::LoadFixture();
  FeatureHistograms histograms(package);
  const float missing = std::nanf("");
  histograms.Add(Scored(package, {0, 30, 10, 2, 31, 150, 3, 75, missing, missing, missing, 201}));
  const Table summary = histograms.ToSummary(7, 0);
  EXPECT_THAT(CountsOf(summary, kSummaryFeature, "type"), ElementsAre(1, 0, 1, 1, 1));
  EXPECT_THAT(CountsOf(summary, kSummaryFeature, "torque_nm"), ElementsAre(1, 1, 0, 1, 1));
  EXPECT_THAT(CountsOf(summary, kSummaryFeature, "tool_wear_min"), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(CountsOf(summary, kSummaryScore, ""), ElementsAre(3, 0, 1));
  EXPECT_THAT(CountsOf(summary, kSummaryPrediction, ""), ElementsAre(3, 1));
  EXPECT_THAT(CountsOf(summary, kSummaryAnomaly, ""), ElementsAre(3, 1));
  EXPECT_EQ(summary.Find("window")->ints[0], 7);
  EXPECT_EQ(summary.Find("model")->texts[0], "milling:1");
  EXPECT_EQ(summary.Find("rows")->ints[0], 4);
  EXPECT_EQ(summary.Find("label")->texts[3], "unseen");
}

TEST(FeatureHistograms, SmallGroupsAreNull) {
  const auto package = fixture::LoadFixture();
  FeatureHistograms histograms(package);
  for (int i = 0; i < 5; ++i) histograms.Add(Scored(package, {0, 35, 10}));
  histograms.Add(Scored(package, {1, 45, 10}));
  const Table summary = histograms.ToSummary(0, 5);
  EXPECT_THAT(CountsOf(summary, kSummaryFeature, "type"), ElementsAre(5, -1, 0, 0, 0));
}

TEST(FeatureHistograms, MergingEqualsCountingBoth) {
  const auto package = fixture::LoadFixture();
  FeatureHistograms one(package);
  FeatureHistograms other(package);
  FeatureHistograms both(package);
  const RowBatch early = Scored(package, {0, 35, 10, 1, 90, 10}, 500);
  const RowBatch late = Scored(package, {2, 20, 240}, 900);
  one.Add(late);
  other.Add(early);
  both.Add(early);
  both.Add(late);
  one.Merge(other);
  EXPECT_EQ(one.ToSummary(1, 0), both.ToSummary(1, 0));
  EXPECT_EQ(one.ToSummary(1, 0).Find("first_event_time")->ints[0], 500);
  EXPECT_EQ(one.ToSummary(1, 0).Find("last_event_time")->ints[0], 900);
  one.Clear();
  EXPECT_EQ(one.ToSummary(1, 0).rows(), 0U);
}

// 100 rows spread as training was, with torque moved by `shift`.
Table SummaryOf(const std::shared_ptr<const ModelPackage>& package, float shift) {
  FeatureHistograms histograms(package);
  for (int i = 0; i < 100; ++i) {
    const float type = i < 60 ? 0 : i < 90 ? 1 : 2;
    const float wear = i % 10 < 4 ? 50 : i % 10 < 8 ? 150 : 210;
    histograms.Add(Scored(package, {type, 25 + static_cast<float>(i % 4) * 10 + shift, wear}));
  }
  return histograms.ToSummary(1, 5);
}

TEST(Drift, IsQuietWithoutAShiftAndAlarmsForTheShiftedFeatureAlone) {
  const auto package = fixture::LoadFixture();
  const auto quiet = DriftOf(package->schema, package->reference, SummaryOf(package, 0)).value();
  ASSERT_EQ(quiet.size(), 4U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LT(quiet[i].psi, kPsiQuiet) << quiet[i].field;
    EXPECT_EQ(quiet[i].level, DriftLevel::kQuiet);
    EXPECT_EQ(quiet[i].rows, 100U);
  }
  const auto moved = DriftOf(package->schema, package->reference, SummaryOf(package, 10)).value();
  EXPECT_EQ(moved[0].level, DriftLevel::kQuiet);
  EXPECT_EQ(moved[1].field, "torque_nm");
  EXPECT_EQ(moved[1].level, DriftLevel::kAlarm);
  // Bins 25, 25, 25, 25 % -> 0, 25, 25, 50 %.
  EXPECT_NEAR(moved[1].psi, (1e-4 - 0.25) * std::log(1e-4 / 0.25) + 0.25 * std::log(2.0), 1e-9);
}

TEST(Drift, TakesWhatPolicyLeftOfTheSummary) {
  const auto package = fixture::LoadFixture();
  Table summary = SummaryOf(package, 10);
  Table only;
  for (const Column& column : summary.columns) only.columns.push_back({column.name, column.type});
  for (std::size_t row = 0; row < summary.rows(); ++row)
    if (summary.Find("field")->texts[row] == "type")
      for (std::size_t c = 0; c < only.columns.size(); ++c)
        only.columns[c].AppendFrom(summary.columns[c], row);
  const auto drift = DriftOf(package->schema, package->reference, only).value();
  ASSERT_EQ(drift.size(), 1U);
  EXPECT_EQ(drift[0].field, "type");
}

TEST(Drift, SummariesThatDoNotFitAreRefused) {
  const auto package = fixture::LoadFixture();
  Table summary = SummaryOf(package, 0);
  summary.Find("bin")->ints[0] = 99;
  EXPECT_THAT(DriftOf(package->schema, package->reference, summary).error().message(),
              HasSubstr("bin 99"));
  summary.columns.erase(summary.columns.begin() + 6);
  EXPECT_THAT(DriftOf(package->schema, package->reference, summary).error().message(),
              HasSubstr("\"count\""));
}

TEST(Reasons, AreGivenOnlyWhenTrue) {
  const auto package = fixture::LoadFixture();
  const RowBatch batch = Scored(package, {0, 42, 10, 3, 81.25F, 10, 1, 5, std::nanf("")});
  EXPECT_TRUE(ReasonsOf(batch, 0).empty());
  const auto reasons = ReasonsOf(batch, 1);
  ASSERT_EQ(reasons.size(), 3U);
  EXPECT_EQ(reasons[0].kind, ReasonKind::kUnseenCategory);
  EXPECT_EQ(reasons[0].field, "type");
  EXPECT_EQ(reasons[1].text, "torque_nm 81.25 is above the range seen in training 10 - 80");
  EXPECT_EQ(reasons[2].text, "anomaly score 0.8000 reaches the threshold 0.6000");
  EXPECT_EQ(reasons[2].field, "");
  const auto below = ReasonsOf(batch, 2);
  ASSERT_EQ(below.size(), 1U);
  EXPECT_EQ(below[0].kind, ReasonKind::kBelowRange);
}

// A package whose training saw torque from `least` to `most`.
std::shared_ptr<const ModelPackage> PackageOfRange(double least, double most) {
  fixture::PackageFiles files;
  files.reference.features[1].min = least;
  files.reference.features[1].max = most;
  return fixture::LoadFixture(files);
}

// What the text of a reason says, read as a person reads it: digit by digit.
void ExpectTrueAsWritten(const Reason& reason) {
  char side[8] = "";
  double value = 0;
  double least = 0;
  double most = 0;
  ASSERT_EQ(
      std::sscanf(reason.text.c_str(), "torque_nm %lf is %7s the range seen in training %lf - %lf",
                  &value, side, &least, &most),
      4)
      << reason.text;
  EXPECT_LE(least, most) << reason.text;
  if (reason.kind == ReasonKind::kAboveRange) {
    EXPECT_STREQ(side, "above");
    EXPECT_GT(value, most) << reason.text;
  } else {
    EXPECT_STREQ(side, "below");
    EXPECT_LT(value, least) << reason.text;
  }
}

TEST(Reasons, AreTrueDigitByDigitAndGivenForEveryValueOutOfRange) {
  SeededRandom random(5);
  for (const auto& [least, most] : {std::pair{3.8, 76.6}, std::pair{-0.1, 0.1},
                                    std::pair{-1234567.25, -1234567.0}, std::pair{1e-7, 3e20}}) {
    const auto package = PackageOfRange(least, most);
    const auto low = static_cast<float>(least);
    const auto high = static_cast<float>(most);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> values = {low,
                                 high,
                                 std::nextafter(low, -kInfinity),
                                 std::nextafter(low, kInfinity),
                                 std::nextafter(high, -kInfinity),
                                 std::nextafter(high, kInfinity)};
    for (int i = 0; i < 500; ++i)
      values.push_back(static_cast<float>(
          least +
          (most - least) * (0.5 + random.NextGaussian() * (i % 2 == 0 ? 1 : 1e-6) + i % 3)));
    for (const float value : values) {
      const RowBatch batch = Scored(package, {0, value, 10});
      std::size_t given = 0;
      for (const Reason& reason : ReasonsOf(batch, 0)) {
        if (reason.field != "torque_nm") continue;
        ExpectTrueAsWritten(reason);
        ++given;
      }
      EXPECT_EQ(given, value < low || value > high ? 1U : 0U) << value;
    }
  }
}

}  // namespace
}  // namespace skerry
