// bundle, policy: what leaves a site, by which rule, and on which stick.
#include <algorithm>
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
#include "sync/bundle.h"

namespace skerry {
namespace {

struct BundleArguments {
  std::string path, data, hub, site;
  bool json = false;
};

void Print(const Json& answer, bool as_json, std::string (*text)(const Json&)) {
  std::fputs(as_json ? DumpJsonPretty(answer).c_str() : text(answer).c_str(), stdout);
}

void DeclareJson(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print the answer as JSON");
}

// The process that makes or takes the bundle: a site's, or the hub's for one site.
Status CallBundle(const BundleArguments& args, const char* verb) {
  if (args.data.empty() == args.hub.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "give either --data (a site's directory) or --hub (the hub's directory)");
  const bool at_hub = !args.hub.empty();
  SKERRY_ASSIGN_OR_RETURN(ControlClient control,
                          ControlClient::ForData(at_hub ? args.hub : args.data));
  Json body{{"path", std::filesystem::absolute(args.path).string()}};
  if (at_hub && std::string_view(verb) == "export") {
    if (args.site.empty())
      return Fail(ErrorCode::kInvalidArgument, "say for which site: --site NAME");
    body["site"] = args.site;
  }
  SKERRY_ASSIGN_OR_RETURN(
      const Json report,
      control.Post(fmt::format("/v1/{}/{}", at_hub ? "bundles" : "bundle", verb), body));
  Print(report, args.json, &BundleText);
  return {};
}

void DeclareBundleVerb(CLI::App& app, const char* verb, const char* summary,
                       const std::shared_ptr<CommandRun>& chosen) {
  auto args = std::make_shared<BundleArguments>();
  CLI::App* sub = app.add_subcommand(verb, summary);
  sub->add_option("path", args->path, "the bundle's directory")->required();
  sub->add_option("--data", args->data, "data directory of the running site");
  sub->add_option("--hub", args->hub, "data directory of the running hub");
  sub->add_option("--site", args->site, "the site that the hub's bundle is for");
  DeclareJson(*sub, args->json);
  sub->callback(
      [args, verb, chosen] { *chosen = [args, verb] { return CallBundle(*args, verb); }; });
}

// Lists the parts; reads each, so that damage shows.
Status InspectBundle(const std::string& path) {
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader, BundleReader::Open(path));
  std::printf("bundle %s, %s, site %s\n", reader.header().id.c_str(),
              std::string(BundleDirectionName(reader.header().direction)).c_str(),
              reader.header().site.c_str());
  std::vector<std::vector<std::string>> rows{{"kind", "name", "digest", "state"}};
  bool whole = true;
  for (const BundlePart& part : reader.parts()) {
    const auto artifact = reader.ReadArtifact(part);
    whole = whole && artifact.has_value();
    rows.push_back({std::string(BundleKindName(part.kind)), part.name,
                    part.manifest.ToString().substr(0, 19),
                    artifact ? "whole" : artifact.error().message()});
  }
  std::fputs(RenderColumns(rows).c_str(), stdout);
  if (!whole)
    return Fail(ErrorCode::kDataLoss,
                "{}: parts are missing or damaged; the others can be imported", path);
  return {};
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

CommandRun DeclareBundle(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  app.require_subcommand(1);
  DeclareBundleVerb(app, "export", "write what the other side needs", chosen);
  DeclareBundleVerb(app, "import", "take in what the other side wrote; repeats are harmless",
                    chosen);
  auto path = std::make_shared<std::string>();
  CLI::App* inspect = app.add_subcommand("inspect", "list the parts and whether they are whole");
  inspect->add_option("path", *path, "the bundle's directory")->required();
  inspect->callback([path, chosen] { *chosen = [path] { return InspectBundle(*path); }; });
  return RunChosen(chosen);
}

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
