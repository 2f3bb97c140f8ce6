// How TrainReport and what it holds are written, read and printed.
#include <fmt/format.h>

#include <algorithm>

#include "base/cores.h"
#include "train/option_ranges.h"
#include "train/task_report.h"
#include "train/trainer.h"

namespace skerry {
namespace {

std::string ScoresLine(std::string_view name, const ModelScores& scores) {
  const auto text = [](const Interval& interval) {
    return fmt::format("{:.3f} [{:.3f}, {:.3f}]", interval.value, interval.low, interval.high);
  };
  const Confusion& c = scores.confusion;
  return fmt::format("{:<19} {:<20} {:<20} {:<20} {}/{}/{}/{}\n", name, text(scores.auc),
                     text(scores.average_precision), text(scores.f1), c.true_positive,
                     c.false_positive, c.false_negative, c.true_negative);
}

Json GainsToJson(const std::vector<std::pair<std::string, double>>& gains) {
  Json list = Json::array();
  for (const auto& [field, gain] : gains) list.push_back({{"field", field}, {"gain", gain}});
  return list;
}

}  // namespace

HyperParameters HyperParameters::ForTable(std::size_t rows, std::size_t features) const {
  HyperParameters chosen = *this;
  const std::size_t cells = rows * features;
  if (bins == 0) chosen.bins = cells <= kFineCells ? kFineBins : kBins;
  if (threads == 0)
    chosen.threads = static_cast<int>(
        std::clamp<std::size_t>(cells / kCellsOfThread, 1, static_cast<std::size_t>(Cores())));
  return chosen;
}

Json HyperParameters::ToJson() const {
  return {{"trees", trees},
          {"depth", depth},
          {"learning_rate", learning_rate},
          {"min_child_weight", min_child_weight},
          {"row_fraction", row_fraction},
          {"feature_fraction", feature_fraction},
          {"l2", l2},
          {"bins", bins},
          {"early_stopping_rounds", early_stopping_rounds},
          {"threads", threads},
          {"objective", objective}};
}

Result<HyperParameters> HyperParameters::FromJson(const Json& json) {
  HyperParameters parameters;
  const JsonObject object(json, "parameters");
  const std::pair<const char*, int*> counts[] = {
      {"trees", &parameters.trees},
      {"depth", &parameters.depth},
      {"early_stopping_rounds", &parameters.early_stopping_rounds}};
  for (const auto& [key, value] : counts) {
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t number, object.IntOr(key, *value));
    if (number < 1 || number > 1'000'000)
      return Fail(ErrorCode::kInvalidArgument, "parameters.{} is {}; it is from 1 to 1000000", key,
                  number);
    *value = static_cast<int>(number);
  }
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t bins, object.IntOr("bins", 0));
  if (bins != 0 && (bins < 2 || bins > limits::kFeatureBins))
    return Fail(ErrorCode::kInvalidArgument, "parameters.bins is {}; it is from 2 to {}", bins,
                limits::kFeatureBins);
  parameters.bins = static_cast<int>(bins);
  constexpr auto kMostThreads = static_cast<std::int64_t>(option_ranges::kThreads.most);
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t threads, object.IntOr("threads", 0));
  if (threads < 0 || threads > kMostThreads)
    return Fail(ErrorCode::kInvalidArgument, "parameters.threads is {}; it is from 1 to {}",
                threads, kMostThreads);
  parameters.threads = static_cast<int>(threads);
  const std::pair<const char*, double*> numbers[] = {
      {"learning_rate", &parameters.learning_rate},
      {"min_child_weight", &parameters.min_child_weight},
      {"row_fraction", &parameters.row_fraction},
      {"feature_fraction", &parameters.feature_fraction},
      {"l2", &parameters.l2}};
  for (const auto& [key, value] : numbers) {
    SKERRY_ASSIGN_OR_RETURN(*value, object.NumberOr(key, *value));
    if (!(*value >= 0)) return Fail(ErrorCode::kInvalidArgument, "parameters.{} is negative", key);
  }
  SKERRY_ASSIGN_OR_RETURN(parameters.objective, object.StringOr("objective", ""));
  return parameters;
}

Json SearchFacts::ToJson() const {
  Json json = {{"loss", loss},
               {"default_loss", default_loss},
               {"chosen_loss", chosen_loss},
               {"default_chosen", default_chosen},
               {"rungs", Json::array()}};
  for (const Rung& rung : rungs)
    json["rungs"].push_back({{"configurations", rung.configurations},
                             {"share", rung.share},
                             {"least_loss", rung.least_loss}});
  return json;
}

std::string_view DetectorKindName(DetectorKind kind) {
  return kind == DetectorKind::kPca ? "pca" : "isolation-forest";
}

Result<DetectorKind> ParseDetectorKind(std::string_view name) {
  for (const DetectorKind kind : {DetectorKind::kIsolationForest, DetectorKind::kPca})
    if (name == DetectorKindName(kind)) return kind;
  return Fail(ErrorCode::kInvalidArgument,
              "there is no detector '{}'; there are isolation-forest and pca", name);
}

Json DetectorParameters::ToJson() const {
  Json json = {{"kind", DetectorKindName(kind)}, {"alarm_rate", alarm_rate}};
  if (kind == DetectorKind::kIsolationForest) json.update({{"trees", trees}, {"samples", samples}});
  return json;
}

Result<DetectorParameters> DetectorParameters::FromJson(const Json& json) {
  DetectorParameters parameters;
  const JsonObject object(json, "detector");
  SKERRY_ASSIGN_OR_RETURN(
      const std::string kind,
      object.StringOr("kind", std::string(DetectorKindName(DetectorKind::kIsolationForest))));
  SKERRY_ASSIGN_OR_RETURN(parameters.kind, ParseDetectorKind(kind), "detector");
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t trees, object.IntOr("trees", parameters.trees));
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t samples, object.IntOr("samples", parameters.samples));
  SKERRY_ASSIGN_OR_RETURN(parameters.alarm_rate,
                          object.NumberOr("alarm_rate", parameters.alarm_rate));
  if (trees < 1 || trees > 100'000 || samples < 2 || samples > 1'000'000 ||
      !(parameters.alarm_rate >= 0 && parameters.alarm_rate < 1))
    return Fail(ErrorCode::kInvalidArgument, "detector: trees, samples or alarm_rate out of range");
  parameters.trees = static_cast<int>(trees);
  parameters.samples = static_cast<int>(samples);
  return parameters;
}

Json SplitFacts::ToJson() const {
  Json json = {{"copies", copies}, {"left_out", left_out}};
  if (!group_column.empty()) json["group"] = {{"column", group_column}, {"groups", groups}};
  if (!time_column.empty()) json["time"] = {{"column", time_column}};
  if (!assignment.empty()) json["assignment"] = assignment;
  return json;
}

Json ModelScores::ToJson() const {
  Json json = {{"auc", auc.ToJson()},
               {"average_precision", average_precision.ToJson()},
               {"f1", f1.ToJson()},
               {"alarm_rate", alarm_rate.ToJson()},
               {"false_alarm_rate", false_alarm_rate.ToJson()},
               {"confusion", confusion.ToJson()}};
  if (cost) json["cost"] = cost->ToJson();
  return json;
}

Json CalibrationReport::ToJson() const {
  Json json = function.ToJson();
  const auto add = [&](const char* rows, const ProbabilityScores& after,
                       const ProbabilityScores& before) {
    if (after.bins.empty()) return;
    json[rows] = after.ToJson();
    if (!before.bins.empty()) json[rows]["uncalibrated"] = before.ToJson();
  };
  add("cross_validation", folds, folds_before);
  add("holdout", holdout, holdout_before);
  return json;
}

std::string TrainReport::DetectorWords() const {
  if (detector.kind == DetectorKind::kIsolationForest)
    return fmt::format("an isolation forest of {} trees", detector.trees);
  return fmt::format("PCA of {} components ({:.1f} % of the variance)", detector_facts.components,
                     detector_facts.explained_variance * 100);
}

Json TrainReport::ToJson() const {
  Json json = {{"format", "skerry-train-report/1"},
               {"name", name},
               {"version", version},
               {"engine", engine},
               {"seed", seed},
               {"rows", rows},
               {"training_rows", training_rows},
               {"holdout_rows", holdout_rows},
               {"training_positives", training_positives},
               {"holdout_positives", holdout_positives},
               {"split", split.ToJson()},
               {"warnings", warnings},
               {"data_digest", data_digest},
               {"trees", trees},
               {"threshold", threshold},
               {"threshold_goal", threshold_goal.ToText()},
               {"anomaly_threshold", anomaly_threshold},
               {"max_model_difference", max_model_difference},
               {"max_detector_difference", max_detector_difference},
               {"cross_validation", cross_validation.ToJson()},
               {"gains", GainsToJson(gains)},
               {"seconds", seconds},
               {"parameters", parameters.ToJson()},
               {"detector", detector.ToJson()}};
  json["task"] = ModelTaskName(task);
  for (const SliceTable& table : slices) json["slices"].push_back(table.ToJson());
  if (derived.most > 0) json["derived"] = derived.ToJson();
  if (!windows.empty()) json["windows"] = windows.ToJson();
  if (!search.rungs.empty()) json["search"] = search.ToJson();
  if (detector.kind == DetectorKind::kPca)
    json["detector"].update({{"components", detector_facts.components},
                             {"explained_variance", detector_facts.explained_variance},
                             {"t2_limit", detector_facts.t2_limit},
                             {"q_limit", detector_facts.q_limit},
                             {"left_out", detector_facts.left_out}});
  if (!alarm_folds.figures.empty()) json["alarms"]["cross_validation"] = alarm_folds.ToJson();
  if (!alarm_holdout.figures.empty()) json["alarms"]["holdout"] = alarm_holdout.ToJson();
  if (task != ModelTask::kBinary) {
    AddTaskFigures(*this, json);
    return json;
  }
  json["calibration"] = calibration.ToJson();
  if (holdout_rows > 0)
    json["holdout"] = {{"model", model.ToJson()},
                       {"logistic_regression", logistic_regression.ToJson()},
                       {"majority", majority.ToJson()}};
  if (released_rows > 0)
    json["released"] = {{"rows", released_rows}, {"auc", released_auc.ToJson()}};
  return json;
}

std::string TrainReport::ToText() const {
  if (task != ModelTask::kBinary) return TaskReportText(*this);
  std::string text =
      fmt::format("{}:{}  {} trees on {} rows ({} of class 1), seed {}, {:.1f} s\n", name, version,
                  trees, training_rows, training_positives, seed, seconds);
  text +=
      fmt::format("ONNX against trainer, largest difference: {:.1e} probability, {:.1e} anomaly\n",
                  max_model_difference, max_detector_difference);
  text += fmt::format("threshold {:.4f} ({} on inner folds), anomaly from {:.4f} on, by {}\n\n",
                      threshold, GoalWords(threshold_goal), anomaly_threshold, DetectorWords());
  text += fmt::format("{:<19} {:<20} {:<20} {:<20} {}\n",
                      holdout_rows > 0 ? fmt::format("{} held-out rows", holdout_rows) : "rows",
                      "AUC", "average precision", "F1", "TP/FP/FN/TN");
  if (holdout_rows > 0) {
    text += ScoresLine("model", model);
    text += ScoresLine("logistic regression", logistic_regression);
    text += ScoresLine("majority", majority);
  }
  text += ScoresLine("inner folds", cross_validation);
  text += "\nat the threshold\n";
  if (holdout_rows > 0) text += fmt::format("  held-out rows: {}\n", AtThresholdText(model));
  text += fmt::format("  inner folds:   {}\n", AtThresholdText(cross_validation));
  text += ProbabilitiesText(calibration) + AlarmsText(*this) + SearchText(*this);
  for (const std::string& warning : warnings) text += fmt::format("\nwarning: {}\n", warning);
  return text + SlicesText(slices) + DerivedText(derived) + GainsText(*this);
}

}  // namespace skerry
