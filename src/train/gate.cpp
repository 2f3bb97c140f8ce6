#include "train/gate.h"

#include <fmt/format.h>

#include <optional>

#include "base/limits.h"
#include "model/package.h"
#include "storage/file.h"
#include "train/evaluate.h"
#include "train/graph_runs.h"

namespace skerry {
namespace {

// Labels by the package's schema, and a table of both classes.
Result<LabelledRows> ReadLabelled(const ModelPackage& package, const Table& table) {
  if (package.schema.task != ModelTask::kBinary)
    return Fail(ErrorCode::kUnimplemented, "{} answers a {} task; binary models are compared",
                package.name, ModelTaskName(package.schema.task));
  return ReadJudgedRows(package, table);
}

CompareReport Compare(std::span<const float> champion, std::span<const float> challenger,
                      const LabelledRows& rows, const BootstrapOptions& bootstrap) {
  return {.rows = rows.rows(),
          .positives = rows.positives(),
          .champion = AveragePrecision(CountScores({champion, rows.labels})),
          .challenger = AveragePrecision(CountScores({challenger, rows.labels})),
          .gain = PairedBootstrap(champion, challenger, rows.labels, AveragePrecision, bootstrap)};
}

Result<CompareReport> ComparePackages(const ModelPackage& champion, const ModelPackage& challenger,
                                      const Table& table, const BootstrapOptions& bootstrap) {
  SKERRY_ASSIGN_OR_RETURN(const LabelledRows old_rows, ReadLabelled(champion, table), "champion");
  SKERRY_ASSIGN_OR_RETURN(const LabelledRows new_rows, ReadLabelled(challenger, table),
                          "challenger");
  if (old_rows.labels != new_rows.labels)
    return Fail(ErrorCode::kInvalidArgument,
                "champion and challenger do not mean the same by their classes ('{}' against '{}')",
                champion.schema.positive, challenger.schema.positive);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> old_scores, OutputsOf(champion, old_rows));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> new_scores, OutputsOf(challenger, new_rows));
  return Compare(old_scores, new_scores, old_rows, bootstrap);
}

std::string Figures(const CompareReport& report) {
  return fmt::format("average precision {:.3f} to {:.3f}, gain {:+.3f} ({:+.3f} to {:+.3f})",
                     report.champion, report.challenger, report.gain.value, report.gain.low,
                     report.gain.high);
}

// The two kinds of condition; each gives its sentence, and whether it is met.
struct Condition {
  bool met;
  std::string sentence;
};

Condition GainCondition(const std::string& name, const CompareReport& report) {
  if (report.gain.low > 0)
    return {true, fmt::format("on '{}' the gain is certain enough: {}", name, Figures(report))};
  return {false, fmt::format("on '{}' the lower 95 % bound of the gain is not above 0: {}", name,
                             Figures(report))};
}

Condition LossCondition(const std::string& name, const CompareReport& report, double max_loss) {
  if (-report.gain.value <= max_loss)
    return {true,
            fmt::format("on '{}' the loss is within {:.3f}: {}", name, max_loss, Figures(report))};
  return {false,
          fmt::format("on '{}' the loss is over {:.3f}: {}", name, max_loss, Figures(report))};
}

// None for a challenger that no rows came back to, or rows of one class.
Result<std::optional<Condition>> LabelsCondition(const std::filesystem::path& challenger) {
  Result<std::string> text = ReadFile(challenger / "report.json", limits::kTrainingReportBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return std::nullopt;
  if (!text) return Propagate(std::move(text));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text), "report.json of the challenger");
  const Json auc = json.value("/released/auc"_json_pointer, Json());
  if (!auc.is_object() || !auc.value("low", Json()).is_number()) return std::nullopt;
  const JsonObject interval(auc, "report.released.auc");
  SKERRY_ASSIGN_OR_RETURN(const double value, interval.Number("value"));
  SKERRY_ASSIGN_OR_RETURN(const double low, interval.Number("low"));
  SKERRY_ASSIGN_OR_RETURN(const double high, interval.Number("high"));
  const bool met = low > 0.5;
  return Condition{
      met, fmt::format("the labels that came back {}: AUC {:.3f} ({:.3f} to {:.3f}) on "
                       "rows that the inner folds left out",
                       met ? "can be learnt" : "cannot be told from chance", value, low, high)};
}

Status CheckNamed(const GateOptions& options) {
  std::vector<std::string> named = {options.gain_on};
  for (const auto& [name, loss] : options.max_loss) named.push_back(name);
  for (const std::string& name : named) {
    const auto found = options.holdouts.find(name);
    if (found == options.holdouts.end() || found->second == nullptr)
      return Fail(ErrorCode::kInvalidArgument,
                  "the gate asks for hold-out '{}', which is not given", name);
  }
  return {};
}

}  // namespace

Json CompareReport::ToJson() const {
  return {{"rows", rows},
          {"positives", positives},
          {"champion_average_precision", champion},
          {"challenger_average_precision", challenger},
          {"gain", gain.ToJson()}};
}

Result<CompareReport> ComparePaired(const std::filesystem::path& champion,
                                    const std::filesystem::path& challenger, const Table& table,
                                    const BootstrapOptions& bootstrap) {
  SKERRY_ASSIGN_OR_RETURN(const auto old_package, LoadPackage(champion, {}));
  SKERRY_ASSIGN_OR_RETURN(const auto new_package, LoadPackage(challenger, {}));
  return ComparePackages(*old_package, *new_package, table, bootstrap);
}

Json GateReport::ToJson() const {
  Json json = {{"passed", passed}, {"reasons", reasons}, {"holdouts", Json::object()}};
  for (const auto& [name, report] : holdouts) json["holdouts"][name] = report.ToJson();
  return json;
}

std::string GateReport::ToText() const {
  std::string text =
      passed ? "the gate passes the challenger\n" : "the gate refuses the challenger\n";
  for (const std::string& reason : reasons) text += fmt::format("- {}\n", reason);
  return text;
}

Result<GateReport> Gate(const GateOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckNamed(options));
  SKERRY_ASSIGN_OR_RETURN(const auto champion, LoadPackage(options.champion, {}));
  SKERRY_ASSIGN_OR_RETURN(const auto challenger, LoadPackage(options.challenger, {}));
  GateReport gate;
  for (const auto& [name, table] : options.holdouts) {
    SKERRY_ASSIGN_OR_RETURN(gate.holdouts[name],
                            ComparePackages(*champion, *challenger, *table, options.bootstrap),
                            fmt::format("hold-out '{}'", name));
  }
  std::vector<Condition> conditions = {
      GainCondition(options.gain_on, gate.holdouts[options.gain_on])};
  for (const auto& [name, max_loss] : options.max_loss)
    conditions.push_back(LossCondition(name, gate.holdouts[name], max_loss));
  SKERRY_ASSIGN_OR_RETURN(const auto labels, LabelsCondition(options.challenger));
  if (labels) conditions.push_back(*labels);
  gate.passed = true;
  for (const bool met : {false, true})  // what failed is told first
    for (const Condition& condition : conditions) {
      if (condition.met != met) continue;
      gate.passed = gate.passed && condition.met;
      gate.reasons.push_back(condition.sentence);
    }
  return gate;
}

}  // namespace skerry
