#include "train/card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "train/task_report.h"

namespace skerry {
namespace {

std::string IntervalText(const Interval& interval) {
  return fmt::format("{:.3f} ({:.3f}–{:.3f})", interval.value, interval.low, interval.high);
}

std::string ScoresRow(std::string_view name, const ModelScores& scores) {
  const Confusion& c = scores.confusion;
  return fmt::format("| {} | {} | {} | {} | {} / {} / {} / {} |\n", name, IntervalText(scores.auc),
                     IntervalText(scores.average_precision), IntervalText(scores.f1),
                     c.true_positive, c.false_positive, c.false_negative, c.true_negative);
}

constexpr std::string_view kScoresHead =
    "| model | AUC | average precision | F1 at the threshold | TP / FP / FN / TN |\n"
    "| --- | --- | --- | --- | --- |\n";

std::string FieldRows(const ModelSchema& schema) {
  std::string text = "| field | column | role | type |\n| --- | --- | --- | --- |\n";
  for (const Field& field : schema.fields)
    text += fmt::format("| {} | {} | {} | {} |\n", field.name, field.column,
                        FieldRoleName(field.role), FieldTypeName(field.type));
  if (schema.derived.empty() && schema.windows.empty()) return text;
  text += "\nThe predictor is also given what the package computes of these:\n\n";
  for (const DerivedFeature& derived : schema.derived)
    text += fmt::format("- `{}`: {}\n", derived.name, derived.Words());
  for (const WindowFeature& window : schema.windows.features)
    text += fmt::format("- `{}`: {}\n", window.name, window.Words());
  if (!schema.windows.empty())
    text +=
        fmt::format("\nRows before are those of the same `{}`, in the order in which they come.\n",
                    schema.windows.entity);
  return text;
}

std::string SplitSentence(const TrainReport& report) {
  const SplitFacts& split = report.split;
  std::string text;
  if (!split.time_column.empty())
    text = fmt::format("the latest rows by `{}` were held out", split.time_column);
  if (!split.group_column.empty())
    text += fmt::format("{}no group of `{}` ({} groups) is on two sides",
                        text.empty() ? "" : ", and ", split.group_column, split.groups);
  if (text.empty()) text = "split after one shuffle";
  text += fmt::format("; {} rows have the features of an earlier one", split.copies);
  if (split.left_out > 0)
    text +=
        fmt::format("; {} rows were left out, since they would be on both sides", split.left_out);
  return text;
}

std::string Purpose(const FittedPackage& package) {
  const ModelSchema& schema = package.schema;
  const TrainReport& report = package.report;
  const std::string detector = report.DetectorWords();
  const std::string beside = fmt::format("; beside it {} scores how unusual a row is.", detector);
  if (schema.task == ModelTask::kAnomaly)
    return fmt::format("Scores how unusual a row is, by {}. It learnt without a label.", detector);
  if (schema.task == ModelTask::kBinary)
    return fmt::format(
        "Tells whether `{}` is '{}' (class 1) or '{}' (class 0), by {} "
        "gradient-boosted trees{}",
        schema.label_column, schema.classes[1], schema.classes[0], report.trees, beside);
  if (schema.task == ModelTask::kRegression)
    return fmt::format("Predicts the number `{}` by {} gradient-boosted trees{}",
                       schema.label_column, report.trees, beside);
  return fmt::format("Tells which of {} classes `{}` is, by {} gradient-boosted trees for each{}",
                     schema.classes.size(), schema.label_column, report.trees, beside);
}

std::string DataSection(const TrainReport& report, const std::vector<std::string>& data) {
  const bool binary = report.task == ModelTask::kBinary;
  const auto rows = [binary](std::uint64_t all, std::uint64_t positives, std::string_view what) {
    return fmt::format("{} {} rows{}", all, what,
                       binary ? fmt::format(" ({} of class 1)", positives) : "");
  };
  std::string text = "## Data\n\n";
  for (const std::string& line : data) text += fmt::format("- {}\n", line);
  text += fmt::format("- {}, {}; seed {}\n- {}\n",
                      rows(report.training_rows, report.training_positives, "training"),
                      rows(report.holdout_rows, report.holdout_positives, "held-out"), report.seed,
                      SplitSentence(report));
  if (report.engine != "embedded")
    text += fmt::format("- the trees were fitted by {}\n", report.engine);
  if (report.task != ModelTask::kAnomaly)
    text += fmt::format("- parameters of the trees: {}\n", ParameterWords(report.parameters));
  if (!report.search.rungs.empty())
    text += fmt::format(
        "- they are the best of {} configurations{}: {}\n", report.search.rungs[0].configurations,
        report.search.default_chosen ? " (the default)" : "", SearchWords(report.search));
  for (const std::string& warning : report.warnings)
    text += fmt::format("- **warning**: {}\n", warning);
  return text + "\n";
}

std::string BinaryFigures(const TrainReport& report) {
  std::string text;
  if (report.holdout_rows > 0) {
    text += "On held-out rows, which had no part in training or in the threshold:\n\n";
    text += kScoresHead;
    text += ScoresRow("this model", report.model);
    text += ScoresRow("logistic regression", report.logistic_regression);
    text += ScoresRow("majority", report.majority) + "\n";
  }
  text += "On training rows, each scored by a model of the inner folds that did not see it:\n\n";
  text += kScoresHead;
  text += ScoresRow("this model", report.cross_validation) + "\n";
  text += fmt::format(
      "Class 1 is predicted from a score of {:.6g} on, which was chosen on the inner folds for: "
      "{}.\n\n",
      report.threshold, GoalWords(report.threshold_goal));
  if (report.holdout_rows > 0)
    text += fmt::format("- on held-out rows: {}\n", AtThresholdText(report.model));
  return text +
         fmt::format("- on the inner folds: {}\n\n", AtThresholdText(report.cross_validation));
}

std::string LeftOutSentence(const DetectorFacts& facts) {
  if (facts.left_out.empty()) return "Every feature has a part.";
  return fmt::format("Categories and columns that do not vary have no part: {}.",
                     fmt::join(facts.left_out, ", "));
}

std::string AlarmSection(const TrainReport& report) {
  std::string text = fmt::format(
      "An anomaly is an anomaly score of {:.6g} or more, a threshold that was set for alarms on "
      "{:.2g} % of the {} rows of the inner folds.\n\n",
      report.anomaly_threshold, report.detector.alarm_rate * 100,
      report.task == ModelTask::kBinary ? "class 0" : "training");
  if (report.detector.kind == DetectorKind::kPca)
    text += fmt::format(
        "The score is the greater of T² / {:.4g} and Q / {:.4g}: how far a row goes in the {} "
        "components, and how far it leaves them; each limit is what as many rows reach. {}\n\n",
        report.detector_facts.t2_limit, report.detector_facts.q_limit,
        report.detector_facts.components, LeftOutSentence(report.detector_facts));
  if (report.alarm_folds.figures.empty()) return text;  // of task anomaly: the figures above
  if (!report.alarm_holdout.figures.empty())
    text += fmt::format("- on held-out rows: {}\n", AlarmFiguresText(report.alarm_holdout));
  return text + fmt::format("- on the inner folds: {}\n\n", AlarmFiguresText(report.alarm_folds));
}

std::string Limits(const TrainReport& report) {
  const ModelTask task = report.task;
  const bool calibrated = report.calibration.function.kind != CalibrationKind::kNone;
  std::string text =
      "## Limits\n\n"
      "- The figures hold for rows like these. `reference.json` has the range and distribution of "
      "each feature; values outside are marked when they are scored.\n"
      "- A missing value is taken as such; a category that is not in `schema.json` was never "
      "seen.\n";
  if (calibrated)
    text +=
        "- A score is calibrated to be a probability where class 1 is about as frequent as here.\n";
  else if (task == ModelTask::kBinary || task == ModelTask::kMulticlass)
    text += "- A score ranks rows and is not calibrated to be a probability elsewhere.\n";
  if (task != ModelTask::kBinary)
    text +=
        "- Sites and retraining carry binary models; score with this one by `skerry serve` and "
        "`skerry score`.\n";
  return text;
}

}  // namespace

std::string RenderCard(const FittedPackage& package, const std::vector<std::string>& data) {
  const TrainReport& report = package.report;
  std::string card =
      fmt::format("# {}:{}\n\n{}\n\n", report.name, report.version, Purpose(package));
  card += DataSection(report, data);
  card += "## Fields\n\n" + FieldRows(package.schema) + "\n";
  card += "## Figures, with 95 % bootstrap intervals\n\n";
  card += report.task == ModelTask::kBinary ? BinaryFigures(report) : TaskFigures(report);
  card += AlarmSection(report);
  card += "The ONNX graphs were compared with their trainers on every row: largest difference ";
  if (report.task != ModelTask::kAnomaly)
    card += fmt::format("{:.2g} (prediction), ", report.max_model_difference);
  card += fmt::format("{:.2g} (anomaly score).\n\n", report.max_detector_difference);
  if (report.task == ModelTask::kBinary) card += ReliabilityText(report.calibration);
  return card + SlicesSection(report.slices) + PlotSection(package.plots) + Limits(report);
}

}  // namespace skerry
