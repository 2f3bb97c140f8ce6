#include "train/booster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/limits.h"

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

// What XGBoost calls back while it reads rows.
struct BlockReader {
  const XgboostFunctions* xgb = nullptr;
  DMatrixHandle proxy = nullptr;
  RowSource* rows = nullptr;
  std::vector<const char*> types{};  // "c" for categories, "q" for quantities; empty: all are that
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
    const std::string labels = ArrayInterface(block.labels.data(), block.rows(), 0);
    const std::string weights = ArrayInterface(block.weights.data(), block.rows(), 0);
    return xgb->proxy_set_dense(proxy, data.c_str()) == 0 &&
           xgb->matrix_set_info(proxy, "label", labels.c_str()) == 0 &&
           xgb->matrix_set_info(proxy, "weight", weights.c_str()) == 0 &&
           (types.empty() ||
            xgb->matrix_set_texts(proxy, "feature_type", types.data(), types.size()) == 0);
  }
};

// Weighted; log loss is clipped as XGBoost clips it.
double LossOf(const LabelledRows& rows, std::span<const float> scores, bool absolute) {
  double sum = 0;
  double weight = 0;
  const std::size_t outputs = rows.outputs();
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    double loss = 0;
    if (rows.task == ModelTask::kRegression) {
      const double error = static_cast<double>(scores[i]) - rows.targets[i];
      loss = absolute ? std::abs(error) : error * error;
    } else {
      const bool several = rows.task == ModelTask::kMulticlass;
      const double given = scores[several ? i * outputs + rows.labels[i] : i];
      const double p = std::clamp(given, 1e-16, 1 - 1e-16);
      loss = -std::log(several || rows.labels[i] != 0 ? p : 1 - p);
    }
    sum += rows.weights[i] * loss;
    weight += rows.weights[i];
  }
  return rows.task == ModelTask::kRegression && !absolute ? std::sqrt(sum / weight) : sum / weight;
}

}  // namespace

SelectedRows SelectedRows::All(const LabelledRows& rows) {
  std::vector<std::size_t> all(rows.rows());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return {rows, std::move(all)};
}

RowBlock SelectedRows::Next() {
  const std::size_t most =
      std::max<std::size_t>(1, kBlockCells / std::max<std::size_t>(columns(), 1));
  const std::size_t count = std::min(most, chosen_.size() - next_);
  block_ = rows_.Select(std::span(chosen_).subspan(next_, count));
  next_ += count;
  if (block_.targets.empty())
    labels_.assign(block_.labels.begin(), block_.labels.end());
  else
    labels_ = block_.targets;
  return {block_.features.values, labels_, block_.weights};
}

Result<QuantileMatrix> QuantileMatrix::Create(const XgboostFunctions& xgb, RowSource& rows,
                                              int threads, const QuantileMatrix* reference) {
  BlockReader reader{.xgb = &xgb, .rows = &rows};
  const std::span<const std::uint8_t> categorical = rows.categorical();
  if (std::ranges::count(categorical, 1) > 0)
    for (const std::uint8_t one : categorical) reader.types.push_back(one != 0 ? "c" : "q");
  if (xgb.proxy_create(&reader.proxy) != 0)
    return tl::make_unexpected(XgboostError(xgb, "taking the rows").error());
  QuantileMatrix matrix(xgb);
  const std::string config = fmt::format(R"({{"missing": NaN, "nthread": {}}})", threads);
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

QuantileMatrix::~QuantileMatrix() {
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
      {"nthread", std::to_string(parameters.threads)},
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
  bst_ulong count = 1;
  for (bst_ulong i = 0; i < dimensions; ++i) count *= shape[i];
  return std::vector<float>(scores, scores + count);
}

Status Booster::PredictInPlace(const FeatureMatrix& rows, std::vector<float>& scores) {
  constexpr const char* kConfig =
      R"({"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, )"
      R"("strict_shape": false, "missing": NaN})";
  if (rows.rows() == 0) return {};
  const std::string data = ArrayInterface(rows.values.data(), rows.rows(), rows.columns);
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* given = nullptr;
  if (xgb_->booster_predict_dense(handle_, data.c_str(), kConfig, nullptr, &shape, &dimensions,
                                  &given) != 0)
    return XgboostError(*xgb_, "predicting");
  bst_ulong count = 1;
  for (bst_ulong i = 0; i < dimensions; ++i) count *= shape[i];
  scores.insert(scores.end(), given, given + count);
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

Result<Booster> FitBooster(RowSource& rows, const LabelledRows& facts,
                           const HyperParameters& parameters, int rounds, std::uint64_t seed,
                           const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  SKERRY_ASSIGN_OR_RETURN(const QuantileMatrix matrix,
                          QuantileMatrix::Create(*xgb, rows, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(Booster booster,
                          Booster::Create(*xgb, {matrix.handle()}, facts, parameters, seed));
  for (int round = 0; round < rounds; ++round) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster.Update(round, matrix.handle()));
  }
  return booster;
}

Result<EarlyStopped> FitWithEarlyStopping(RowSource& rows, RowSource& watched,
                                          const LabelledRows& facts,
                                          const HyperParameters& parameters, std::uint64_t seed,
                                          const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  SKERRY_ASSIGN_OR_RETURN(const QuantileMatrix fit,
                          QuantileMatrix::Create(*xgb, rows, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(const QuantileMatrix check,
                          QuantileMatrix::Create(*xgb, watched, parameters.threads, &fit));
  SKERRY_ASSIGN_OR_RETURN(Booster booster, Booster::Create(*xgb, {fit.handle(), check.handle()},
                                                           facts, parameters, seed));
  EarlyStopped best;
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < parameters.trees; ++round) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster.Update(round, fit.handle()));
    SKERRY_ASSIGN_OR_RETURN(std::vector<float> scores, booster.Predict(check.handle()));
    const double loss = LossOf(facts, scores, parameters.objective == "absolute-error");
    if (loss < least) {
      least = loss;
      best = {round + 1, std::move(scores)};
    } else if (round + 1 - best.rounds >= parameters.early_stopping_rounds) {
      break;
    }
  }
  return best;
}

}  // namespace skerry
