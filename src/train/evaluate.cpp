#include "train/evaluate.h"

#include <fmt/format.h>

#include <numeric>

#include "train/graph_runs.h"
#include "train/model_fit.h"
#include "train/package_writer.h"
#include "train/task_report.h"
#include "train/training_set.h"

namespace skerry {
namespace {

Result<std::vector<float>> AnomalyScoresOf(const ModelPackage& package, const FeatureMatrix& rows) {
  if (!package.detector) return std::vector<float>();
  return RunWholeGraph(*package.detector, rows, "anomaly_score", 1);
}

void JudgePredictor(const ModelReference& reference, const JudgedRows& judged,
                    const BootstrapOptions& bootstrap, EvaluateReport& report) {
  const LabelledRows& rows = *judged.rows;
  if (rows.task == ModelTask::kRegression)
    report.figures = JudgeValues(judged.outputs, rows.targets, bootstrap);
  if (rows.task == ModelTask::kMulticlass)
    report.figures = JudgeClasses(judged.outputs, rows.labels, rows.classes, bootstrap);
  if (rows.task != ModelTask::kBinary) return;
  const ScoredRows scored{judged.outputs, rows.labels};
  report.positives = rows.positives();
  report.threshold = reference.threshold;
  report.threshold_goal = reference.threshold_goal;
  report.scores = JudgeScores(scored, reference.threshold,
                              reference.threshold_goal.value_or(ThresholdGoal{}), bootstrap);
  report.probabilities = JudgeProbabilities(scored, bootstrap);
}

void JudgeDetector(const ModelReference& reference, const JudgedRows& judged,
                   const BootstrapOptions& bootstrap, EvaluateReport& report) {
  if (judged.anomaly_scores.empty()) return;
  const bool labelled = report.task == ModelTask::kBinary;
  (report.task == ModelTask::kAnomaly ? report.figures : report.alarms) =
      JudgeAlarms(judged.anomaly_scores,
                  labelled ? std::span(judged.rows->labels) : std::span<const std::uint8_t>{},
                  reference.anomaly_threshold, bootstrap);
  report.asked_alarm_rate = reference.anomaly_alarm_rate;
  report.detector = reference.detector;
}

std::string FigureRow(std::string_view name, const Interval& interval) {
  return fmt::format("| {} | {:.4g} | {:.4g} to {:.4g} |\n", name, interval.value, interval.low,
                     interval.high);
}

std::string FigureRows(const EvaluateReport& report) {
  std::string text;
  for (const auto& [name, interval] : report.figures.figures)
    text += FigureRow(FigureName(name), interval);
  if (report.task == ModelTask::kBinary) {
    const ModelScores& scores = report.scores;
    text += FigureRow("AUC", scores.auc) + FigureRow("average precision", scores.average_precision);
    text += FigureRow("F1", scores.f1) + FigureRow("alarm rate", scores.alarm_rate);
    text += FigureRow("false-alarm rate", scores.false_alarm_rate);
    if (scores.cost) text += FigureRow("cost of a row", *scores.cost);
    text += FigureRow("Brier score", report.probabilities.brier);
    text += FigureRow("calibration error", report.probabilities.ece);
  }
  for (const auto& [name, interval] : report.alarms.figures)
    text += FigureRow(fmt::format("{} of the anomaly detector", FigureName(name)), interval);
  return text;
}

std::string Document(const EvaluateReport& report, const ModelPackage& package,
                     const std::string& data) {
  std::string text =
      fmt::format("# {} on other rows\n\n{} rows of {}", package.name, report.rows, data);
  if (report.task == ModelTask::kBinary) {
    const Confusion& c = report.scores.confusion;
    text += fmt::format(
        ", {} of them of class 1. At the threshold {:.6g}: {} found, {} false alarms, {} missed, "
        "{} "
        "rightly quiet",
        report.positives, report.threshold, c.true_positive, c.false_positive, c.false_negative,
        c.true_negative);
    if (report.threshold_goal) text += "; it was chosen for: " + GoalWords(*report.threshold_goal);
  }
  return text + ".\n\n| figure | value | 95 % interval |\n| --- | --- | --- |\n" +
         FigureRows(report) + "\n" + SlicesSection(report.slices) + PlotSection(report.plots);
}

}  // namespace

Result<LabelledRows> ReadJudgedRows(const ModelPackage& package, const Table& table) {
  if (table.rows() == 0) return Fail(ErrorCode::kInvalidArgument, "the table has no rows");
  SKERRY_ASSIGN_OR_RETURN(LabelledRows rows, EncodeRows(table, package.schema, ""));
  if (package.schema.task != ModelTask::kBinary) return rows;
  if (rows.positives() == 0 || rows.positives() == rows.rows())
    return Fail(ErrorCode::kInvalidArgument, "all {} rows are of class '{}': nothing to judge by",
                rows.rows(), package.schema.classes[rows.positives() == 0 ? 0 : 1]);
  return rows;
}

Json EvaluateReport::ToJson() const {
  const bool binary = task == ModelTask::kBinary;
  Json json = binary ? scores.ToJson() : figures.ToJson();
  json["task"] = ModelTaskName(task);
  json["rows"] = rows;
  if (binary) {
    json.update(probabilities.ToJson());
    json["positives"] = positives;
    json["threshold"] = threshold;
    if (threshold_goal) json["threshold_goal"] = threshold_goal->ToText();
  }
  if (!classes.empty()) json["classes"] = classes;
  if (!alarms.figures.empty()) json["alarms"] = alarms.ToJson();
  if (asked_alarm_rate) json["asked_alarm_rate"] = *asked_alarm_rate;
  if (detector) json["detector"] = *detector;
  for (const SliceTable& table : slices) json["slices"].push_back(table.ToJson());
  return json;
}

Result<EvaluateReport> Evaluate(const ModelPackage& package, const Table& table,
                                const EvaluateOptions& options) {
  const ModelSchema& schema = package.schema;
  SKERRY_ASSIGN_OR_RETURN(const LabelledRows rows, ReadJudgedRows(package, table));
  std::vector<std::size_t> every(table.rows());
  std::iota(every.begin(), every.end(), std::size_t{0});
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<SliceColumn> columns,
      ChooseSlices({.schema = &schema, .features = &rows.features, .table = &table, .rows = every},
                   options.slices));
  std::vector<float> outputs;
  if (package.predictor) {
    SKERRY_ASSIGN_OR_RETURN(outputs, OutputsOf(package, rows));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> anomalies,
                          AnomalyScoresOf(package, rows.features));
  const bool expands = options.plots && !package.derived.empty();
  const LabelledRows expanded = expands ? rows.WithDerived(package.derived) : LabelledRows{};
  const JudgedRows judged{.kind = "rows",
                          .schema = &schema,
                          .rows = expands ? &expanded : &rows,
                          .outputs = outputs,
                          .anomaly_scores = anomalies};
  EvaluateReport report{.task = schema.task, .classes = schema.classes, .rows = rows.rows()};
  JudgePredictor(package.reference, judged, options.bootstrap, report);
  JudgeDetector(package.reference, judged, options.bootstrap, report);
  if (schema.task == ModelTask::kBinary) report.classes.clear();

  const bool alone = schema.task == ModelTask::kAnomaly;
  const JudgedFigures figures{.binary = &report.scores,
                              .probabilities = &report.probabilities,
                              .task = &report.figures,
                              .alarms = alone ? &report.figures : &report.alarms,
                              .threshold = package.reference.threshold,
                              .anomaly_threshold = package.reference.anomaly_threshold};
  report.slices = JudgeSlices(columns, judged, figures, options.bootstrap.seed);
  if (options.plots)
    report.plots = DrawPlots(judged, figures, package.trees ? &*package.trees : nullptr, {},
                             options.bootstrap.seed);
  return report;
}

Status WriteEvaluation(const EvaluateReport& report, const ModelPackage& package,
                       const std::string& data, const std::filesystem::path& out) {
  NamedTexts files = {{"report.json", DumpJsonPretty(report.ToJson()) + "\n"},
                      {"report.md", Document(report, package, data)}};
  for (const PlotFile& plot : report.plots) files.emplace_back(plot.name, plot.svg);
  return WriteNewDirectory(files, out);
}

}  // namespace skerry
