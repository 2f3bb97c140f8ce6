// The story's first steps: data, training, package, two sites.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "cli/demo/milling_simulator.h"
#include "cli/demo/story.h"
#include "cli/terminal.h"
#include "model/smoke.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::size_t kLeastRows = 200;

// What the sites' settings are in the demo: small and quick, so that a minute shows everything.
constexpr std::string_view kSiteSettings =
    "capture: sync\n"
    "hub:\n"
    "  interval: 300ms\n"
    "  upload_chunk_bytes: 4096\n"
    "outbox:\n"
    "  segment_age: 3s\n";

std::string Joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
  return out;
}

}  // namespace

Status Story::ReadTable() {
  SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
  std::filesystem::path file = options_.data;
  if (file.empty()) {
    file = work_ / "simulated.csv";
    SKERRY_RETURN_IF_ERROR(
        engine->WriteCsv(SimulateMilling({.seed = options_.seed, .rows = 10'000}), file));
  }
  ReadOptions read;
  read.csv_types = CsvTypes::kText;
  SKERRY_ASSIGN_OR_RETURN(table_, engine->ReadFile(file, read), file.string());
  if (table_.Find(options_.label) == nullptr) {
    std::vector<std::string> names;
    for (const Column& column : table_.columns) names.push_back(column.name);
    return Fail(ErrorCode::kInvalidArgument, "{} has no column '{}' to be the label; it has: {}",
                file.string(), options_.label, Joined(names));
  }
  if (table_.rows() < kLeastRows)
    return Fail(ErrorCode::kInvalidArgument, "{} has {} rows; the demo needs at least {}",
                file.string(), table_.rows(), kLeastRows);
  return {};
}

Status Story::WriteTable(const Table& table, const std::filesystem::path& file) {
  SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
  return engine->WriteCsv(table, file);
}

Result<std::string> Story::PrepareData() {
  SKERRY_RETURN_IF_ERROR(ReadTable());
  split_ = SplitSourceRows(table_.rows(), options_.seed);
  Say(fmt::format("  $ cd {}", work_.string()));
  Say(fmt::format("  $ PATH={}:$PATH", SelfExecutable().parent_path().string()));
  Explain(
      fmt::format("{}: {} rows, shuffled once with seed {}: {} to train, {} to arrive at the sites "
                  "({} of them open to labelling, {} held out for the gate)",
                  options_.data.empty() ? "simulated milling machine" : options_.data.string(),
                  WithThousands(table_.rows()), options_.seed, WithThousands(split_.train.size()),
                  WithThousands(split_.arrive.size()), WithThousands(split_.labelling.size()),
                  WithThousands(split_.holdout.size())));
  Table train = TakeRows(table_, split_.train);
  AddContextColumns(train);
  SKERRY_RETURN_IF_ERROR(WriteTable(train, work_ / "train.csv"));
  SKERRY_RETURN_IF_ERROR(WriteTable(TakeRows(table_, split_.holdout), work_ / "holdout-clean.csv"));
  return fmt::format("{} rows", WithThousands(table_.rows()));
}

// The milling set has fields of its own for the story; any other table gets the drift on the
// numeric feature of greatest gain and the bucket on that of the least.
Status Story::ChooseFields() {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(work_ / "milling/report.json", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json report, ParseJson(text), "report.json");
  SKERRY_ASSIGN_OR_RETURN(const std::string schema_text,
                          ReadFile(work_ / "milling/schema.json", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json schema, ParseJson(schema_text), "schema.json");
  SKERRY_ASSIGN_OR_RETURN(schema_, ModelSchema::FromJson(schema));
  if (schema_.Find("rotational_speed_rpm") != nullptr && schema_.Find("tool_wear_min") != nullptr) {
    drift_field_ = "rotational_speed_rpm";
    bucket_field_ = "tool_wear_min";
    return {};
  }
  own_table_ = true;
  std::unordered_map<std::string, double> gains;
  for (const Json& entry : report.at("gains"))
    gains[entry.at("field").get<std::string>()] = entry.at("gain").get<double>();
  std::vector<std::pair<double, std::string>> numeric;
  for (const Field* field : schema_.features())
    if (field->type == FieldType::kNumber) numeric.emplace_back(gains[field->name], field->name);
  if (numeric.size() < 2)
    return Fail(
        ErrorCode::kInvalidArgument,
        "the demo needs two numeric features, one to drift and one to bucket; the table has {}",
        numeric.size());
  std::ranges::sort(numeric, std::greater<>());
  drift_field_ = numeric.front().second;
  bucket_field_ = numeric.back().second;
  SKERRY_ASSIGN_OR_RETURN(const LoadData all, MakeLoadData(table_, schema_));
  for (const LoadField& field : all.fields)
    if (field.name == bucket_field_) {
      const auto [low, high] = RangeOf(field);
      bucket_width_ = std::pow(10, std::floor(std::log10(std::max(1e-6, (high - low) / 10))));
    }
  Explain(
      fmt::format("drift on {}, buckets of {} on {}", drift_field_, bucket_width_, bucket_field_));
  return {};
}

Result<std::string> Story::TrainAtHub() {
  SKERRY_RETURN_IF_ERROR(StartHub());
  std::vector<std::string> args{"train",     "train.csv",
                                "--label",   options_.label,
                                "--name",    "milling",
                                "--version", "1",
                                "--id",      "unit_id",
                                "--context", "operator_note",
                                "--seed",    std::to_string(options_.seed),
                                "--out",     "milling"};
  if (!options_.ignore.empty()) {
    args.emplace_back("--ignore");
    args.push_back(Joined(options_.ignore));
  }
  SKERRY_RETURN_IF_ERROR(Run(args));
  SKERRY_RETURN_IF_ERROR(ChooseFields());
  Table drifted = TakeRows(table_, split_.holdout);
  SKERRY_RETURN_IF_ERROR(ScaleColumn(drifted, schema_.Find(drift_field_)->column, 0.85));
  SKERRY_RETURN_IF_ERROR(WriteTable(drifted, work_ / "holdout-drifted.csv"));
  const Table arrive = TakeRows(table_, split_.arrive);
  SKERRY_ASSIGN_OR_RETURN(arriving_, MakeLoadData(arrive, schema_));
  for (const std::string& text : arrive.Find(options_.label)->texts)
    arriving_labels_.emplace_back(text == schema_.positive ? "1" : "0");
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(work_ / "milling/report.json", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json report, ParseJson(text), "report.json");
  const Json& model = report.at("holdout").at("model");
  return fmt::format("AUC {:.3f}, AP {:.3f}, F1 {:.3f}", model.at("auc").at("value").get<double>(),
                     model.at("average_precision").at("value").get<double>(),
                     model.at("f1").at("value").get<double>());
}

// Keeps the features but one, which is bucketed; a pseudonym for the unit; nothing of the note.
Status Story::WritePolicy() {
  std::string yaml = "skerry: policy/1\nname: milling\nversion: 1\ndefault: drop\nfields:\n";
  for (const Field* field : schema_.features())
    yaml += field->name == bucket_field_
                ? fmt::format("  {}: {{action: bucket, width: {}, rule: coarse-{}}}\n", field->name,
                              bucket_width_, field->name)
                : fmt::format("  {}: {{action: keep, rule: process-values}}\n", field->name);
  yaml +=
      "  unit_id: {action: hash, rule: pseudonymous-units}\n"
      "  operator_note: {action: drop, rule: no-free-text}\n"
      "derived:\n"
      "  prediction: keep\n"
      "  score: {action: round, to: 0.0001}\n"
      "  anomaly_score: {action: round, to: 0.0001}\n"
      "  reasons: keep\n"
      "  event_time: {action: truncate_time, to: second}\n"
      "  status: keep\n"
      "classes:\n"
      "  anomaly: {when: \"anomaly\"}\n"
      "  insight: {rate: 0.05}\n"
      "  sample: {rate: 0.5}\n"
      "  summary: {every_rows: 2000, min_group: 5}\n"
      "  decision: {}\n";
  return WriteFileDurably(work_ / "policy.yaml", yaml);
}

Result<std::string> Story::PackSignPush() {
  SKERRY_RETURN_IF_ERROR(
      Run({"pack", "milling", "--name", "milling", "--version", "1", "--out", "milling.oci"}));
  SKERRY_RETURN_IF_ERROR(Run({"sign", "milling.oci", "--key", "hub/keys/model.key"}));
  SKERRY_RETURN_IF_ERROR(Run({"push", "milling.oci", "--hub", "hub"}));
  SKERRY_RETURN_IF_ERROR(WritePolicy());
  SKERRY_RETURN_IF_ERROR(Run({"policy", "check", "policy.yaml", "--package", "milling"}));
  SKERRY_RETURN_IF_ERROR(Run({"policy", "push", "policy.yaml", "--hub", "hub"}));
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(work_ / "milling.oci"))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return fmt::format("{} KiB with its signature", bytes / 1'024);
}

Result<std::string> Story::StartSites() {
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(work_ / "site.yaml", kSiteSettings));
  SKERRY_ASSIGN_OR_RETURN(const std::string endpoint,
                          ReadFile(work_ / "hub/endpoint.json", 65'536));
  SKERRY_ASSIGN_OR_RETURN(const Json facts, ParseJson(endpoint), "endpoint.json");
  const std::string url = facts.at("url").get<std::string>();
  const auto hub_port = static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
  SKERRY_ASSIGN_OR_RETURN(link_, TcpProxy::Start(hub_port));
  for (SitePlace* site : {&north_, &south_}) {
    std::vector<std::string> token{"token", site->name, "--hub",
                                   "hub",   "--out",    site->name + ".token"};
    if (site == &south_) token.emplace_back("--media");
    SKERRY_RETURN_IF_ERROR(Run(token));
    SKERRY_RETURN_IF_ERROR(StartSite(*site));
  }
  Explain("south has no link: its request goes out, and its certificate comes in, on a stick");
  SKERRY_RETURN_IF_ERROR(CarryToHub(south_));
  SKERRY_RETURN_IF_ERROR(Run(
      {"deploy", "milling:1", "--policy", "milling:1", "--sites", "north,south", "--hub", "hub"}));
  SKERRY_RETURN_IF_ERROR(CarryToSite(south_));
  for (SitePlace* site : {&north_, &south_}) SKERRY_RETURN_IF_ERROR(WaitReady(*site));
  return "both score milling:1";
}

}  // namespace skerry
