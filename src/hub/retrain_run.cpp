#include "hub/retrain_run.h"

#include <map>
#include <set>
#include <string>

#include "base/child_process.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "hub/lake.h"
#include "hub/retrain_spec.h"
#include "model/schema.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "train/gate.h"
#include "train/retrain.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEngineMemory = "2GiB";

Result<Json> ReadJsonFile(const fs::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kJsonBytes));
  return ParseJson(text);
}

// Label texts are the class index, or the class' own word in the schema.
std::string LabelSql(const ModelSchema& schema) {
  std::string sql = "CASE l.label WHEN '0' THEN 0 WHEN '1' THEN 1";
  for (std::size_t i = 0; i < schema.classes.size(); ++i) {
    if (schema.classes[i] != "0" && schema.classes[i] != "1")
      sql += fmt::format(" WHEN {} THEN {}", QuoteLiteral(schema.classes[i]), i);
  }
  return sql + " END";
}

// The lake's sample records that have a label, with it as column `label`.
Result<Table> LabelledRows(TabularEngine& engine, const RetrainSpec& spec,
                           const ModelSchema& schema) {
  if (spec.lake.empty())
    return Fail(ErrorCode::kFailedPrecondition,
                "the lake has no sample records of the model {}: does the policy release the "
                "class sample?",
                schema.model);
  std::vector<std::string> paths;
  for (const fs::path& file : spec.lake) paths.push_back(file.string());
  SKERRY_RETURN_IF_ERROR(engine.Execute(
      fmt::format("CREATE TABLE labels AS SELECT * FROM read_csv({}, header = true, columns = "
                  "{{'instance': 'VARCHAR', 'n': 'BIGINT', 'label': 'VARCHAR'}})",
                  QuoteLiteral(spec.labels_csv.string()))));
  const std::string label = LabelSql(schema);
  SKERRY_ASSIGN_OR_RETURN(
      const Table unknown,
      engine.Query(fmt::format("SELECT l.label FROM labels l WHERE ({}) IS NULL LIMIT 1", label)));
  if (unknown.rows() > 0)
    return Fail(ErrorCode::kInvalidArgument,
                "the label \"{}\" is no class of the model {}; use 0 or 1",
                unknown.columns[0].texts[0], schema.model);
  return engine.Query(fmt::format(
      "SELECT s.* EXCLUDE (filename), {} AS label FROM {} s JOIN labels l ON s.instance = "
      "l.instance AND s.n = l.n ORDER BY s.instance, s.n",
      label, ParquetSource("", paths)));
}

// Which files of the lake the labelled rows are in, after LabelledRows.
Result<std::vector<ReleasedFile>> FilesOfLabelledRows(TabularEngine& engine,
                                                      const RetrainSpec& spec) {
  std::vector<std::string> paths;
  for (const fs::path& file : spec.lake) paths.push_back(file.string());
  SKERRY_ASSIGN_OR_RETURN(const Table counts,
                          engine.Query(fmt::format(
                              "SELECT s.filename, count(*) FROM {} s JOIN labels l ON s.instance = "
                              "l.instance AND s.n = l.n GROUP BY s.filename ORDER BY s.filename",
                              ParquetSource("", paths))));
  std::vector<ReleasedFile> files;
  for (std::size_t i = 0; i < counts.rows(); ++i) {
    const fs::path file = counts.columns[0].texts[i];
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(file));
    files.push_back({file.filename().string(), digest.ToString(),
                     static_cast<std::uint64_t>(counts.columns[1].ints[i])});
  }
  return files;
}

Result<GateReport> Judge(TabularEngine& engine, const RetrainSpec& spec) {
  std::map<std::string, Table> tables;
  GateOptions options;
  options.champion = spec.champion;
  options.challenger = spec.out;
  options.gain_on = spec.request.gain_on;
  options.max_loss = spec.request.max_loss;
  options.bootstrap.seed = spec.request.seed;
  for (const auto& [name, file] : spec.request.holdouts) {
    SKERRY_ASSIGN_OR_RETURN(tables[name], engine.ReadFile(file, {}), file.string());
    options.holdouts[name] = &tables[name];
  }
  return Gate(options);
}

Status Run(const fs::path& spec_file) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(spec_file), spec_file.string());
  SKERRY_ASSIGN_OR_RETURN(const RetrainSpec spec, RetrainSpec::FromJson(json));
  SKERRY_ASSIGN_OR_RETURN(const Json schema_json, ReadJsonFile(spec.champion / "schema.json"));
  SKERRY_ASSIGN_OR_RETURN(const ModelSchema schema, ModelSchema::FromJson(schema_json));
  SKERRY_ASSIGN_OR_RETURN(
      const auto engine,
      TabularEngine::Open({.memory_limit = std::string(kEngineMemory), .temp_directory = {}}));

  RetrainOptions options;
  options.champion = spec.champion;
  SKERRY_ASSIGN_OR_RETURN(options.released, LabelledRows(*engine, spec, schema));
  SKERRY_ASSIGN_OR_RETURN(options.released_files, FilesOfLabelledRows(*engine, spec));
  const std::uint64_t released = options.released.rows();
  LogInfo("labelled rows found in the lake rows={} files={}", released, spec.lake.size());
  if (!spec.request.base.empty()) {
    SKERRY_ASSIGN_OR_RETURN(options.base, engine->ReadFile(spec.request.base, {}),
                            spec.request.base.string());
  }
  options.bucket_widths = spec.request.bucket_widths;
  options.version = spec.request.new_version;
  options.seed = spec.request.seed;
  options.out = spec.out;
  options.progress = [](std::string_view line) { LogInfo("{}", line); };
  SKERRY_ASSIGN_OR_RETURN(const TrainReport training, Retrain(options), "training");
  SKERRY_ASSIGN_OR_RETURN(const GateReport gate, Judge(*engine, spec), "the gate");

  RetrainResult result;
  result.passed = gate.passed;
  result.reason = gate.reasons.empty() ? "" : gate.reasons.front();
  result.released = released;
  result.gate = gate.ToJson();
  result.training = training.ToJson();
  result.text = gate.ToText();
  LogInfo("{}", result.text);
  return WriteFileDurably(spec.result, DumpJsonPretty(result.ToJson()));
}

}  // namespace

int RunRetrainChild(const fs::path& spec_file) {
  StartLogging("retrain", LogLevel::kInfo);
  Status done = EndWithParent();
  if (done) done = Run(spec_file);
  if (done) return 0;
  LogError("{}", done.error().message());
  return 1;
}

}  // namespace skerry
