#include "train/boosted_trees.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "base/limits.h"
#include "train/xgboost_library.h"

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

// Owns a DMatrix with labels and weights; copies the data at Create.
class DataMatrix {
 public:
  static Result<DataMatrix> Create(const XgboostFunctions& xgb, const LabelledRows& rows,
                                   int threads) {
    DataMatrix matrix(xgb);
    const std::string data =
        ArrayInterface(rows.features.values.data(), rows.rows(), rows.features.columns);
    const std::string config = fmt::format(R"({{"missing": NaN, "nthread": {}}})", threads);
    if (xgb.matrix_create(data.c_str(), config.c_str(), &matrix.handle_) != 0)
      return tl::make_unexpected(XgboostError(xgb, "taking the rows").error());
    const std::vector<float> labels =
        rows.task == ModelTask::kRegression
            ? rows.targets
            : std::vector<float>(rows.labels.begin(), rows.labels.end());
    const std::string label_data = ArrayInterface(labels.data(), labels.size(), 0);
    const std::string weight_data = ArrayInterface(rows.weights.data(), rows.weights.size(), 0);
    if (xgb.matrix_set_info(matrix.handle_, "label", label_data.c_str()) != 0 ||
        xgb.matrix_set_info(matrix.handle_, "weight", weight_data.c_str()) != 0)
      return tl::make_unexpected(XgboostError(xgb, "taking labels and weights").error());
    SKERRY_RETURN_IF_ERROR(matrix.SetTypes(rows.features));
    return matrix;
  }
  DataMatrix(DataMatrix&& other) noexcept
      : xgb_(other.xgb_), handle_(std::exchange(other.handle_, nullptr)) {}
  DataMatrix& operator=(DataMatrix&&) = delete;
  ~DataMatrix() {
    if (handle_ != nullptr) xgb_->matrix_free(handle_);
  }
  DMatrixHandle handle() const { return handle_; }

 private:
  explicit DataMatrix(const XgboostFunctions& xgb) : xgb_(&xgb) {}

  // "c" for categories, "q" for quantities.
  Status SetTypes(const FeatureMatrix& features) {
    if (std::ranges::count(features.categorical, 1) == 0) return {};
    std::vector<const char*> types;
    for (const std::uint8_t categorical : features.categorical)
      types.push_back(categorical != 0 ? "c" : "q");
    if (xgb_->matrix_set_texts(handle_, "feature_type", types.data(), types.size()) != 0)
      return XgboostError(*xgb_, "taking the types of the features");
    return {};
  }

  const XgboostFunctions* xgb_;
  DMatrixHandle handle_ = nullptr;
};

// Owns a Booster that learns from the first of `matrices` and caches predictions for all of them.
class Booster {
 public:
  // `rows`: what the first of the matrices holds.
  static Result<Booster> Create(const XgboostFunctions& xgb, std::vector<DMatrixHandle> matrices,
                                const LabelledRows& rows, const HyperParameters& parameters,
                                std::uint64_t seed) {
    SKERRY_ASSIGN_OR_RETURN(const std::string objective, ObjectiveOf(rows, parameters));
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
    if (rows.task == ModelTask::kMulticlass)
      settings.emplace_back("num_class", std::to_string(rows.classes));
    for (const auto& [name, value] : settings)
      if (xgb.booster_set_param(booster.handle_, name, value.c_str()) != 0)
        return tl::make_unexpected(XgboostError(xgb, name).error());
    return booster;
  }
  Booster(Booster&& other) noexcept
      : xgb_(other.xgb_), handle_(std::exchange(other.handle_, nullptr)) {}
  Booster& operator=(Booster&&) = delete;
  ~Booster() {
    if (handle_ != nullptr) xgb_->booster_free(handle_);
  }

  Status Update(int round, DMatrixHandle matrix) {
    if (xgb_->booster_update(handle_, round, matrix) != 0) return XgboostError(*xgb_, "learning");
    return {};
  }

  Result<std::vector<float>> Predict(DMatrixHandle matrix) {
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

  Result<Json> Save() {
    bst_ulong size = 0;
    const char* text = nullptr;
    if (xgb_->booster_save(handle_, R"({"format": "json"})", &size, &text) != 0)
      return tl::make_unexpected(XgboostError(*xgb_, "saving").error());
    return ParseJson({text, size}, limits::kModelBytes);
  }

 private:
  explicit Booster(const XgboostFunctions& xgb) : xgb_(&xgb) {}
  const XgboostFunctions* xgb_;
  BoosterHandle handle_ = nullptr;
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

Result<MarginLink> LinkOf(const std::string& objective) {
  if (objective == "binary:logistic") return MarginLink::kLogistic;
  if (objective == "multi:softprob") return MarginLink::kSoftmax;
  if (objective == "reg:squarederror" || objective == "reg:absoluteerror")
    return MarginLink::kIdentity;
  if (objective == "count:poisson" || objective == "reg:gamma" || objective == "reg:tweedie")
    return MarginLink::kExp;
  return Fail(ErrorCode::kInternal, "XGBoost's model has the objective '{}'", objective);
}

Result<float> MarginOf(float base_score, MarginLink link) {
  if (link == MarginLink::kLogistic && base_score > 0 && base_score < 1)
    return -std::log(1.0F / base_score - 1.0F);
  if (link == MarginLink::kExp && base_score > 0) return std::log(base_score);
  if (link == MarginLink::kIdentity || link == MarginLink::kSoftmax) return base_score;
  return Fail(ErrorCode::kInternal, "XGBoost's model has a base_score of {}", base_score);
}

// "[3.39E-2]" or "[1E0,2E0]" since XGBoost 3, "3.39E-2" before: what the answers start from, as
// probability or number. One for all outputs, or one an output.
Result<std::vector<float>> ReadBaseMargins(const Json& learner, std::size_t outputs,
                                           MarginLink link) {
  JsonObject object(learner, "learner");
  SKERRY_ASSIGN_OR_RETURN(const JsonObject parameters, object.Object("learner_model_param"));
  SKERRY_ASSIGN_OR_RETURN(std::string text, parameters.String("base_score"));
  std::erase_if(text, [](char c) { return c == '[' || c == ']'; });
  std::vector<float> margins;
  const char* at = text.c_str();
  while (*at != 0) {
    char* end = nullptr;
    const float score = std::strtof(at, &end);
    if (end == at || (*end != 0 && *end != ','))
      return Fail(ErrorCode::kInternal, "XGBoost's model has base_score '{}'", text);
    SKERRY_ASSIGN_OR_RETURN(const float margin, MarginOf(score, link));
    margins.push_back(margin);
    at = *end == ',' ? end + 1 : end;
  }
  if (margins.size() == 1) margins.resize(outputs, margins[0]);
  if (margins.size() == outputs) return margins;
  return Fail(ErrorCode::kInternal, "XGBoost's model has base_score '{}' of {} outputs", text,
              outputs);
}

// "0" where there is one output.
Result<std::size_t> ReadOutputs(const Json& learner) {
  JsonObject object(learner, "learner");
  SKERRY_ASSIGN_OR_RETURN(const JsonObject parameters, object.Object("learner_model_param"));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, parameters.String("num_class"));
  const std::size_t classes = std::strtoul(text.c_str(), nullptr, 10);
  return std::max<std::size_t>(classes, 1);
}

// Trees are of the outputs in turn.
Status CheckTurns(const Json& model, std::size_t outputs) {
  const Json& groups = model.at("tree_info");
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (groups[i].get<std::size_t>() != i % outputs)
      return Fail(ErrorCode::kInternal, "XGBoost's model has tree {} for output {}", i,
                  groups[i].get<std::size_t>());
  return {};
}

// The categories that each node sends right, into the nodes.
void ReadCategories(const Json& tree, std::vector<TreeNode>& nodes) {
  const Json& split = tree.at("categories_nodes");
  for (std::size_t i = 0; i < split.size(); ++i) {
    TreeNode& node = nodes.at(split[i].get<std::size_t>());
    const auto first = tree.at("categories_segments")[i].get<std::size_t>();
    const auto count = tree.at("categories_sizes")[i].get<std::size_t>();
    for (std::size_t k = first; k < first + count; ++k)
      node.categories.push_back(tree.at("categories").at(k).get<float>());
    std::sort(node.categories.begin(), node.categories.end());
  }
}

Status ReadTree(const Json& tree, BoostedTrees& ensemble) {
  std::vector<TreeNode> nodes(tree.at("left_children").size());
  ReadCategories(tree, nodes);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    TreeNode& node = nodes[i];
    node.left = tree.at("left_children")[i].get<int>();
    node.right = tree.at("right_children")[i].get<int>();
    node.cover = tree.at("sum_hessian")[i].get<float>();
    const auto condition = tree.at("split_conditions")[i].get<double>();
    if (node.left < 0) {
      node.value = static_cast<float>(condition);
      continue;
    }
    const bool by_category = tree.at("split_type")[i].get<int>() != 0;
    if (by_category == node.categories.empty())
      return Fail(ErrorCode::kInternal, "XGBoost's model has a split by no category");
    node.feature = tree.at("split_indices")[i].get<int>();
    if (!by_category) node.threshold = static_cast<float>(condition);
    node.missing_left = tree.at("default_left")[i].get<int>() != 0;
    if (node.feature < 0 || static_cast<std::size_t>(node.feature) >= ensemble.gains.size())
      return Fail(ErrorCode::kInternal, "XGBoost's model splits on feature {}", node.feature);
    ensemble.gains[static_cast<std::size_t>(node.feature)] +=
        tree.at("loss_changes")[i].get<double>();
  }
  ensemble.trees.push_back(std::move(nodes));
  return {};
}

struct EarlyStopped {
  int rounds = 1;
  std::vector<float> scores{};  // of the validation rows, at that round
};

constexpr std::pair<const char*, const char*> kNumberObjectives[] = {
    {"squared-error", "reg:squarederror"},
    {"absolute-error", "reg:absoluteerror"},
    {"poisson", "count:poisson"},
    {"gamma", "reg:gamma"},
    {"tweedie", "reg:tweedie"}};

// Logarithms of the label are learnt: which labels have one.
Status CheckTargets(const LabelledRows& rows, const std::string& objective) {
  if (objective == "squared-error" || objective == "absolute-error") return {};
  const bool zero = objective != "gamma";
  for (std::size_t i = 0; i < rows.targets.size(); ++i)
    if (!(rows.targets[i] > 0 || (zero && rows.targets[i] == 0)))
      return Fail(ErrorCode::kInvalidArgument,
                  "a label is {}, and objective {} takes numbers {} 0 alone: choose another "
                  "objective or leave such rows out",
                  rows.targets[i], objective, zero ? "from" : "above");
  return {};
}

Result<EarlyStopped> FitWithEarlyStopping(const LabelledRows& training,
                                          const LabelledRows& validation,
                                          const HyperParameters& parameters, std::uint64_t seed,
                                          const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  SKERRY_ASSIGN_OR_RETURN(const DataMatrix fit,
                          DataMatrix::Create(*xgb, training, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(const DataMatrix check,
                          DataMatrix::Create(*xgb, validation, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(Booster booster, Booster::Create(*xgb, {fit.handle(), check.handle()},
                                                           training, parameters, seed));
  EarlyStopped best;
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < parameters.trees; ++round) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster.Update(round, fit.handle()));
    SKERRY_ASSIGN_OR_RETURN(std::vector<float> scores, booster.Predict(check.handle()));
    const double loss = LossOf(validation, scores, parameters.objective == "absolute-error");
    if (loss < least) {
      least = loss;
      best = {round + 1, std::move(scores)};
    } else if (round + 1 - best.rounds >= parameters.early_stopping_rounds) {
      break;
    }
  }
  return best;
}

}  // namespace

Result<std::string> ObjectiveOf(const LabelledRows& rows, const HyperParameters& parameters) {
  const std::string& wanted = parameters.objective;
  if (rows.task != ModelTask::kRegression && !wanted.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "objective {} is for a regression, and the task is {}: leave the objective out",
                wanted, ModelTaskName(rows.task));
  if (rows.task == ModelTask::kMulticlass) return "multi:softprob";
  if (rows.task != ModelTask::kRegression) return "binary:logistic";
  std::string names;
  for (const auto& [name, objective] : kNumberObjectives) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    if (name != (wanted.empty() ? "squared-error" : wanted)) continue;
    SKERRY_RETURN_IF_ERROR(CheckTargets(rows, name));
    return objective;
  }
  return Fail(ErrorCode::kInvalidArgument, "there is no objective '{}'; there are {}", wanted,
              names);
}

Result<BoostedTrees> ReadXgboostModel(const Json& model, std::size_t features) {
  BoostedTrees ensemble{.gains = std::vector<double>(features, 0)};
  try {
    const Json& learner = model.at("learner");
    SKERRY_ASSIGN_OR_RETURN(ensemble.link,
                            LinkOf(learner.at("objective").at("name").get<std::string>()));
    SKERRY_ASSIGN_OR_RETURN(const std::size_t outputs, ReadOutputs(learner));
    SKERRY_ASSIGN_OR_RETURN(ensemble.base_margins,
                            ReadBaseMargins(learner, outputs, ensemble.link));
    const Json& booster = learner.at("gradient_booster").at("model");
    SKERRY_RETURN_IF_ERROR(CheckTurns(booster, outputs));
    for (const Json& tree : booster.at("trees")) SKERRY_RETURN_IF_ERROR(ReadTree(tree, ensemble));
  } catch (const Json::exception& error) {
    return Fail(ErrorCode::kInternal, "XGBoost's model is not as version 3 writes it: {}",
                error.what());
  }
  return ensemble;
}

Result<FittedTrees> FitTrees(const LabelledRows& rows, const HyperParameters& parameters,
                             int rounds, std::uint64_t seed, const LabelledRows& compared,
                             const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  SKERRY_ASSIGN_OR_RETURN(const DataMatrix matrix,
                          DataMatrix::Create(*xgb, rows, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(Booster booster,
                          Booster::Create(*xgb, {matrix.handle()}, rows, parameters, seed));
  for (int round = 0; round < rounds; ++round) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_RETURN_IF_ERROR(booster.Update(round, matrix.handle()));
  }
  FittedTrees fitted;
  SKERRY_ASSIGN_OR_RETURN(const Json model, booster.Save());
  SKERRY_ASSIGN_OR_RETURN(fitted.ensemble, ReadXgboostModel(model, rows.features.columns));
  SKERRY_ASSIGN_OR_RETURN(const DataMatrix other,
                          DataMatrix::Create(*xgb, compared, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(fitted.scores, booster.Predict(other.handle()));
  return fitted;
}

Result<CrossValidation> CrossValidate(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                      const HyperParameters& parameters, std::uint64_t seed,
                                      const CancelCheck& cancelled) {
  const std::size_t outputs = rows.outputs();
  CrossValidation result{.scores = std::vector<float>(rows.rows() * outputs, 0)};
  double rounds = 0;
  const std::set<std::uint8_t> fold_numbers(folds.begin(), folds.end());
  for (const std::uint8_t fold : fold_numbers) {
    std::vector<std::size_t> inside;
    std::vector<std::size_t> outside;
    for (std::size_t row = 0; row < rows.rows(); ++row)
      (folds[row] == fold ? outside : inside).push_back(row);
    SKERRY_ASSIGN_OR_RETURN(const EarlyStopped stopped,
                            FitWithEarlyStopping(rows.Select(inside), rows.Select(outside),
                                                 parameters, seed, cancelled));
    rounds += stopped.rounds;
    for (std::size_t i = 0; i < outside.size() * outputs; ++i)
      result.scores[outside[i / outputs] * outputs + i % outputs] = stopped.scores[i];
  }
  result.rounds =
      std::max(1, static_cast<int>(std::lround(rounds / static_cast<double>(fold_numbers.size()))));
  return result;
}

}  // namespace skerry
