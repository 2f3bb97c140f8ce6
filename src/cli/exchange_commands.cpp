// policy: what leaves a site, and by which rule.
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/report_text.h"
#include "cli/terminal.h"
#include "model/schema.h"
#include "policy/compiled_policy.h"
#include "policy/document.h"
#include "storage/file.h"

namespace skerry {
namespace {

void Print(const Json& answer, bool as_json, std::string (*text)(const Json&)) {
  std::fputs(as_json ? DumpJsonPretty(answer).c_str() : text(answer).c_str(), stdout);
}

void DeclareJson(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print the answer as JSON");
}

Result<ModelSchema> ReadSchema(const std::filesystem::path& package) {
  const auto file = package / "schema.json";
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text), file.string());
  return ModelSchema::FromJson(json);
}

Status CheckPolicy(const std::string& file, const std::string& package) {
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, limits::kYamlBytes));
  SKERRY_ASSIGN_OR_RETURN(const PolicyDocument document, PolicyDocument::Parse(yaml), file);
  std::printf("%s: policy %s:%s\n", file.c_str(), document.name.c_str(), document.version.c_str());
  if (package.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const ModelSchema schema, ReadSchema(package));
  SKERRY_ASSIGN_OR_RETURN(const auto compiled,
                          CompiledPolicy::Compile(document, schema, std::string(32, '\0')), file);
  for (const std::string& warning : compiled->warnings()) std::printf("  %s\n", warning.c_str());
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

// The command whose verb was given; the callbacks of the verbs set it.
CommandRun RunChosen(const std::shared_ptr<CommandRun>& chosen) {
  return [chosen] { return (*chosen)(); };
}

}  // namespace

CommandRun DeclarePolicy(CLI::App& app) {
  struct Arguments {
    std::string file, package, hub, data;
    bool json = false;
  };
  auto chosen = std::make_shared<CommandRun>();
  auto args = std::make_shared<Arguments>();
  app.require_subcommand(1);
  CLI::App* check = app.add_subcommand("check", "read a policy; say what is wrong, or unnamed");
  check->add_option("file", args->file, "the policy (YAML)")->required();
  check->add_option("--package", args->package, "a model package to check it against");
  check->callback(
      [args, chosen] { *chosen = [args] { return CheckPolicy(args->file, args->package); }; });
  CLI::App* push = app.add_subcommand("push", "publish a policy at the hub");
  push->add_option("file", args->file, "the policy (YAML)")->required();
  push->add_option("--hub", args->hub, "data directory of the running hub")->required();
  DeclareJson(*push, args->json);
  push->callback([args, chosen] {
    *chosen = [args] { return PushPolicy(args->file, args->hub, args->json); };
  });
  CLI::App* explain = app.add_subcommand("explain", "one row before and after, with the rules");
  explain->add_option("row", args->file, "JSON file with the row's named fields")->required();
  explain->add_option("--data", args->data, "data directory of the running site")->required();
  DeclareJson(*explain, args->json);
  explain->callback([args, chosen] {
    *chosen = [args] { return ExplainPolicy(args->file, args->data, args->json); };
  });
  return RunChosen(chosen);
}

}  // namespace skerry
