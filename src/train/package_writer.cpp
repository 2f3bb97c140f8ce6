#include "train/package_writer.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <system_error>
#include <utility>

#include "storage/file.h"
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

Status SystemFailure(std::string_view doing, const std::filesystem::path& path,
                     const std::error_code& error) {
  return Fail(ErrorCode::kInternal, "{} {}: {}", doing, path.string(), error.message());
}

}  // namespace

std::string FieldRows(const ModelSchema& schema) {
  std::string text = "| field | column | role | type |\n| --- | --- | --- | --- |\n";
  for (const Field& field : schema.fields)
    text += fmt::format("| {} | {} | {} | {} |\n", field.name, field.column,
                        FieldRoleName(field.role), FieldTypeName(field.type));
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

std::string RenderCard(const FittedPackage& package, const std::vector<std::string>& data) {
  const TrainReport& report = package.report;
  const ModelSchema& schema = package.schema;
  if (schema.task != ModelTask::kBinary) return RenderTaskCard(package, data);
  std::string card = fmt::format("# {}:{}\n\n", report.name, report.version);
  card += fmt::format(
      "Tells whether `{}` is '{}' (class 1) or '{}' (class 0), by {} gradient-boosted trees; "
      "beside "
      "it an isolation forest of {} trees scores how unusual a row is.\n\n",
      schema.label_column, schema.classes[1], schema.classes[0], report.trees,
      report.detector.trees);
  card += "## Data\n\n";
  for (const std::string& line : data) card += fmt::format("- {}\n", line);
  card += fmt::format(
      "- {} training rows ({} of class 1), {} held-out rows ({} of class 1); seed {}\n- {}\n",
      report.training_rows, report.training_positives, report.holdout_rows,
      report.holdout_positives, report.seed, SplitSentence(report));
  for (const std::string& warning : report.warnings)
    card += fmt::format("- **warning**: {}\n", warning);
  card += "\n";
  card += "## Fields\n\n" + FieldRows(schema) + "\n";
  card += "## Figures, with 95 % bootstrap intervals\n\n";
  if (report.holdout_rows > 0) {
    card += "On held-out rows, which had no part in training or in the threshold:\n\n";
    card += kScoresHead;
    card += ScoresRow("this model", report.model);
    card += ScoresRow("logistic regression", report.logistic_regression);
    card += ScoresRow("majority", report.majority) + "\n";
  }
  card += "On training rows, each scored by a model of the inner folds that did not see it:\n\n";
  card += kScoresHead;
  card += ScoresRow("this model", report.cross_validation) + "\n";
  card += fmt::format(
      "Class 1 is predicted from a score of {:.6g} on (chosen for F1 on the inner folds). An "
      "anomaly "
      "is a score of {:.6g} or more, which {:.2g} % of the training rows reach.\n\n",
      report.threshold, report.anomaly_threshold, report.detector.alarm_rate * 100);
  card += fmt::format(
      "The ONNX graphs were compared with their trainers on every row: largest difference {:.2g} "
      "(probability), {:.2g} (anomaly score).\n\n",
      report.max_model_difference, report.max_detector_difference);
  card +=
      "## Limits\n\n"
      "- The figures hold for rows like these. `reference.json` has the range and distribution of "
      "each feature; values outside are marked when they are scored.\n"
      "- A score ranks rows and is not calibrated to be a probability elsewhere.\n"
      "- A missing value is taken as such; a category that is not in `schema.json` was never "
      "seen.\n";
  return card;
}

Status CheckOutput(const std::filesystem::path& out) {
  std::error_code error;
  if (out.empty()) return Fail(ErrorCode::kInvalidArgument, "name the directory to write to");
  if (std::filesystem::exists(std::filesystem::symlink_status(out, error)))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already: remove it or choose another name",
                out.string());
  const std::filesystem::path parent = std::filesystem::absolute(out).parent_path();
  if (!std::filesystem::is_directory(parent, error))
    return Fail(ErrorCode::kInvalidArgument, "there is no directory {}", parent.string());
  return {};
}

Status WritePackage(const FittedPackage& package, const std::vector<std::string>& data,
                    const std::filesystem::path& out) {
  const std::filesystem::path target = std::filesystem::absolute(out).lexically_normal();
  const std::filesystem::path parent = target.parent_path();
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory directory,
                          TemporaryDirectory::Create("." + target.filename().string(), parent));
  const std::pair<const char*, std::string> files[] = {
      {"model.onnx", package.model_onnx},
      {"detector.onnx", package.detector_onnx},
      {"schema.json", DumpJsonPretty(package.schema.ToJson()) + "\n"},
      {"reference.json", DumpJsonPretty(package.reference.ToJson()) + "\n"},
      {"card.md", RenderCard(package, data)},
      {"report.json", DumpJsonPretty(package.report.ToJson()) + "\n"},
  };
  for (const auto& [name, bytes] : files)
    if (!bytes.empty())  // a detector alone has no model.onnx
      SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory.path() / name, bytes));
  std::error_code error;
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755), error);
  if (error) return SystemFailure("opening to readers", directory.path(), error);
  SKERRY_RETURN_IF_ERROR(CheckOutput(out));
  std::filesystem::rename(directory.path(), target, error);
  if (error) return SystemFailure("naming", target, error);
  return SyncDirectory(parent);
}

}  // namespace skerry
