#include "train/booster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "base/parallel.h"

namespace skerry {
namespace {

Status XgboostError(const XgboostFunctions& xgb, std::string_view doing) {
  return Fail(ErrorCode::kInternal, "XGBoost, {}: {}", doing, xgb.last_error());
}

// NumPy's array interface (version 3), which the C API takes for dense data.
std::string ArrayInterface(const float* data, std::size_t rows, std::size_t columns) {
  const std::string shape =
      columns == 0 ? fmt::format("[{}]", rows) : fmt::format("[{}, {}]", rows, columns);
  return fmt::format(R"({{"data": [{}, true], "shape": {}, "typestr": "<f4", "version": 3}})",
                     reinterpret_cast<std::uintptr_t>(data), shape);
}

// "c" for categories, "q" for quantities; empty where all are that.
std::vector<const char*> TypesOf(std::span<const std::uint8_t> categorical) {
  std::vector<const char*> types;
  if (std::ranges::count(categorical, 1) == 0) return types;
  for (const std::uint8_t one : categorical) types.push_back(one != 0 ? "c" : "q");
  return types;
}

// Labels, weights and types of the features of a matrix or of a block.
bool SetFacts(const XgboostFunctions& xgb, DMatrixHandle matrix, std::span<const float> labels,
              std::span<const float> weights, std::vector<const char*>& types) {
  const std::string label_data = ArrayInterface(labels.data(), labels.size(), 0);
  const std::string weight_data = ArrayInterface(weights.data(), weights.size(), 0);
  return xgb.matrix_set_info(matrix, "label", label_data.c_str()) == 0 &&
         xgb.matrix_set_info(matrix, "weight", weight_data.c_str()) == 0 &&
         (types.empty() ||
          xgb.matrix_set_texts(matrix, "feature_type", types.data(), types.size()) == 0);
}

// XGBoost's max_bin.
int BinsOf(const HyperParameters& parameters) {
  return parameters.bins > 0 ? parameters.bins : HyperParameters::kBins;
}

// What a prediction points to.
std::span<const float> ScoresAt(const float* scores, const bst_ulong* shape, bst_ulong dimensions) {
  bst_ulong count = 1;
  for (bst_ulong i = 0; i < dimensions; ++i) count *= shape[i];
  return {scores, count};
}

// What XGBoost calls back while it reads rows.
struct BlockReader {
  const XgboostFunctions* xgb = nullptr;
  DMatrixHandle proxy = nullptr;
  RowSource* rows = nullptr;
  std::vector<const char*> types{};
  bool failed = false;

  static void Reset(DataIterHandle self) { static_cast<BlockReader*>(self)->rows->Reset(); }

  static int Next(DataIterHandle self) {
    BlockReader& reader = *static_cast<BlockReader*>(self);
    const RowBlock block = reader.rows->Next();
    if (block.rows() == 0 || reader.failed) return 0;
    reader.failed = !reader.Give(block);
    return reader.failed ? 0 : 1;
  }

  bool Give(const RowBlock& block) {
    const std::string data = ArrayInterface(block.features.data(), block.rows(), rows->columns());
    return xgb->proxy_set_dense(proxy, data.c_str()) == 0 &&
           SetFacts(*xgb, proxy, block.labels, block.weights, types);
  }
};

}  // namespace

Result<XgboostMatrix> XgboostMatrix::FromRows(const XgboostFunctions& xgb, const LabelledRows& rows,
                                              int threads) {
  XgboostMatrix matrix(xgb);
  const std::string data =
      ArrayInterface(rows.features.values.data(), rows.rows(), rows.features.columns);
  const std::string config =
      fmt::format(R"({{"missing": NaN, "nthread": {}}})", std::max(1, threads));
  const std::vector<float> labels = rows.targets.empty()
                                        ? std::vector<float>(rows.labels.begin(), rows.labels.end())
                                        : rows.targets;
  std::vector<const char*> types = TypesOf(rows.features.categorical);
  const bool taken = xgb.matrix_create(data.c_str(), config.c_str(), &matrix.handle_) == 0 &&
                     SetFacts(xgb, matrix.handle_, labels, rows.weights, types);
  if (!taken) return tl::make_unexpected(XgboostError(xgb, "taking the rows").error());
  return matrix;
}

Result<XgboostMatrix> XgboostMatrix::FromBlocks(const XgboostFunctions& xgb, RowSource& rows,
                                                const HyperParameters& parameters,
                                                const XgboostMatrix* reference) {
  BlockReader reader{.xgb = &xgb, .rows = &rows, .types = TypesOf(rows.categorical())};
  if (xgb.proxy_create(&reader.proxy) != 0)
    return tl::make_unexpected(XgboostError(xgb, "taking the rows").error());
  XgboostMatrix matrix(xgb);
  const std::string config = fmt::format(R"({{"missing": NaN, "nthread": {}, "max_bin": {}}})",
                                         std::max(1, parameters.threads), BinsOf(parameters));
  rows.Reset();
  const int status = xgb.quantile_matrix_create(
      &reader, reader.proxy, reference == nullptr ? nullptr : reference->handle_,
      &BlockReader::Reset, &BlockReader::Next, config.c_str(), &matrix.handle_);
  Status failed;  // its text is that of the library's last failure
  if (status != 0 || reader.failed) failed = XgboostError(xgb, "taking the rows");
  xgb.matrix_free(reader.proxy);
  if (!failed) return tl::make_unexpected(failed.error());
  return matrix;
}

XgboostMatrix::~XgboostMatrix() {
  if (handle_ != nullptr) xgb_->matrix_free(handle_);
}

Result<Booster> Booster::Create(const XgboostFunctions& xgb, std::vector<DMatrixHandle> matrices,
                                const LabelledRows& facts, const HyperParameters& parameters,
                                std::uint64_t seed) {
  SKERRY_ASSIGN_OR_RETURN(const std::string objective, ObjectiveOf(facts, parameters));
  Booster booster(xgb);
  if (xgb.booster_create(matrices.data(), matrices.size(), &booster.handle_) != 0)
    return tl::make_unexpected(XgboostError(xgb, "starting").error());
  std::vector<std::pair<const char*, std::string>> settings = {
      {"objective", objective},
      {"tree_method", "hist"},
      {"max_depth", std::to_string(parameters.depth)},
      {"eta", fmt::format("{}", parameters.learning_rate)},
      {"min_child_weight", fmt::format("{}", parameters.min_child_weight)},
      {"subsample", fmt::format("{}", parameters.row_fraction)},
      {"colsample_bytree", fmt::format("{}", parameters.feature_fraction)},
      {"lambda", fmt::format("{}", parameters.l2)},
      {"max_bin", std::to_string(BinsOf(parameters))},
      {"nthread", std::to_string(std::max(1, parameters.threads))},
      // XGBoost's seed is a signed 64-bit number that it narrows: keep within 31 bits.
      {"seed", std::to_string(seed & 0x7FFFFFFFU)},
  };
  if (facts.task == ModelTask::kMulticlass)
    settings.emplace_back("num_class", std::to_string(facts.classes));
  for (const auto& [name, value] : settings)
    if (xgb.booster_set_param(booster.handle_, name, value.c_str()) != 0)
      return tl::make_unexpected(XgboostError(xgb, name).error());
  return booster;
}

Booster::~Booster() {
  if (handle_ != nullptr) xgb_->booster_free(handle_);
}

Status Booster::SeedEachRound() {
  if (xgb_->booster_set_param(handle_, "seed_per_iteration", "true") != 0)
    return XgboostError(*xgb_, "seed_per_iteration");
  return {};
}

Status Booster::Update(int round, DMatrixHandle matrix) {
  if (xgb_->booster_update(handle_, round, matrix) != 0) return XgboostError(*xgb_, "learning");
  return {};
}

Result<std::vector<float>> Booster::Predict(DMatrixHandle matrix) {
  constexpr const char* kConfig =
      R"({"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, )"
      R"("strict_shape": false})";
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* scores = nullptr;
  if (xgb_->booster_predict(handle_, matrix, kConfig, &shape, &dimensions, &scores) != 0)
    return tl::make_unexpected(XgboostError(*xgb_, "predicting").error());
  const std::span<const float> given = ScoresAt(scores, shape, dimensions);
  return std::vector<float>(given.begin(), given.end());
}

Status Booster::PredictInPlace(const FeatureMatrix& rows, std::vector<float>& scores) {
  constexpr const char* kConfig =
      R"({"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, )"
      R"("strict_shape": false, "missing": NaN})";
  if (rows.rows() == 0) return {};
  const std::string data = ArrayInterface(rows.values.data(), rows.rows(), rows.columns);
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* predicted = nullptr;
  if (xgb_->booster_predict_dense(handle_, data.c_str(), kConfig, nullptr, &shape, &dimensions,
                                  &predicted) != 0)
    return XgboostError(*xgb_, "predicting");
  const std::span<const float> given = ScoresAt(predicted, shape, dimensions);
  scores.insert(scores.end(), given.begin(), given.end());
  return {};
}

Result<BoostedTrees> Booster::Trees(std::size_t features) {
  bst_ulong size = 0;
  const char* text = nullptr;
  if (xgb_->booster_save(handle_, R"({"format": "json"})", &size, &text) != 0)
    return tl::make_unexpected(XgboostError(*xgb_, "saving").error());
  SKERRY_ASSIGN_OR_RETURN(const Json model, ParseJson({text, size}, limits::kModelBytes));
  return ReadXgboostModel(model, features);
}

Result<Booster> FitBooster(const XgboostFunctions& xgb, const XgboostMatrix& rows,
                           const LabelledRows& facts, const HyperParameters& parameters, int rounds,
                           std::uint64_t seed, const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(Booster booster,
                          Booster::Create(xgb, {rows.handle()}, facts, parameters, seed));
  for (int round = 0; round < rounds; ++round) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster.Update(round, rows.handle()));
  }
  return booster;
}

Result<EarlyStopped> FitWithEarlyStopping(const XgboostFunctions& xgb, const XgboostMatrix& rows,
                                          const XgboostMatrix& watched, const LabelledRows& facts,
                                          const HyperParameters& parameters, std::uint64_t seed,
                                          const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(WatchedFit watching,
                          WatchedFit::Start(xgb, rows, watched, facts, parameters, seed));
  SKERRY_RETURN_IF_ERROR(watching.Learn(parameters.trees, cancelled));
  return watching.best();
}

double LossOf(const LabelledRows& rows, std::span<const float> scores, bool absolute) {
  constexpr std::size_t kBlockRows = 8'192;
  struct Sums {
    double loss = 0, weight = 0;
  };
  std::vector<Sums> blocks(rows.rows() / kBlockRows + 1);
  const auto add = [&](std::size_t first, std::size_t count) -> Status {
    Sums sums;
    for (std::size_t i = first; i < first + count; ++i) {
      sums.loss += rows.weights[i] * RowLoss(rows, scores, i, absolute);
      sums.weight += rows.weights[i];
    }
    blocks[first / kBlockRows] = sums;
    return {};
  };
  [[maybe_unused]] const Status never_fails = ForBlocks(rows.rows(), kBlockRows, add);
  Sums all;
  for (const Sums& block : blocks) all = {all.loss + block.loss, all.weight + block.weight};
  const double mean = all.loss / all.weight;
  return rows.task == ModelTask::kRegression && !absolute ? std::sqrt(mean) : mean;
}

Result<WatchedFit> WatchedFit::Start(const XgboostFunctions& xgb, const XgboostMatrix& fit,
                                     const XgboostMatrix& watched, const LabelledRows& facts,
                                     const HyperParameters& parameters, std::uint64_t seed) {
  SKERRY_ASSIGN_OR_RETURN(Booster booster, Booster::Create(xgb, {fit.handle(), watched.handle()},
                                                           facts, parameters, seed));
  return WatchedFit(fit, watched, facts, parameters, std::move(booster));
}

Status WatchedFit::Learn(int rounds, const CancelCheck& cancelled) {
  for (; learnt_ < rounds && !stopped_; ++learnt_) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster_.Update(learnt_, fit_->handle()));
    SKERRY_ASSIGN_OR_RETURN(std::vector<float> scores, booster_.Predict(watched_->handle()));
    const double loss = LossOf(*facts_, scores, parameters_.objective == "absolute-error");
    if (loss < least_) {
      least_ = loss;
      best_ = {learnt_ + 1, std::move(scores)};
    } else {
      stopped_ = learnt_ + 1 - best_.rounds >= parameters_.early_stopping_rounds;
    }
  }
  return {};
}

}  // namespace skerry
