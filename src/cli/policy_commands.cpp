// policy: what may leave a site, by which rule, and who agreed to it.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/report_text.h"
#include "model/schema.h"
#include "model/scorer.h"
#include "outbox/decision_log.h"
#include "policy/compiled_policy.h"
#include "policy/policy_cases.h"
#include "policy/policy_schema.h"
#include "serve/batch_builder.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

void Print(const Json& answer, bool as_json, std::string (*text)(const Json&)) {
  std::fputs(as_json ? DumpJsonPretty(answer).c_str() : text(answer).c_str(), stdout);
}

void DeclareJson(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print the answer as JSON");
}

struct CheckArguments {
  std::string file, local, package, schema, rows;
};

Result<PolicyDocument> ReadPolicy(const std::string& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, limits::kYamlBytes));
  return PolicyDocument::Parse(yaml);
}

Result<ModelSchema> ReadSchema(const std::filesystem::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text), file.string());
  return ModelSchema::FromJson(json);
}

// Which well-known identifiers are in the texts that leave, by the rules of the policy.
Status CheckRows(const std::string& file, const CombinedPolicy& policy,
                 const std::optional<ModelSchema>& schema) {
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  ReadOptions options;
  options.csv_types = CsvTypes::kText;
  options.first_rows = limits::kCheckedRows;
  SKERRY_ASSIGN_OR_RETURN(const Table table, engine->ReadFile(file, options), file);
  for (const Column& column : table.columns) {
    const Field* field = schema ? schema->FindColumn(column.name) : nullptr;
    const std::string name = field == nullptr ? FieldNameOf(column.name) : field->name;
    const FieldRule rule = RuleOf(policy.fields, name);
    const bool shows = rule.action == FieldAction::kKeep || rule.action == FieldAction::kAllow;
    if (!shows || column.type != ColumnType::kText) continue;
    for (const Identifier identifier : kIdentifiers) {
      std::size_t found = 0;
      std::size_t first = 0;
      for (std::size_t row = 0; row < table.rows(); ++row)
        if (!column.IsNull(row) && HoldsIdentifier(identifier, column.texts[row]) && ++found == 1)
          first = row + 1;
      if (found == 0) continue;
      const bool blocked =
          std::find(rule.detect.begin(), rule.detect.end(), identifier) != rule.detect.end();
      std::printf("  %s: %s in %zu of %zu rows (the first is row %zu)%s\n", name.c_str(),
                  std::string(IdentifierName(identifier)).c_str(), found, table.rows(), first,
                  blocked ? fmt::format(": blocked by {}", rule.rule).c_str()
                          : fmt::format(" leaves by {}; write hash, mask or drop, or {{action: "
                                        "keep, detect: [{}]}}",
                                        rule.rule, IdentifierName(identifier))
                                .c_str());
    }
  }
  return {};
}

Status CheckPolicy(const CheckArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument document, ReadPolicy(args.file), args.file);
  std::printf("%s: policy %s:%s\n", args.file.c_str(), document.name.c_str(),
              document.version.c_str());
  std::optional<PolicyDocument> local;
  if (!args.local.empty()) {
    SKERRY_ASSIGN_OR_RETURN(local, ReadPolicy(args.local), args.local);
    std::printf("%s: policy %s:%s, and of both the stricter rule holds\n", args.local.c_str(),
                local->name.c_str(), local->version.c_str());
  }
  const CombinedPolicy policy = Combine(std::move(document), std::move(local));
  std::vector<std::string> warnings = policy.notes;
  const std::string schema_file =
      args.package.empty() ? args.schema : args.package + "/schema.json";
  std::optional<ModelSchema> schema;
  if (!schema_file.empty()) {
    SKERRY_ASSIGN_OR_RETURN(schema, ReadSchema(schema_file), schema_file);
    SKERRY_ASSIGN_OR_RETURN(const auto compiled,
                            CompiledPolicy::Compile(policy, *schema, std::string(32, '\0')),
                            args.file);
    warnings = compiled->warnings();
  }
  for (const std::string& warning : warnings) std::printf("  %s\n", warning.c_str());
  return args.rows.empty() ? Status() : CheckRows(args.rows, policy, schema);
}

// The case's row as the model scores it. Features that the case does not name are absent.
Result<std::shared_ptr<RowBatch>> BatchOfCase(const std::shared_ptr<const ModelPackage>& package,
                                              const PolicyCase& given) {
  SKERRY_ASSIGN_OR_RETURN(Json row, ParseJson(given.row));
  for (const Field* feature : package->schema.features())
    if (!row.contains(feature->name)) row[feature->name] = nullptr;
  std::string text = DumpJson(row);
  SKERRY_ASSIGN_OR_RETURN(std::shared_ptr<RowBatch> batch, BatchFromNamedRows(package, text));
  batch->instance = *InstanceId::Parse("0123456789abcdef0123456789abcdef");
  batch->first_n = 1;
  SKERRY_RETURN_IF_ERROR(ScoreRows(*batch));
  if (given.score && !batch->score.empty()) batch->score[0] = static_cast<float>(*given.score);
  if (given.anomaly_score && !batch->anomaly_score.empty())
    batch->anomaly_score[0] = static_cast<float>(*given.anomaly_score);
  if (given.prediction && !batch->prediction.empty())
    batch->prediction[0] = static_cast<std::uint8_t>(*given.prediction);
  return batch;
}

Status TestPolicy(const CheckArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument document, ReadPolicy(args.file), args.file);
  if (document.cases.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "{} has no cases; write for example 'tests: [{{row: {{type: L}}, expect: {{out: "
                "{{in_type: L}}}}}}]'",
                args.file);
  std::optional<PolicyDocument> local;
  if (!args.local.empty()) {
    SKERRY_ASSIGN_OR_RETURN(local, ReadPolicy(args.local), args.local);
  }
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelPackage> package,
                          LoadPackage(args.package, {}));
  const std::vector<PolicyCase> cases = document.cases;
  SKERRY_ASSIGN_OR_RETURN(
      const auto policy,
      CompiledPolicy::Compile(WithWholeRates(Combine(std::move(document), std::move(local))),
                              package->schema, std::string(32, '\0')),
      args.file);
  std::size_t failed = 0;
  for (const PolicyCase& given : cases) {
    const std::string what = fmt::format("{} ({})", given.name, given.where);
    SKERRY_ASSIGN_OR_RETURN(const auto batch, BatchOfCase(package, given), what);
    const std::vector<std::string> wrong = CheckCase(*policy, given, *batch);
    std::printf("%s %s\n", wrong.empty() ? "ok  " : "FAIL", what.c_str());
    for (const std::string& sentence : wrong) std::printf("       %s\n", sentence.c_str());
    failed += wrong.empty() ? 0 : 1;
  }
  if (failed > 0)
    return Fail(ErrorCode::kFailedPrecondition, "{}: {} of {} cases failed", args.file, failed,
                cases.size());
  return {};
}

Status PushPolicy(const std::string& file, const std::string& hub, bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(std::string yaml, ReadFile(file, limits::kYamlBytes));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(hub));
  SKERRY_ASSIGN_OR_RETURN(
      const std::string answer,
      control.Call("POST", "/v1/policies", std::move(yaml), "application/yaml"));
  SKERRY_ASSIGN_OR_RETURN(const Json facts, ParseJson(answer), "the hub's answer");
  Print(facts, as_json, [](const Json& policy) {
    return fmt::format("policy {}:{} {}\n", policy.value("name", ""), policy.value("version", ""),
                       policy.value("digest", ""));
  });
  return {};
}

Status ExplainPolicy(const std::string& row, const std::string& data, bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(row, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json fields, ParseJson(text), row);
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(const Json answer,
                          control.Post("/v1/policy/explain", Json{{"row", fields}}));
  Print(answer, as_json, &ExplanationText);
  return {};
}

Status CallPolicy(const std::string& verb, const std::string& policy, const std::string& data,
                  bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(const Json answer,
                          verb == "pending"
                              ? control.Get("/v1/policy")
                              : control.Post("/v1/policy/" + verb, Json{{"policy", policy}}));
  Print(answer, as_json, &PolicyText);
  return {};
}

Status RotateKey(const std::string& data, bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(const Json answer, control.Post("/v1/policy/rotate-key", Json::object()));
  Print(answer, as_json, [](const Json& facts) {
    // The newest first; there is always one before it here.
    const auto ids = facts.at("key_ids").get<std::vector<std::string>>();
    return fmt::format("pseudonyms are made with key {}; here alone are known: {}\n", ids.front(),
                       fmt::join(ids.begin() + 1, ids.end(), " "));
  });
  return {};
}

Status FindPseudonyms(const std::string& field, const std::string& value, const std::string& data,
                      bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(
      const Json answer,
      control.Post("/v1/policy/pseudonyms", Json{{"field", field}, {"value", value}}));
  Print(answer, as_json, [](const Json& facts) {
    std::string text;
    for (const Json& pseudonym : facts.at("pseudonyms"))
      text += pseudonym.get<std::string>() + "\n";
    return text;
  });
  return {};
}

Status Audit(const std::filesystem::path& data, bool as_json) {
  std::map<std::string, DecisionAudit> audits;
  std::error_code error;
  if (std::filesystem::is_directory(data / "outbox", error)) {
    SKERRY_ASSIGN_OR_RETURN(audits["this site"], AuditSite(data / "outbox"));
  } else if (std::filesystem::is_directory(data / "lake", error)) {
    SKERRY_ASSIGN_OR_RETURN(audits, AuditLake(data / "lake"));
  } else {
    return Fail(ErrorCode::kNotFound, "{} is the data directory of no site and of no hub",
                data.string());
  }
  std::size_t findings = 0;
  Json json = Json::array();
  for (const auto& [site, audit] : audits) {
    findings += audit.findings.size();
    json.push_back(Json{{"site", site},
                        {"entries", audit.entries},
                        {"rows", audit.rows},
                        {"last_n", audit.last_n},
                        {"last_hash", audit.last_hash},
                        {"findings", audit.findings}});
    if (as_json) continue;
    std::printf("%s: %s\n", site.c_str(),
                fmt::format("{} entries tell of {} withheld rows{}", audit.entries, audit.rows,
                            audit.entries == 0
                                ? std::string()
                                : fmt::format("; the last is {} {}", audit.last_n, audit.last_hash))
                    .c_str());
    for (const std::string& finding : audit.findings) std::printf("  %s\n", finding.c_str());
    if (audit.findings.empty()) std::printf("  the chain is whole\n");
  }
  if (as_json) std::fputs(DumpJsonPretty(json).c_str(), stdout);
  if (findings > 0)
    return Fail(ErrorCode::kDataLoss, "{}: the decision log is not whole", data.string());
  return {};
}

Status Replay(const std::string& file, const std::string& data, std::uint64_t days, bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, limits::kYamlBytes));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(
      const Json answer, control.Post("/v1/policy/replay", Json{{"policy", yaml}, {"days", days}}));
  Print(answer, as_json, &ReplayText);
  return {};
}

struct PolicyArguments {
  std::uint64_t days = 36'500;
  CheckArguments check;
  std::string file, policy, hub, data, field, value;
  bool json = false;
};
using Chosen = std::shared_ptr<CommandRun>;
using Arguments = std::shared_ptr<PolicyArguments>;

void DeclareCheck(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* check = app.add_subcommand("check", "read a policy; say what is wrong, or unnamed");
  CheckArguments& options = args->check;
  check->add_option("file", options.file, "the policy (YAML)")->required();
  check->add_option("--local", options.local,
                    "the site's own policy: say what is left of both together");
  CLI::Option* package =
      check->add_option("--package", options.package, "a model package to check it against");
  check->add_option("--schema", options.schema, "a model's schema.json to check it against")
      ->excludes(package);
  check->add_option("--rows", options.rows,
                    "a table of rows: say which well-known identifiers are in what leaves");
  check->callback([args, chosen] { *chosen = [args] { return CheckPolicy(args->check); }; });
}

void DeclareTest(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* test = app.add_subcommand("test", "run the cases of a policy file (its key 'tests')");
  test->add_option("file", args->check.file, "the policy (YAML)")->required();
  test->add_option("--package", args->check.package, "the model package that scores the rows")
      ->required();
  test->add_option("--local", args->check.local, "the site's own policy beside it");
  test->callback([args, chosen] { *chosen = [args] { return TestPolicy(args->check); }; });
  CLI::App* schema = app.add_subcommand("schema", "print the language as a JSON Schema");
  schema->callback([chosen] {
    *chosen = []() -> Status {
      std::fputs(std::string(PolicyJsonSchema()).c_str(), stdout);
      return {};
    };
  });
}

void DeclareKeys(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* rotate = app.add_subcommand("rotate-key", "make pseudonyms with a new key from now on");
  rotate->add_option("--data", args->data, "data directory of the running site")->required();
  DeclareJson(*rotate, args->json);
  rotate->callback(
      [args, chosen] { *chosen = [args] { return RotateKey(args->data, args->json); }; });
  CLI::App* find = app.add_subcommand(
      "pseudonyms", "what a value leaves as, under the key in use and those before it");
  find->add_option("field", args->field, "the field's name")->required();
  find->add_option("value", args->value, "the value")->required();
  find->add_option("--data", args->data, "data directory of the running site")->required();
  DeclareJson(*find, args->json);
  find->callback([args, chosen] {
    *chosen = [args] { return FindPseudonyms(args->field, args->value, args->data, args->json); };
  });
}

void DeclareAudit(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* audit = app.add_subcommand(
      "audit", "walk the decision log: what is missing from it, altered, or there twice");
  audit->add_option("--data", args->data, "data directory of a site or of a hub, running or not")
      ->required();
  DeclareJson(*audit, args->json);
  audit->callback([args, chosen] { *chosen = [args] { return Audit(args->data, args->json); }; });
}

void DeclareReplay(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* replay = app.add_subcommand(
      "replay", "what a policy would have let leave of the rows in the site's journal");
  replay->add_option("file", args->file, "the policy (YAML)")->required();
  replay->add_option("--data", args->data, "data directory of the running site")->required();
  replay->add_option("--days", args->days, "only rows of the last so many days")
      ->check(CLI::Range(1, 36'500));
  DeclareJson(*replay, args->json);
  replay->callback([args, chosen] {
    *chosen = [args] { return Replay(args->file, args->data, args->days, args->json); };
  });
}

void DeclarePush(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* push = app.add_subcommand("push", "publish a policy at the hub");
  push->add_option("file", args->file, "the policy (YAML)")->required();
  push->add_option("--hub", args->hub, "data directory of the running hub")->required();
  DeclareJson(*push, args->json);
  push->callback([args, chosen] {
    *chosen = [args] { return PushPolicy(args->file, args->hub, args->json); };
  });
}

void DeclareExplain(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  CLI::App* explain = app.add_subcommand("explain", "one row before and after, with the rules");
  explain->add_option("row", args->file, "JSON file with the row's named fields")->required();
  explain->add_option("--data", args->data, "data directory of the running site")->required();
  DeclareJson(*explain, args->json);
  explain->callback([args, chosen] {
    *chosen = [args] { return ExplainPolicy(args->file, args->data, args->json); };
  });
}

void DeclareApproval(CLI::App& app, const Arguments& args, const Chosen& chosen) {
  constexpr const char* kVerbs[][2] = {
      {"pending", "what is in force at a site, and what waits for approval"},
      {"approve", "let the policy that waits come into force"},
      {"refuse", "keep the policy that waits out of force"},
      {"reload", "read the site's own policy again, which holds beside the hub's from now on"}};
  for (const auto& [verb, summary] : kVerbs) {
    CLI::App* sub = app.add_subcommand(verb, summary);
    if (std::string_view(verb) == "approve" || std::string_view(verb) == "refuse")
      sub->add_option("policy", args->policy, "NAME:VERSION, as 'skerry policy pending' shows it")
          ->required();
    sub->add_option("--data", args->data, "data directory of the running site")->required();
    DeclareJson(*sub, args->json);
    sub->callback([args, chosen, name = std::string(verb)] {
      *chosen = [args, name] { return CallPolicy(name, args->policy, args->data, args->json); };
    });
  }
}

}  // namespace

CommandRun DeclarePolicy(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  auto args = std::make_shared<PolicyArguments>();
  app.require_subcommand(1);
  DeclareCheck(app, args, chosen);
  DeclareTest(app, args, chosen);
  DeclareKeys(app, args, chosen);
  DeclareAudit(app, args, chosen);
  DeclareReplay(app, args, chosen);
  DeclarePush(app, args, chosen);
  DeclareExplain(app, args, chosen);
  DeclareApproval(app, args, chosen);
  return [chosen] { return (*chosen)(); };
}

}  // namespace skerry
