// Contributions of the exported graph beside XGBoost's own (pred_contribs).
#include "insight/contributions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "model/tree_ensemble.h"
#include "train/onnx_export.h"
#include "train/xgboost_library.h"

namespace skerry {
namespace {

constexpr std::size_t kFeatures = 6;
constexpr std::size_t kRows = 300;

// Numbers, codes and missing values; the label depends on some of them together.
struct Rows {
  std::vector<float> values, labels;
};
Rows MakeRows(std::uint64_t seed) {
  SeededRandom random(seed);
  Rows rows;
  for (std::size_t row = 0; row < kRows; ++row) {
    float at[kFeatures];
    for (std::size_t i = 0; i < kFeatures; ++i)
      at[i] = i == 5 ? static_cast<float>(random.NextBelow(4))
                     : static_cast<float>(random.NextGaussian() * 10 + 40);
    const double risk = (at[0] - 40) / 5 + (at[5] == 2 ? 2 : 0) + ((at[1] > 45) == (at[2] > 40));
    for (float& value : at)
      if (random.NextBelow(12) == 0) value = std::numeric_limits<float>::quiet_NaN();
    rows.values.insert(rows.values.end(), at, at + kFeatures);
    rows.labels.push_back(random.NextDouble() < 1 / (1 + std::exp(1 - risk)) ? 1 : 0);
  }
  return rows;
}

std::string Interface(const std::vector<float>& data, const std::string& shape) {
  return fmt::format(R"({{"data": [{}, true], "shape": {}, "typestr": "<f4", "version": 3}})",
                     reinterpret_cast<std::uintptr_t>(data.data()), shape);
}

// What XGBoost itself makes of the rows.
struct Peer {
  Json model;
  std::size_t outputs = 1;
  std::vector<float> contributions;  // [rows][outputs][features + 1], the bias last
};
Peer FitPeer(const Rows& rows, std::initializer_list<std::pair<const char*, const char*>> more) {
  const XgboostFunctions& xgb = *LoadXgboost().value();
  Peer peer;
  DMatrixHandle matrix = nullptr;
  const std::string shape = fmt::format("[{}, {}]", kRows, kFeatures);
  EXPECT_EQ(xgb.matrix_create(Interface(rows.values, shape).c_str(),
                              R"({"missing": NaN, "nthread": 2})", &matrix),
            0);
  EXPECT_EQ(xgb.matrix_set_info(matrix, "label",
                                Interface(rows.labels, fmt::format("[{}]", kRows)).c_str()),
            0);
  std::vector<const char*> types(kFeatures, "q");
  types[5] = "c";
  EXPECT_EQ(xgb.matrix_set_texts(matrix, "feature_type", types.data(), kFeatures), 0);
  BoosterHandle booster = nullptr;
  EXPECT_EQ(xgb.booster_create(&matrix, 1, &booster), 0);
  std::vector<std::pair<const char*, const char*>> settings = {
      {"objective", "binary:logistic"}, {"tree_method", "hist"}, {"nthread", "2"}};
  settings.insert(settings.end(), more);
  for (const auto& [name, value] : settings)
    EXPECT_EQ(xgb.booster_set_param(booster, name, value), 0) << name;
  for (int round = 0; round < 60; ++round) EXPECT_EQ(xgb.booster_update(booster, round, matrix), 0);
  const bst_ulong* dimensions = nullptr;
  bst_ulong count = 0;
  const float* values = nullptr;
  EXPECT_EQ(xgb.booster_predict(booster, matrix,
                                R"({"type": 2, "training": false, "iteration_begin": 0, )"
                                R"("iteration_end": 0, "strict_shape": false})",
                                &dimensions, &count, &values),
            0);
  if (count == 3) peer.outputs = dimensions[1];
  peer.contributions.assign(values, values + kRows * peer.outputs * (kFeatures + 1));
  bst_ulong size = 0;
  const char* text = nullptr;
  EXPECT_EQ(xgb.booster_save(booster, R"({"format": "json"})", &size, &text), 0);
  peer.model = ParseJson({text, size}, 64U << 20U).value();
  xgb.booster_free(booster);
  xgb.matrix_free(matrix);
  return peer;
}

void ExpectSame(const Rows& rows, const Peer& peer) {
  const auto trees = ReadXgboostModel(peer.model, kFeatures);
  ASSERT_TRUE(trees) << trees.error().message();
  const auto ensemble = ReadTreeEnsemble(ExportBoostedTrees(*trees, kFeatures), kFeatures);
  ASSERT_TRUE(ensemble) << ensemble.error().message();
  ASSERT_EQ(ensemble->outputs, peer.outputs);
  double worst = 0;
  for (std::size_t i = 0; i < kRows * peer.outputs; ++i) {
    const std::size_t row = i / peer.outputs;
    const std::size_t output = i % peer.outputs;
    std::vector<double> values(kFeatures, 0);
    AddContributions(*ensemble, std::span(rows.values).subspan(row * kFeatures, kFeatures), output,
                     values);
    values.push_back(ensemble->expected_margins[output]);
    const float* wanted = peer.contributions.data() + i * (kFeatures + 1);
    for (std::size_t k = 0; k <= kFeatures; ++k)
      worst = std::max(worst, std::abs(values[k] - wanted[k]));
  }
  EXPECT_LE(worst, 1e-5);  // XGBoost adds the trees up in float32
  std::printf("largest difference %.2g\n", worst);
}

TEST(Contributions, AreXgboostsOwn) {
  const Rows rows = MakeRows(1);
  ExpectSame(rows, FitPeer(rows, {{"max_depth", "6"}, {"eta", "0.1"}}));
}

TEST(Contributions, AreXgboostsOwnOnDeepTreesOfDrawnRowsAndFeatures) {
  const Rows rows = MakeRows(2);
  ExpectSame(rows, FitPeer(rows, {{"max_depth", "10"},
                                  {"eta", "0.3"},
                                  {"min_child_weight", "0.1"},
                                  {"subsample", "0.7"},
                                  {"colsample_bytree", "0.8"}}));
}

TEST(Contributions, AreXgboostsOwnOfEachOfSeveralClasses) {
  Rows rows = MakeRows(3);
  for (std::size_t row = 0; row < kRows; row += 3) rows.labels[row] += 1;
  ExpectSame(rows, FitPeer(rows, {{"objective", "multi:softprob"}, {"num_class", "3"}}));
}

TEST(Contributions, AreXgboostsOwnOfNumbers) {
  Rows rows = MakeRows(4);
  for (std::size_t row = 0; row < kRows; ++row) rows.labels[row] += static_cast<float>(row % 7) / 8;
  for (const char* objective : {"reg:squarederror", "reg:absoluteerror", "count:poisson"})
    ExpectSame(rows, FitPeer(rows, {{"objective", objective}}));
}

// Splits by sets of categories, and by one category each.
TEST(Contributions, AreXgboostsOwnOfCategories) {
  Rows rows = MakeRows(5);
  SeededRandom random(5);
  for (std::size_t row = 0; row < kRows; ++row) {
    const auto code = random.NextBelow(40);
    rows.values[row * kFeatures + 5] = static_cast<float>(code);
    if (code * 7 % 5 < 2) rows.labels[row] = 1;
  }
  ExpectSame(rows, FitPeer(rows, {{"max_depth", "7"}}));
  ExpectSame(rows, FitPeer(rows, {{"max_cat_to_onehot", "100"}}));
}

}  // namespace
}  // namespace skerry
