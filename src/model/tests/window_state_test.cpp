#include "model/window_state.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>

#include "base/limits.h"
#include "base/random.h"
#include "model/scorer.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kWidth = 7;

struct Row {
  std::string entity{};
  float torque = 0, wear = 0;
};
using Answer = std::vector<float>;

// Every statistic of torque over `rows` rows, a lag of as many, and wear one row before.
ModelSchema Windowed(std::size_t rows) {
  ModelSchema schema = fixture::Schema();
  schema.windows = {.entity = "unit_id", .time = "operator_note", .features = {}};
  for (const auto statistic :
       {WindowStatistic::kMean, WindowStatistic::kDeviation, WindowStatistic::kMinimum,
        WindowStatistic::kMaximum, WindowStatistic::kSlope, WindowStatistic::kLag})
    schema.windows.features.push_back(
        {fmt::format("w_{}", WindowStatisticName(statistic)), statistic, "torque_nm", rows});
  schema.windows.features.push_back({"before", WindowStatistic::kLag, "tool_wear_min", 1});
  return schema;
}

// The rows in one call, in that order.
std::vector<Answer> Take(WindowState& state, const std::vector<Row>& rows) {
  std::vector<std::string> entities;
  std::vector<float> features;
  for (const Row& row : rows) {
    entities.push_back(row.entity);
    features.insert(features.end(), {0, row.torque, row.wear});
  }
  std::vector<float> windows(rows.size() * kWidth);
  const Status taken = state.Take(entities, features, windows);
  EXPECT_TRUE(taken) << taken.error().message();
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < rows.size(); ++i)
    answers.emplace_back(windows.begin() + static_cast<std::ptrdiff_t>(i * kWidth),
                         windows.begin() + static_cast<std::ptrdiff_t>((i + 1) * kWidth));
  return answers;
}

auto Are(const Answer& numbers) {
  std::vector<testing::Matcher<float>> matchers;
  for (const float number : numbers) matchers.push_back(testing::NanSensitiveFloatEq(number));
  return testing::ElementsAreArray(matchers);
}

// The same by the whole history of a row's entity, `now` the last of it, and textbook formulas.
Answer Naively(const std::vector<Row>& history, std::size_t rows) {
  const std::size_t first = history.size() > rows ? history.size() - rows : 0;
  std::vector<std::pair<long double, long double>> points;
  for (std::size_t i = first; i < history.size(); ++i)
    if (!std::isnan(history[i].torque))
      points.emplace_back(static_cast<long double>(i), history[i].torque);
  Answer answer(kWidth, kMissing);
  long double n = 0, x = 0, y = 0, xx = 0, xy = 0, squares = 0;
  for (const auto& [at, value] : points) {
    n += 1;
    x += at;
    y += value;
    xx += at * at;
    xy += at * value;
    answer[2] = n == 1 ? static_cast<float>(value) : std::min(answer[2], static_cast<float>(value));
    answer[3] = n == 1 ? static_cast<float>(value) : std::max(answer[3], static_cast<float>(value));
  }
  for (const auto& [at, value] : points) squares += (value - y / n) * (value - y / n);
  if (n > 0) answer[0] = static_cast<float>(y / n);
  if (n > 1) answer[1] = static_cast<float>(std::sqrt(squares / (n - 1)));
  if (n > 1) answer[4] = static_cast<float>((n * xy - x * y) / (n * xx - x * x));
  if (history.size() > rows) answer[5] = history[history.size() - 1 - rows].torque;
  if (history.size() > 1) answer[6] = history[history.size() - 2].wear;
  return answer;
}

std::vector<Row> RandomRows(std::size_t count, std::uint64_t seed) {
  SeededRandom random(seed);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t unit = random.NextBelow(13);
    const bool missing = random.NextBelow(6) == 0;
    rows.push_back({unit == 0 ? "" : fmt::format("unit {}", unit),
                    missing ? kMissing : static_cast<float>(random.NextGaussian() * 1e3 + 40),
                    static_cast<float>(random.NextGaussian())});
  }
  return rows;
}

TEST(WindowState, FiguresAreOfTheEntitysLastRows) {
  WindowState state(Windowed(3));
  const std::vector<Answer> answers = Take(state, {{"a", 1, 10},
                                                   {"a", 5, 20},
                                                   {"b", 9, 30},
                                                   {"a", kMissing, 40},
                                                   {"a", 2, 50},
                                                   {"a", 4, kMissing}});
  EXPECT_THAT(answers[0], Are({1, kMissing, 1, 1, kMissing, kMissing, kMissing}));
  EXPECT_THAT(answers[1], Are({3, std::sqrt(8.0F), 1, 5, 4, kMissing, 10}));
  EXPECT_THAT(answers[2], Are({9, kMissing, 9, 9, kMissing, kMissing, kMissing}));
  EXPECT_THAT(answers[3], Are({3, std::sqrt(8.0F), 1, 5, 4, kMissing, 20}));
  EXPECT_THAT(answers[4], Are({3.5F, std::sqrt(4.5F), 2, 5, -1.5F, 1, 40}));
  EXPECT_THAT(answers[5], Are({3, std::sqrt(2.0F), 2, 4, 2, 5, 50}));
  EXPECT_EQ(state.entities(), 2U);
  EXPECT_EQ(state.taken(), 6U);
}

TEST(WindowState, RowWithoutAnEntityIsAlone) {
  WindowState state(Windowed(3));
  const std::vector<Answer> answers = Take(state, {{"", 1, 10}, {"", 5, 20}});
  EXPECT_THAT(answers[1], Are({5, kMissing, 5, 5, kMissing, kMissing, kMissing}));
  EXPECT_EQ(state.entities(), 0U);
}

TEST(WindowState, FiguresAreThoseOfANaiveRecomputation) {
  for (const std::size_t length : {1U, 2U, 5U, 30U}) {
    const std::vector<Row> rows = RandomRows(1'500, length);
    WindowState state(Windowed(length));
    const std::vector<Answer> answers = Take(state, rows);
    std::map<std::string, std::vector<Row>> histories;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<Row>& history = histories[rows[i].entity];
      if (rows[i].entity.empty()) history.clear();
      history.push_back(rows[i]);
      const Answer wanted = Naively(history, length);
      for (std::size_t k = 0; k < kWidth; ++k) {
        ASSERT_EQ(std::isnan(answers[i][k]), std::isnan(wanted[k])) << i << " " << k;
        if (std::isnan(wanted[k])) continue;
        ASSERT_NEAR(answers[i][k], wanted[k], 1e-5 * (1 + std::abs(wanted[k]))) << i << " " << k;
      }
    }
  }
}

TEST(WindowState, BitsAreTheSameInOneTableRowByRowAndAcrossARestart) {
  const ModelSchema schema = Windowed(30);
  const std::vector<Row> rows = RandomRows(2'000, 3);
  WindowState whole(schema);
  const std::vector<Answer> wanted = Take(whole, rows);
  auto state = std::make_unique<WindowState>(schema);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % 333 == 77) {
      const Table kept = DecodeTable(EncodeTable(state->ToTable())).value();
      state = std::make_unique<WindowState>(schema);
      const Status restored = state->Restore(kept);
      ASSERT_TRUE(restored) << restored.error().message();
    }
    const Answer got = Take(*state, {rows[i]})[0];
    ASSERT_EQ(std::memcmp(got.data(), wanted[i].data(), kWidth * sizeof(float)), 0) << "row " << i;
  }
}

TEST(WindowState, WhatNoFloatHoldsIsMissing) {
  WindowState state(Windowed(3));
  const float most = std::numeric_limits<float>::max();
  const std::vector<Answer> answers =
      Take(state, {{"a", most, 1}, {"a", -most, 1}, {"a", most, 1}});
  EXPECT_THAT(answers[1], Are({0, kMissing, -most, most, kMissing, kMissing, 1}));
  EXPECT_THAT(answers[2][2], -most);
}

TEST(WindowState, LeastRecentlySeenEntityIsForgottenAtTheLimits) {
  struct Case {
    std::size_t length, most;
  };
  const std::vector<Case> cases = {
      {2, limits::kWindowEntities},
      {limits::kWindowRows, limits::kWindowKeptRows / (limits::kWindowRows + 1)}};
  for (const auto& [length, most] : cases) {
    WindowState state(Windowed(length));
    Counter forgotten;
    state.CountForgotten(forgotten);
    for (std::size_t i = 0; i < most; ++i) Take(state, {{fmt::format("{}", i), 7, 8}});
    EXPECT_EQ(forgotten.value(), 0U);
    Take(state, {{"0", 9, 8}});
    Take(state, {{"one more", 7, 8}});
    EXPECT_EQ(state.entities(), most);
    EXPECT_EQ(forgotten.value(), 1U);
    EXPECT_EQ(Take(state, {{"0", 8, 8}})[0][6], 8) << "it was seen lately, so it is remembered";
    EXPECT_TRUE(std::isnan(Take(state, {{"1", 8, 8}})[0][6])) << "it was forgotten";
  }
}

TEST(WindowState, NumbersThatAreKeptAreBoundedToo) {
  ModelSchema schema = fixture::Schema();
  schema.windows = {.entity = "unit_id", .time = "operator_note", .features = {}};
  constexpr std::size_t kSources = 20;
  for (std::size_t i = 0; i < kSources; ++i) {
    Field field = *schema.Find("torque_nm");
    field.name = fmt::format("t{}", i);
    schema.fields.push_back(field);
    schema.windows.features.push_back(
        {fmt::format("m{}", i), WindowStatistic::kMean, field.name, limits::kWindowRows});
  }
  WindowState state(schema);
  const std::size_t most = limits::kWindowKeptNumbers / (kSources * limits::kWindowRows);
  std::vector<float> features(schema.feature_count(), 1);
  std::vector<float> windows(kSources);
  for (std::size_t i = 0; i < most + 3; ++i) {
    const std::string entity = fmt::format("{}", i);
    ASSERT_TRUE(state.Take({&entity, 1}, features, windows));
  }
  EXPECT_EQ(state.entities(), most);
}

TEST(WindowState, EntityOfTooManyBytesIsRefusedBeforeAnyRowIsTaken) {
  WindowState state(Windowed(3));
  const std::vector<std::string> entities = {"a", std::string(limits::kEntityBytes + 1, 'b')};
  std::vector<float> windows(2 * kWidth);
  const Status refused = state.Take(entities, std::vector<float>(6, 1), windows);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("field unit_id"));
  EXPECT_THAT(refused.error().message(), HasSubstr("kEntityBytes"));
  EXPECT_EQ(state.entities(), 0U);
}

TEST(WindowState, GoesOnForAnotherThatKeepsTheSameAlone) {
  ModelSchema fewer = Windowed(3);
  fewer.windows.features.erase(fewer.windows.features.begin());
  EXPECT_EQ(WindowState(Windowed(3)).Kept(), WindowState(fewer).Kept());
  EXPECT_NE(WindowState(Windowed(3)).Kept(), WindowState(Windowed(4)).Kept());
  ModelSchema other = Windowed(3);
  other.windows.features.pop_back();  // wear is not kept
  WindowState state(Windowed(3));
  const Status refused = state.Restore(WindowState(other).ToTable());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("no rows of torque_nm, tool_wear_min by unit_id"));
}

TEST(WindowState, ScoringLooksBackAndWithoutAStateEachRowIsAlone) {
  fixture::PackageFiles files;
  files.windows = Windowed(2).windows;
  files.derived = {{"load", DerivedOperation::kProduct, "torque_nm", "tool_wear_min"}};
  files.model = {.features = 11, .feature = 4, .split = 60};  // the mean of torque
  RowBatch batch;
  batch.package = fixture::LoadFixture(files);
  batch.rows = 3;
  batch.features = {0, 50, 1, 0, 80, 2, 0, 80, 1};
  batch.texts = {{"a", "a", "a"}, {"", "", ""}};
  if (batch.package->schema.texts()[0]->name != "unit_id")
    std::swap(batch.texts[0], batch.texts[1]);
  ASSERT_TRUE(ScoreRows(batch));
  EXPECT_THAT(batch.score, testing::Pointwise(testing::FloatEq(), {0.1F, 0.9F, 0.9F}));
  WindowState state(batch.package->schema);
  ASSERT_TRUE(LookBack(batch, state));
  ASSERT_TRUE(ScoreRows(batch));
  EXPECT_EQ(batch.InputRow(1).size(), 11U);
  EXPECT_EQ(batch.InputRow(1)[3], 160) << "derived";
  EXPECT_EQ(batch.InputRow(1)[4], 65) << "mean";
  batch.features = {0, 20, 1, 0, 20, 1, 0, 20, 1};
  ASSERT_TRUE(LookBack(batch, state));
  ASSERT_TRUE(ScoreRows(batch));
  EXPECT_EQ(batch.InputRow(0)[4], 50) << "with the last row of the batch before";
}

}  // namespace
}  // namespace skerry
