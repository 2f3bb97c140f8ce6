#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "base/service_manager.h"
#include "cli/command.h"
#include "cli/release_command.h"
#include "cli/trust_command.h"
#include "hub/retrain_run.h"
#include "hub/segment_trial.h"
#include "model/smoke.h"

namespace skerry {
namespace {

constexpr std::array kCommands{
    Command{"train", "train a model and an anomaly detector from a table",
            "skerry train readings.csv --label failure --out milling", &DeclareTrain},
    Command{"evaluate", "measure a model package on a labelled table",
            "skerry evaluate milling new.csv", &DeclareEvaluate},
    Command{"compare", "whether one model is better than another on the same rows",
            "skerry compare milling milling2 new.csv", &DeclareCompare},
    Command{"score", "score a CSV or Parquet file with a model package",
            "skerry score new.csv milling --out scored.parquet", &DeclareScore},
    Command{"compact", "put the rows of many small Parquet files into few large ones",
            "skerry compact 'hub-data/lake/class=sample/*/*/*.parquet' --out samples",
            &DeclareCompact},
    Command{"pack", "make an OCI artifact (ModelPack) of a model package, as an image layout",
            "skerry pack milling --name milling --version 1 --out milling.oci", &DeclarePack},
    Command{"sign", "sign the packed model or release in a layout (a cosign bundle v0.3)",
            "skerry sign milling.oci --key model.key", &DeclareSign},
    Command{"verify", "verify the signatures of a packed model or release in a layout",
            "skerry verify milling.oci --key model.pub", &DeclareVerify},
    Command{"push", "push a layout's artifacts to an OCI registry",
            "skerry push milling.oci --hub hub-data", &DeclarePush},
    Command{"pull", "pull a model package from an OCI registry",
            "skerry pull milling:1 --hub hub-data --out milling", &DeclarePull},
    Command{"image", "make a runnable container image of this binary and a model",
            "skerry image milling --name milling --version 1 --out milling.image", &DeclareImage},
    Command{"serve", "serve models over the Open Inference Protocol",
            "skerry serve --http 127.0.0.1:8000 milling=./milling", &DeclareServe},
    Command{"api-key", "make a key with which clients score",
            "skerry api-key line-3 --keys scoring.keys", &DeclareApiKey},
    Command{"site", "run a site: scoring, outbox, exchange with the hub",
            "skerry site --data site --token-file token.json", &DeclareSite},
    Command{"hub", "run a hub: registry, ingest, fleet, the global app",
            "skerry hub --data hub-data", &DeclareHub},
    Command{"token", "make the one-time token file with which a site joins",
            "skerry token north --hub hub-data --out north.token", &DeclareToken},
    Command{"deploy", "say which model and policy sites should run",
            "skerry deploy milling:1 --policy milling:1 --sites north,south --hub hub-data",
            &DeclareDeploy},
    Command{"release", "pack releases of skerry itself, and say which one sites should run",
            "skerry release deploy skerry-linux-amd64:0.2.0 --sites north --hub hub-data",
            &DeclareRelease},
    Command{"trust", "show and turn the keys by which sites believe their hub",
            "skerry trust rotate timestamp --hub hub-data", &DeclareTrust},
    Command{"bundle", "export, import, inspect and verify what a courier carries",
            "skerry bundle export /media/usb/out --data site", &DeclareBundle},
    Command{"policy", "check, explain and publish the rules of what may leave a site",
            "skerry policy check policy.yaml --package milling", &DeclarePolicy},
    Command{"outbox", "show, verify or export what a site keeps for its hub",
            "skerry outbox status --data site", &DeclareOutbox},
    Command{"registry", "say who may use the hub's registry, and collect its garbage",
            "skerry registry add ci --allow images=push --out ci.secret --hub hub-data",
            &DeclareRegistry},
    Command{"label", "give the hub labels for rows, by row id",
            "skerry label labels.csv --hub hub-data", &DeclareLabel},
    Command{"retrain", "train a challenger from the lake and put it before the gate",
            "skerry retrain milling:1 --new-version 2 --base train.csv --holdout clean=hold.csv "
            "--gain-on clean --hub hub-data",
            &DeclareRetrain},
    Command{"run", "start, follow and cancel trainings that the hub runs",
            "skerry run start training.yaml --hub hub-data", &DeclareRun},
    Command{"lineage", "say which model scored a row, and what that was made of",
            "skerry lineage 0123456789abcdef0123456789abcdef-7 --site north --hub hub-data",
            &DeclareLineage},
    Command{"status", "show whether each site's numbers add up, as the hub sees them",
            "skerry status --hub hub-data", &DeclareStatus},
    Command{"acknowledge", "say that you know what the hub has set aside of a site",
            "skerry acknowledge north --hub hub-data", &DeclareAcknowledge},
    Command{"revoke", "shut a site out until it joins with a new token",
            "skerry revoke north --hub hub-data", &DeclareRevoke},
    Command{"demo", "run the whole loop on this machine and show what happens", "skerry demo",
            &DeclareDemo},
    Command{"doctor", "say what is wrong with a set-up", "skerry doctor --data site",
            &DeclareDoctor},
    Command{"health", "ask a running serve, site or hub whether it is well",
            "skerry health http://127.0.0.1:8000", &DeclareHealth},
    Command{"version", "print the versions of skerry and its libraries", "skerry version",
            &DeclareVersion},
};

int Usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help
  const auto chosen = app.get_subcommands();
  const std::string name = chosen.empty() ? "" : " " + chosen.front()->get_name();
  std::fprintf(stderr, "skerry%s: %s\nTry: skerry%s --help\n", name.c_str(), error.what(),
               name.c_str());
  return 2;
}

// Children of the product itself; no person types these.
bool RunInternal(int argc, char** argv, int& status) {
  if (argc != 3) return false;
  const std::string_view name = argv[1];
  if (name == "__smoke") status = SmokeMain(argv[2]);
  if (name == "__retrain") status = RunRetrainChild(argv[2]);
  if (name == "__read-segment") status = RunSegmentTrial(argv[2]);
  return name == "__smoke" || name == "__retrain" || name == "__read-segment";
}

// An option that may be repeated takes one word each time: what follows is the command's own.
void TakeOneWordEach(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (!option->get_positional() && option->get_expected_max() > 1)
      option->allow_extra_args(false);
  for (CLI::App* sub : app.get_subcommands({})) TakeOneWordEach(*sub);
}

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

int RunCommandLine(int argc, char** argv) {
  int internal_status = 0;
  if (RunInternal(argc, argv, internal_status)) return internal_status;
  CLI::App app("Machine learning for sites that are offline.", "skerry");
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, CommandRun>> runs;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
    sub->footer("Example: " + std::string(command.example));
    runs.emplace_back(sub, command.declare(*sub));
    TakeOneWordEach(*sub);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Usage(app, error);
  }
  for (const auto& [sub, run] : runs) {
    if (!sub->parsed()) continue;
    StartLogging(sub->get_name(), LogLevel::kInfo);
    const Status status = run();
    if (status) return 0;
    std::fprintf(stderr, "skerry %s: %s\n", sub->get_name().c_str(),
                 status.error().message().c_str());
    return 1;
  }
  return 2;
}

void WaitForEndSignal() {
  const sigset_t set = EndSignals();
  int signal = 0;
  sigwait(&set, &signal);
}

void WaitAsService(const std::function<Status()>& well) {
  const sigset_t set = EndSignals();
  const ServiceManager manager;
  const auto tell = [&](std::string_view state) {
    if (const Status told = manager.Tell(state); !told) LogWarning("{}", told.error().message());
  };
  tell("READY=1");
  // Twice as often as it must be, as sd_watchdog_enabled(3) advises.
  const auto step = std::chrono::duration_cast<std::chrono::nanoseconds>(manager.watchdog() / 2);
  const timespec wait{.tv_sec = step.count() / 1'000'000'000,
                      .tv_nsec = step.count() % 1'000'000'000};
  while (sigtimedwait(&set, nullptr, step.count() > 0 ? &wait : nullptr) < 0) {
    if (step.count() == 0) continue;  // another signal's handler ran
    if (const Status asked = well(); asked)
      tell("WATCHDOG=1");
    else
      LogWarning(
          "this process does not answer itself, so the service manager is not told that all "
          "is well: {}",
          asked.error().message());
  }
  tell("STOPPING=1");
}

}  // namespace skerry
