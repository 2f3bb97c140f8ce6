#include "train/task_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace skerry {
namespace {

constexpr std::size_t kClassesShown = 12;  // of a confusion matrix on a terminal

std::string IntervalText(const Interval& interval) {
  return fmt::format("{:.4g} [{:.4g}, {:.4g}]", interval.value, interval.low, interval.high);
}

// Model, baseline and folds, as far as there are any.
struct Line {
  std::string_view name;
  const TaskScores* scores;
};
std::vector<Line> LinesOf(const TrainReport& report) {
  const bool numbers = report.task == ModelTask::kRegression;
  std::vector<Line> lines = {
      {"held-out rows", &report.task_model},
      {numbers ? "  mean of training" : "  class frequencies", &report.task_baseline},
      {"inner folds", &report.task_folds}};
  std::erase_if(lines, [](const Line& line) { return line.scores->figures.empty(); });
  return lines;
}

std::string ConfusionText(const TrainReport& report) {
  const auto& confusion = report.task_model.confusion;
  if (confusion.empty() || confusion.size() > kClassesShown) return {};
  std::string text = "\nheld-out rows by class (row) and prediction (column)\n";
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    text += fmt::format("{:<19.19}", report.classes[i]);
    for (const std::uint64_t rows : confusion[i]) text += fmt::format(" {:>7}", rows);
    text += '\n';
  }
  return text;
}

std::string ConfusionTable(const TrainReport& report) {
  const auto& confusion = report.task_model.confusion;
  if (confusion.empty()) return {};
  std::string text = "Held-out rows by their class, and what was predicted:\n\n| class |";
  std::string rule = "\n| --- |";
  for (const std::string& word : report.classes) {
    text += fmt::format(" {} |", word);
    rule += " --- |";
  }
  text += rule + "\n";
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    text += fmt::format("| {} |", report.classes[i]);
    for (const std::uint64_t rows : confusion[i]) text += fmt::format(" {} |", rows);
    text += "\n";
  }
  return text + "\n";
}

std::string FiguresTable(const TrainReport& report) {
  std::string text;
  for (const auto& [name, scores] : LinesOf(report)) {
    if (text.empty()) {
      std::string rule = "| --- |";
      text = "| |";
      for (const auto& [figure, interval] : scores->figures) {
        text += fmt::format(" {} |", FigureName(figure));
        rule += " --- |";
      }
      text += "\n" + rule + "\n";
    }
    text += fmt::format("| {} |", name.substr(name.find_first_not_of(' ')));
    for (const auto& [figure, interval] : scores->figures)
      text += fmt::format(" {} |", IntervalText(interval));
    text += "\n";
  }
  return text + "\n";
}

}  // namespace

std::string_view FigureName(std::string_view name) {
  if (name == "auc") return "AUC";
  if (name == "average_precision") return "average precision";
  if (name == "f1") return "F1";
  if (name == "log_loss") return "log loss";
  if (name == "macro_f1") return "macro F1";
  if (name == "alarm_rate") return "alarm rate";
  if (name == "false_alarm_rate") return "false-alarm rate";
  if (name == "rmse") return "RMSE";
  if (name == "mae") return "MAE";
  if (name == "r2") return "R2";
  return name;
}

std::string GoalWords(const ThresholdGoal& goal) {
  if (goal.kind == ThresholdGoal::Kind::kCost)
    return fmt::format("least cost at {} a false alarm and {} a missed row",
                       goal.false_positive_cost, goal.false_negative_cost);
  if (goal.kind == ThresholdGoal::Kind::kAlarmRate)
    return fmt::format("alarms on {:.4g} % of the rows", goal.alarm_rate * 100);
  return "best F1";
}

std::string AtThresholdText(const ModelScores& scores) {
  std::string text =
      fmt::format("alarm rate {}, false-alarm rate {}", IntervalText(scores.alarm_rate),
                  IntervalText(scores.false_alarm_rate));
  if (scores.cost) text += fmt::format(", cost a row {}", IntervalText(*scores.cost));
  return text;
}

std::string AlarmFiguresText(const TaskScores& alarms) {
  std::string text;
  for (const auto& [name, interval] : alarms.figures)
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : ", ", FigureName(name), IntervalText(interval));
  return text;
}

std::string ProbabilityFiguresText(const ProbabilityScores& scores) {
  return fmt::format("Brier score {}, calibration error {}", IntervalText(scores.brier),
                     IntervalText(scores.ece));
}

std::string ProbabilitiesText(const CalibrationReport& report) {
  std::string text = fmt::format("\nscores as probabilities, calibration {}\n",
                                 CalibrationName(report.function.kind));
  const std::pair<const char*, const ProbabilityScores*> lines[] = {
      {"held-out rows: ", &report.holdout},
      {"  uncalibrated:", &report.holdout_before},
      {"inner folds:   ", &report.folds},
      {"  uncalibrated:", &report.folds_before}};
  for (const auto& [name, scores] : lines)
    if (!scores->bins.empty())
      text += fmt::format("  {} {}\n", name, ProbabilityFiguresText(*scores));
  return text;
}

std::string ReliabilityText(const CalibrationReport& report) {
  const bool held_out = !report.holdout.bins.empty();
  const ProbabilityScores& after = held_out ? report.holdout : report.folds;
  const ProbabilityScores& before = held_out ? report.holdout_before : report.folds_before;
  const bool calibrated = report.function.kind != CalibrationKind::kNone;
  std::string text = "## Are the scores probabilities?\n\n";
  text += calibrated ? fmt::format("They were calibrated ({}) on the inner folds. ",
                                   CalibrationName(report.function.kind))
                     : "They were not calibrated. ";
  const char* rows = held_out ? "held-out rows" : "inner folds";
  text += fmt::format("On {}: {}", rows, ProbabilityFiguresText(after));
  if (calibrated) text += fmt::format("; before calibration: {}", ProbabilityFiguresText(before));
  text += fmt::format(
      ".\n\n| score | {} | mean score | share of class 1 |\n| --- | --- | --- | --- |\n", rows);
  for (const ProbabilityScores::Bin& bin : after.bins)
    if (bin.rows > 0)
      text += fmt::format("| {:.1f} to {:.1f} | {} | {:.3f} | {:.3f} |\n", bin.low, bin.high,
                          bin.rows, bin.mean_score, bin.positive_share);
  return text + "\n";
}

std::string AlarmsText(const TrainReport& report) {
  if (report.alarm_folds.figures.empty()) return {};
  std::string text = fmt::format("\nanomaly alarms, asked for on {:.4g} % of {} rows\n",
                                 report.detector.alarm_rate * 100,
                                 report.task == ModelTask::kBinary ? "class 0's" : "the");
  if (!report.alarm_holdout.figures.empty())
    text += fmt::format("  held-out rows: {}\n", AlarmFiguresText(report.alarm_holdout));
  return text + fmt::format("  inner folds:   {}\n", AlarmFiguresText(report.alarm_folds));
}

std::string DerivedText(const DeriveReport& derived) {
  if (derived.most == 0) return {};
  std::string text =
      fmt::format("\nderived features, of {} candidates by the loss on inner folds of {} rows{}\n",
                  derived.candidates, derived.rows, derived.chosen.empty() ? ": none helps" : "");
  for (const DerivedChoice& choice : derived.chosen)
    text += fmt::format("  loss {:.4g} to {:.4g}  {}\n", choice.loss_before, choice.loss_after,
                        choice.feature.Words());
  return text;
}

std::string ParameterWords(const HyperParameters& parameters) {
  return fmt::format(
      "depth {}, learning rate {}, min_child_weight {}, {:.3g} of the rows and {:.3g} of the "
      "features a tree, l2 {}, {} bins",
      parameters.depth, parameters.learning_rate, parameters.min_child_weight,
      parameters.row_fraction, parameters.feature_fraction, parameters.l2, parameters.bins);
}

std::string SearchWords(const SearchFacts& search) {
  return fmt::format("{} {:.5g} on the inner folds, of the default parameters {:.5g}", search.loss,
                     search.chosen_loss, search.default_loss);
}

std::string SearchText(const TrainReport& report) {
  const SearchFacts& search = report.search;
  if (search.rungs.empty()) return {};
  return fmt::format("\nparameters, best of {} configurations{}\n  {}\n  {}\n",
                     search.rungs[0].configurations, search.default_chosen ? " (the default)" : "",
                     ParameterWords(report.parameters), SearchWords(search));
}

std::string GainsText(const TrainReport& report) {
  constexpr std::size_t kShown = 8;
  const auto& gains = report.gains;
  if (gains.empty()) return {};
  std::string text = "\ngain by feature\n";
  for (std::size_t i = 0; i < std::min(gains.size(), kShown); ++i)
    text += fmt::format("{:>12.0f}  {}\n", gains[i].second, gains[i].first);
  if (gains.size() > kShown)
    text += fmt::format("{:>12}  {} more: report.json\n", "", gains.size() - kShown);
  return text;
}

void AddTaskFigures(const TrainReport& report, Json& json) {
  for (const char* binary :
       {"training_positives", "holdout_positives", "threshold", "threshold_goal"})
    json.erase(binary);
  if (report.task == ModelTask::kAnomaly) {
    for (const char* predictor : {"trees", "max_model_difference", "gains", "parameters"})
      json.erase(predictor);
  }
  json["cross_validation"] = report.task_folds.ToJson();
  if (!report.classes.empty()) json["classes"] = report.classes;
  if (report.holdout_rows == 0) return;
  json["holdout"] = {{"model", report.task_model.ToJson()}};
  if (!report.task_baseline.figures.empty())
    json["holdout"]["baseline"] = report.task_baseline.ToJson();
}

std::string TaskReportText(const TrainReport& report) {
  const bool predicts = report.task != ModelTask::kAnomaly;
  std::string text =
      fmt::format("{}:{}  {}, ", report.name, report.version, ModelTaskName(report.task));
  if (predicts) text += fmt::format("{} rounds of trees on ", report.trees);
  text += fmt::format("{} rows, seed {}, {:.1f} s\n", report.training_rows, report.seed,
                      report.seconds);
  text += "ONNX against trainer, largest difference: ";
  if (predicts) text += fmt::format("{:.1e} prediction, ", report.max_model_difference);
  text +=
      fmt::format("{:.1e} anomaly\nanomaly from {:.4f} on, by {}\n\n",
                  report.max_detector_difference, report.anomaly_threshold, report.DetectorWords());
  std::string head;
  for (const auto& [name, scores] : LinesOf(report)) {
    std::string line = fmt::format("{:<19}", name);
    if (head.empty()) {
      head = fmt::format("{:<19}", fmt::format("{} held out", report.holdout_rows));
      for (const auto& [figure, interval] : scores->figures)
        head += fmt::format(" {:<28}", FigureName(figure));
      text += head + "\n";
    }
    for (const auto& [figure, interval] : scores->figures)
      line += fmt::format(" {:<28}", IntervalText(interval));
    text += line + "\n";
  }
  for (const std::string& warning : report.warnings)
    text += fmt::format("\nwarning: {}\n", warning);
  text += ConfusionText(report);
  return text + AlarmsText(report) + SearchText(report) + SlicesText(report.slices) +
         DerivedText(report.derived) + GainsText(report);
}

std::string TaskFigures(const TrainReport& report) {
  return FiguresTable(report) + ConfusionTable(report);
}

}  // namespace skerry
