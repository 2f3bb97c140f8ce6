#include "train/provenance.h"

#include <fmt/format.h>

#include <filesystem>
#include <span>

#include "crypto/digest.h"
#include "model/session.h"
#include "tabular/engine.h"
#include "train/xgboost_library.h"

namespace skerry {
namespace {

Json FilesJson(const NamedDigests& files) {
  Json list = Json::array();
  for (const auto& [name, digest] : files) list.push_back({{"file", name}, {"digest", digest}});
  return list;
}

Result<std::string> XgboostVersion() {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgboost, LoadXgboost());
  int major = 0, minor = 0, patch = 0;
  xgboost->version(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

Result<Json> Versions(const TrainReport& report) {
  SKERRY_ASSIGN_OR_RETURN(const std::string duckdb, DuckDbVersion());
  Json versions = {
      {"skerry", SKERRY_VERSION}, {"duckdb", duckdb}, {"onnxruntime", OnnxRuntimeVersion()}};
  if (report.engine != TrainReport{}.engine) {
    versions["trees"] = report.engine;
  } else if (report.task != ModelTask::kAnomaly) {
    SKERRY_ASSIGN_OR_RETURN(const std::string xgboost, XgboostVersion());
    versions["trees"] = "XGBoost " + xgboost;
  }
  return versions;
}

}  // namespace

Json OptionsToJson(const TrainOptions& options) {
  Json told = Json::object();
  for (const auto& [column, what] : options.told)
    if (what.type) told[column] = FieldTypeName(*what.type);
  Json json = {{"task", options.task},
               {"label", options.label},
               {"positive", options.positive},
               {"ignore", options.ignore},
               {"context", options.context},
               {"id", options.id},
               {"group", options.group_column},
               {"time", options.time_column},
               {"weight", options.weight_column},
               {"holdout", options.holdout},
               {"max_categories", options.max_categories},
               {"types", std::move(told)},
               {"threshold", options.threshold.value_or(ThresholdGoal{}).ToText()},
               {"calibration", CalibrationName(options.calibration)},
               {"slices", options.slices},
               {"seed", options.seed}};
  if (!options.windows.entity.empty()) json["windows"] = options.windows.ToJson();
  return json;
}

Result<Json> ProvenanceBase(const TrainReport& report) {
  SKERRY_ASSIGN_OR_RETURN(Json versions, Versions(report));
  Json json = {{"format", "skerry-provenance/1"},
               {"name", report.name},
               {"version", report.version},
               {"task", ModelTaskName(report.task)},
               {"seed", report.seed},
               {"rows", report.rows},
               {"training_rows", report.training_rows},
               {"holdout_rows", report.holdout_rows},
               {"detector", report.detector.ToJson()},
               {"software", std::move(versions)}};
  if (report.task == ModelTask::kAnomaly) return json;
  json["parameters"] = report.parameters.ToJson();
  json["trees"] = report.trees;
  return json;
}

Result<Json> ProvenanceOf(const TrainOptions& options, const TrainReport& report,
                          const NamedDigests& data) {
  SKERRY_ASSIGN_OR_RETURN(Json json, ProvenanceBase(report));
  json["data"] = FilesJson(data);
  NamedDigests holdout;
  for (const std::filesystem::path& file : options.holdout_data) {
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(file));
    holdout.emplace_back(file.filename().string(), digest.ToString());
  }
  if (!holdout.empty()) json["holdout_data"] = FilesJson(holdout);
  json["options"] = OptionsToJson(options);
  json["split"] = report.split.ToJson();
  return json;
}

std::string DigestOfRows(const LabelledRows& rows) {
  DigestHasher hasher;
  const auto add = [&hasher](const auto& values) {
    const std::span bytes = std::as_bytes(std::span(values));
    hasher.Update({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  add(rows.features.values);
  add(rows.labels);
  add(rows.targets);
  add(rows.weights);
  return hasher.Finish().ToString();
}

std::string ProvenanceText(Json provenance,
                           const std::vector<std::pair<std::string, std::string>>& files) {
  provenance["files"] = Json::object();
  for (const auto& [name, bytes] : files)
    if (!bytes.empty()) provenance["files"][name] = Digest::Sha256(bytes).ToString();
  return DumpJsonPretty(provenance) + "\n";
}

}  // namespace skerry
