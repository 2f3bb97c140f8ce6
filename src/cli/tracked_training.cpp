#include "cli/tracked_training.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/environment.h"
#include "base/limits.h"
#include "storage/file.h"
#include "train/provenance.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string ScalarText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : DumpJson(value);
}

// a.b for what is nested; lists of plain values as a,b,c; others are left out.
void AddParameters(const std::string& prefix, const Json& value, MlflowParameters& parameters) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items())
      AddParameters(prefix.empty() ? key : prefix + "." + key, inner, parameters);
    return;
  }
  std::string text;
  if (value.is_array()) {
    for (const Json& item : value) {
      if (item.is_structured()) return;
      text += (text.empty() ? "" : ",") + ScalarText(item);
    }
  } else {
    text = ScalarText(value);
  }
  if (!text.empty()) parameters.emplace_back(prefix, text);
}

// Every number; the value of an interval under the interval's own name.
void AddMetrics(const std::string& prefix, const Json& value, MlflowMetrics& metrics) {
  if (value.is_number()) metrics.emplace_back(prefix, value.get<double>());
  if (!value.is_object()) return;
  for (const auto& [key, inner] : value.items()) {
    const bool of_interval = key == "value" && value.contains("low");
    AddMetrics(of_interval ? prefix : prefix.empty() ? key : prefix + "." + key, inner, metrics);
  }
}

MlflowMetrics MetricsOf(const TrainReport& report) {
  Json json = report.ToJson();
  for (const char* chosen : {"parameters", "detector", "seed", "gains", "slices"})
    json.erase(chosen);
  MlflowMetrics metrics;
  AddMetrics("", json, metrics);
  for (const auto& [field, gain] : report.gains) metrics.emplace_back("gain." + field, gain);
  return metrics;
}

MlflowParameters FittedWith(const TrainReport& report) {
  MlflowParameters parameters;
  if (report.task != ModelTask::kAnomaly)
    AddParameters("parameters", report.parameters.ToJson(), parameters);
  AddParameters("detector", report.detector.ToJson(), parameters);
  parameters.emplace_back("fitted_task", std::string(ModelTaskName(report.task)));
  parameters.emplace_back("data_digest", report.data_digest);
  return parameters;
}

// Card, plots and documents; the graphs are the package's.
Status UploadDocuments(const fs::path& package, MlflowRun& run) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(package))
    if (entry.path().extension() != ".onnx") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    SKERRY_ASSIGN_OR_RETURN(std::string bytes,
                            ReadFile(package / name, limits::kTrainingReportBytes));
    SKERRY_RETURN_IF_ERROR(run.UploadFile(name, std::move(bytes)));
  }
  return {};
}

Status TellResult(const TrainOptions& options, const TrainReport& report, MlflowRun& run) {
  SKERRY_RETURN_IF_ERROR(run.LogParameters(FittedWith(report)));
  SKERRY_RETURN_IF_ERROR(run.LogMetrics(MetricsOf(report)));
  if (run.takes_files())
    SKERRY_RETURN_IF_ERROR(UploadDocuments(options.out, run));
  else if (options.progress)
    options.progress("MLflow does not take files itself: card and plots are in the package alone");
  return run.End(MlflowStatus::kFinished);
}

}  // namespace

void AddMlflowOptions(CLI::App& app, MlflowOptions& mlflow) {
  app.add_option(
      "--mlflow", mlflow.url,
      "an MLflow tracking server's URL: parameters, figures, card and plots go there too");
  app.add_option("--mlflow-experiment", mlflow.experiment, "the run's experiment, made if need be")
      ->capture_default_str();
}

Result<TrainReport> TrainTracked(const TrainOptions& options, MlflowOptions mlflow) {
  if (mlflow.url.empty()) return Train(options);
  mlflow.token = FromEnvironment("MLFLOW_TRACKING_TOKEN");
  mlflow.user = FromEnvironment("MLFLOW_TRACKING_USERNAME");
  mlflow.password = FromEnvironment("MLFLOW_TRACKING_PASSWORD");
  SKERRY_ASSIGN_OR_RETURN(
      MlflowRun run,
      MlflowRun::Start(
          mlflow, fmt::format("{}:{}", options.name, options.version),
          {{"skerry.version", SKERRY_VERSION}, {"mlflow.source.name", "skerry train"}}),
      "nothing was trained");
  MlflowParameters chosen;
  AddParameters("", OptionsToJson(options), chosen);
  SKERRY_RETURN_IF_ERROR(run.LogParameters(chosen), "nothing was trained");
  if (options.progress) options.progress("MLflow run " + run.page());

  Result<TrainReport> report = Train(options);
  if (!report) {
    const bool interrupted = options.cancelled && options.cancelled();
    const Status ended = run.End(interrupted ? MlflowStatus::kKilled : MlflowStatus::kFailed);
    if (!ended && options.progress)
      options.progress("and MLflow could not be told: " + ended.error().message());
    return report;
  }
  const Status told = TellResult(options, *report, run);
  if (!told)
    return Fail(ErrorCode::kUnavailable,
                "the model was trained, and its package {} is whole, but its run could not be told "
                "in full: {}; the run {} stays as it is",
                options.out.string(), told.error().message(), run.id());
  return report;
}

}  // namespace skerry
