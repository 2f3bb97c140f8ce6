#include "train/task_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "train/package_writer.h"

namespace skerry {
namespace {

constexpr std::size_t kGainsShown = 8;
constexpr std::size_t kClassesShown = 12;  // of a confusion matrix on a terminal

std::string_view FigureName(std::string_view name) {
  if (name == "log_loss") return "log loss";
  if (name == "macro_f1") return "macro F1";
  if (name == "alarm_rate") return "alarm rate";
  if (name == "rmse") return "RMSE";
  if (name == "mae") return "MAE";
  if (name == "r2") return "R2";
  return name;
}

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
      {report.task == ModelTask::kAnomaly ? "training rows" : "inner folds", &report.task_folds}};
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

std::string Purpose(const FittedPackage& package) {
  const ModelSchema& schema = package.schema;
  const TrainReport& report = package.report;
  const std::string detector =
      fmt::format("an isolation forest of {} trees", report.detector.trees);
  if (schema.task == ModelTask::kAnomaly)
    return fmt::format("Scores how unusual a row is, by {}. It learnt without a label.", detector);
  if (schema.task == ModelTask::kRegression)
    return fmt::format(
        "Predicts the number `{}` by {} gradient-boosted trees; beside it {} scores "
        "how unusual a row is.",
        schema.label_column, report.trees, detector);
  return fmt::format(
      "Tells which of {} classes `{}` is, by {} gradient-boosted trees for each; "
      "beside it {} scores how unusual a row is.",
      schema.classes.size(), schema.label_column, report.trees, detector);
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

void AddTaskFigures(const TrainReport& report, Json& json) {
  for (const char* binary :
       {"training_positives", "holdout_positives", "threshold", "cross_validation"})
    json.erase(binary);
  if (report.task == ModelTask::kAnomaly) {
    for (const char* predictor : {"trees", "max_model_difference", "gains", "parameters"})
      json.erase(predictor);
    json["training"] = report.task_folds.ToJson();
  } else {
    json["cross_validation"] = report.task_folds.ToJson();
  }
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
  text += fmt::format("{:.1e} anomaly\nanomaly from {:.4f} on\n\n", report.max_detector_difference,
                      report.anomaly_threshold);
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
  if (report.gains.empty()) return text;
  text += "\ngain by feature\n";
  for (std::size_t i = 0; i < std::min(report.gains.size(), kGainsShown); ++i)
    text += fmt::format("{:>12.0f}  {}\n", report.gains[i].second, report.gains[i].first);
  if (report.gains.size() > kGainsShown)
    text += fmt::format("{:>12}  {} more: report.json\n", "", report.gains.size() - kGainsShown);
  return text;
}

std::string RenderTaskCard(const FittedPackage& package, const std::vector<std::string>& data) {
  const TrainReport& report = package.report;
  std::string card =
      fmt::format("# {}:{}\n\n{}\n\n## Data\n\n", report.name, report.version, Purpose(package));
  for (const std::string& line : data) card += fmt::format("- {}\n", line);
  card += fmt::format("- {} training rows, {} held-out rows; seed {}\n- {}\n", report.training_rows,
                      report.holdout_rows, report.seed, SplitSentence(report));
  for (const std::string& warning : report.warnings)
    card += fmt::format("- **warning**: {}\n", warning);
  card += "\n## Fields\n\n" + FieldRows(package.schema);
  card += "\n## Figures, with 95 % bootstrap intervals\n\n";
  card += FiguresTable(report) + ConfusionTable(report);
  card += fmt::format(
      "An anomaly is an anomaly score of {:.6g} or more, a threshold that was set for alarms on "
      "{:.2g} % of the training rows.\n\n",
      report.anomaly_threshold, report.detector.alarm_rate * 100);
  card += fmt::format(
      "The ONNX graphs were compared with their trainers on every row: largest difference {:.2g} "
      "(prediction), {:.2g} (anomaly score).\n\n",
      report.max_model_difference, report.max_detector_difference);
  card +=
      "## Limits\n\n"
      "- The figures hold for rows like these. `reference.json` has the range and distribution of "
      "each feature; values outside are marked when they are scored.\n"
      "- A missing value is taken as such; a category that is not in `schema.json` was never "
      "seen.\n"
      "- Sites and retraining carry binary models; score with this one by `skerry serve` and "
      "`skerry score`.\n";
  return card;
}

}  // namespace skerry
