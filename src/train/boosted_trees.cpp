#include "train/boosted_trees.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/limits.h"
#include "train/booster.h"
#include "train/splits.h"

namespace skerry {
namespace {

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

double RowLoss(const LabelledRows& rows, std::span<const float> scores, std::size_t row,
               bool absolute) {
  if (rows.task == ModelTask::kRegression) {
    const double error = static_cast<double>(scores[row]) - rows.targets[row];
    return absolute ? std::abs(error) : error * error;
  }
  const bool several = rows.task == ModelTask::kMulticlass;
  const double given = scores[several ? row * rows.outputs() + rows.labels[row] : row];
  const double p = std::clamp(given, 1e-16, 1 - 1e-16);  // as XGBoost clips it
  return -std::log(several || rows.labels[row] != 0 ? p : 1 - p);
}

Result<FittedTrees> FitTrees(const LabelledRows& rows, const HyperParameters& parameters,
                             int rounds, std::uint64_t seed, const LabelledRows& others,
                             const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix matrix,
                          XgboostMatrix::FromRows(*xgb, rows, parameters.threads));
  SKERRY_ASSIGN_OR_RETURN(Booster booster,
                          FitBooster(*xgb, matrix, rows, parameters, rounds, seed, cancelled));
  FittedTrees fitted;
  SKERRY_ASSIGN_OR_RETURN(fitted.ensemble, booster.Trees(rows.features.columns));
  SKERRY_RETURN_IF_ERROR(booster.PredictInPlace(rows.features, fitted.scores));
  SKERRY_RETURN_IF_ERROR(booster.PredictInPlace(others.features, fitted.scores));
  return fitted;
}

Result<CrossValidation> CrossValidate(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                      const HyperParameters& parameters, std::uint64_t seed,
                                      const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  const std::size_t outputs = rows.outputs();
  CrossValidation result{.scores = std::vector<float>(rows.rows() * outputs, 0)};
  double rounds = 0;
  const std::vector<std::uint8_t> numbers = FoldNumbers(folds);
  for (const std::uint8_t number : numbers) {
    const auto [inside, outside] = RowsOfFold(folds, number);
    const LabelledRows watched = rows.Select(outside);
    // XGBoost copies the rows that it learns from: ours go at once.
    SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix fit,
                            XgboostMatrix::FromRows(*xgb, rows.Select(inside), parameters.threads));
    SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix check,
                            XgboostMatrix::FromRows(*xgb, watched, parameters.threads));
    SKERRY_ASSIGN_OR_RETURN(
        const EarlyStopped stopped,
        FitWithEarlyStopping(*xgb, fit, check, watched, parameters, seed, cancelled));
    rounds += stopped.rounds;
    for (std::size_t i = 0; i < outside.size() * outputs; ++i)
      result.scores[outside[i / outputs] * outputs + i % outputs] = stopped.scores[i];
  }
  result.rounds =
      std::max(1, static_cast<int>(std::lround(rounds / static_cast<double>(numbers.size()))));
  return result;
}

}  // namespace skerry
