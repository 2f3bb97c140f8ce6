// run: trainings and retrainings of a hub, started, followed and cancelled.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/run_call.h"
#include "cli/terminal.h"
#include "codec/yaml.h"
#include "storage/file.h"

namespace skerry {
namespace {

struct RunArguments {
  std::string hub, spec, run, of = "run";
  bool detach = false, json = false;
};

void Print(const Json& run, bool as_json) {
  std::fputs(as_json ? DumpJsonPretty(run).c_str() : DescribeRun(run).c_str(), stdout);
}

Status StartAndFollow(const RunArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(args.spec, limits::kYamlBytes));
  SKERRY_ASSIGN_OR_RETURN(const YamlDocument spec, ParseYaml(text), args.spec);
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const std::string run, StartRun(control, spec.value), args.spec);
  if (args.detach) {
    std::fputs(args.json ? DumpJsonPretty({{"run", run}}).c_str() : (run + "\n").c_str(), stdout);
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const Json ended, FollowRun(control, run));
  Print(ended, args.json);
  return {};
}

Status ShowRuns(const RunArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json answer,
                          control.Get(args.run.empty() ? "/v1/runs" : "/v1/runs/" + args.run));
  if (!args.run.empty() || args.json) {
    Print(answer, args.json);
    return {};
  }
  std::vector<std::vector<std::string>> rows{{"run", "kind", "state", "model", "reason"}};
  for (const Json& run : answer.value("runs", Json::array()))
    rows.push_back({run.value("run", ""), run.value("kind", ""), run.value("state", ""),
                    run.value("model", ""), Shorten(run.value("reason", ""), 60)});
  std::fputs(RenderColumns(rows).c_str(), stdout);
  return {};
}

Status ShowLog(const RunArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(
      const std::string log,
      control.Call("GET", fmt::format("/v1/runs/{}/log?of={}", args.run, args.of), "", ""));
  std::fputs(log.c_str(), stdout);
  return {};
}

Status CancelRun(const RunArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(
      const Json answer, control.Post(fmt::format("/v1/runs/{}/cancel", args.run), Json::object()));
  const bool running = answer.value("state", "") == "running";
  std::printf("run %s: %s\n", args.run.c_str(),
              running ? "it was asked to end" : "cancelled before it began");
  return {};
}

}  // namespace

CommandRun DeclareRun(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  app.require_subcommand(1);
  const auto verb = [&](const char* name, const char* summary,
                        Status (*call)(const RunArguments&)) {
    auto args = std::make_shared<RunArguments>();
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_option("--hub", args->hub, "data directory of the running hub")->required();
    sub->callback([args, call, chosen] { *chosen = [args, call] { return call(*args); }; });
    return std::pair{sub, args};
  };
  const auto [start, to_start] =
      verb("start", "start what a file says and follow it; Ctrl-C ends the following alone",
           &StartAndFollow);
  start->add_option("spec", to_start->spec, "YAML or JSON, as the hub's API takes it")->required();
  start->add_flag("--detach", to_start->detach, "print the run's name and do not follow it");
  start->add_flag("--json", to_start->json, "print the run as JSON");
  const auto [show, to_show] = verb("show", "show how far one run is, or list all", &ShowRuns);
  show->add_option("run", to_show->run, "its name");
  show->add_flag("--json", to_show->json, "print the answer as JSON");
  const auto [log, to_log] = verb("log", "print the end of a run's log", &ShowLog);
  log->add_option("run", to_log->run, "its name")->required();
  log->add_option("--of", to_log->of, "run, or spark: what Spark said")
      ->check(CLI::IsMember({"run", "spark"}))
      ->capture_default_str();
  const auto [cancel, to_cancel] = verb("cancel", "end a run; nothing of it stays", &CancelRun);
  cancel->add_option("run", to_cancel->run, "its name")->required();
  return [chosen]() -> Status { return (*chosen)(); };
}

}  // namespace skerry
