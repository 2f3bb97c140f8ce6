// site, hub, token, deploy, acknowledge, revoke, label, retrain, lineage, status: the two
// long-running sides and what a person asks of them. Everything but `site` and `hub` talks to the
// running process by its API.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "base/environment.h"
#include "cli/access_command.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/health.h"
#include "cli/release_command.h"
#include "cli/report_text.h"
#include "cli/run_call.h"
#include "cli/site_choice.h"
#include "cli/terminal.h"
#include "codec/text.h"
#include "http/url.h"
#include "hub/hub.h"
#include "launcher/slots.h"
#include "site/site.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr unsigned kHubLoops = 4;
constexpr std::chrono::seconds kOwnPatience{5};  // for a process' answer to itself

void DeclareHubData(CLI::App& app, std::string& hub) {
  app.add_option("--hub", hub, "data directory of the running hub")->required();
}

// What is done to one site at its hub.
struct OneSite {
  std::string site, hub;

  Result<Json> Post(std::string_view what) const {
    SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(hub));
    return control.Post(fmt::format("/v1/sites/{}/{}", site, what), Json::object());
  }
};

void DeclareOneSite(CLI::App& app, OneSite& args) {
  app.add_option("site", args.site, "the site's name")->required();
  DeclareHubData(app, args.hub);
}

Result<Table> ReadLabels(const std::string& file) {
  SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
  ReadOptions read;
  read.csv_types = CsvTypes::kText;
  read.columns = {"row", "label"};
  return engine->ReadFile(file, read);
}

Status PrintStatus(ControlClient& control, bool as_json) {
  SKERRY_ASSIGN_OR_RETURN(const Json sites, control.Get("/v1/sites"));
  std::vector<Json> reconciliations;
  for (const Json& site : sites.at("sites")) {
    const std::string name = site.at("site").get<std::string>();
    SKERRY_ASSIGN_OR_RETURN(Json facts,
                            control.Get(fmt::format("/v1/sites/{}/reconciliation", name)));
    reconciliations.push_back(std::move(facts));
  }
  std::fputs(as_json ? DumpJsonPretty(Json(reconciliations)).c_str()
                     : ReconciliationText(reconciliations).c_str(),
             stdout);
  if (as_json) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::string releases, ReleasesText(control));
  if (!releases.empty()) std::printf("\n%s", releases.c_str());
  return {};
}

void AddTrainingOptions(CLI::App& app, TrainingGrounds& training) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    app.add_option(name, value, help)->group("Training runs");
  };
  add("--train-from", training.directories,
      "a directory whose files training runs may read; may be repeated. The hub's lake always is");
  add("--train-master", training.masters,
      "a Spark master that they may train at (docs/training.md); may be repeated");
  add("--train-livy", training.livy, "a Livy server that they may train at; may be repeated");
  add("--train-address", training.addresses,
      "what training runs may read, the front of an address (s3://plant/machines/); may be "
      "repeated");
  add("--return-listen", training.return_listen, "with Livy: as of 'skerry train'");
  add("--return-url", training.return_url, "with Livy: as of 'skerry train'");
  add("--spark-submit", training.spark_submit, "as of 'skerry train'");
  add("--spark-conf", training.spark_conf, "as of 'skerry train', for every run; may be repeated");
}

}  // namespace

CommandRun DeclareHub(CLI::App& app) {
  struct Arguments {
    HubOptions options;
    std::string data = "skerry-hub", listen = "127.0.0.1:8443";
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("--data", args->data, "data directory, made when absent")->capture_default_str();
  app.add_option("--listen", args->listen, "address and port")->capture_default_str();
  app.add_option("--public-url", args->options.public_url,
                 "https://HOST:PORT as sites reach it, where that is not this machine's name: for "
                 "their tokens and the certificate");
  app.add_option("--registry", args->options.registry,
                 "s3://BUCKET/PREFIX, where the registry's content is to stand; keys and server "
                 "come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and "
                 "AWS_REGION (docs/registry.md). Files of the data directory without it");
  app.add_flag("--plain-http", args->options.plain_http, "no TLS; on loopback only");
  app.add_flag("--open-registry", args->options.open_registry,
               "anyone may push and pull; on loopback only, for tests of tools");
  app.add_flag(
      "--restored", args->options.restored,
      "the data directory was restored from a back-up: at this start the hub asks its sites "
      "for what it has lost (docs/outbox.md)");
  AddTrainingOptions(app, args->options.training);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(args->listen));
    args->options.data = std::filesystem::absolute(args->data);
    args->options.listen_address = at.host;
    args->options.listen_port = at.port;
    // Blobs are read and encrypted on the loops.
    args->options.http_loops =
        static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, kHubLoops));
    SKERRY_ASSIGN_OR_RETURN(const auto hub, Hub::Start(args->options));
    std::printf("hub: %s/#token=%s\n", hub->url().c_str(), hub->admin_token().c_str());
    std::fflush(stdout);
    WaitAsService([&] { return AnswersFor(args->options.data, kOwnPatience); });
    hub->Stop();
    return {};
  };
}

CommandRun DeclareSite(CLI::App& app) {
  struct Arguments {
    SiteOptions options;
    AccessOptions access;
    std::string data = "skerry-site", http, grpc, capture, config, local_policy, scorer_keys,
                registry;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("--data", args->data, "data directory, made when absent")->capture_default_str();
  app.add_option("--hub", args->options.hub_url, "the hub's URL; the token's by default");
  app.add_option("--token-file", args->options.token_file,
                 "from 'skerry token'; harmless when already joined");
  app.add_option("--name", args->options.name, "the site's name; the token's by default");
  app.add_option("--http", args->http, "address and port of scoring; 127.0.0.1:8000 by default");
  app.add_option("--grpc", args->grpc, "address and port of scoring over gRPC; off by default");
  app.add_option("--registry", args->registry,
                 "address and port from which machines pull the images and charts that bundles "
                 "bring, 127.0.0.1:5000; none are kept without it");
  DeclareAccess(app, args->access);
  app.add_option("--scorer-keys", args->scorer_keys,
                 "scorers ('skerry serve --capture') hand over rows with a key of this file, made "
                 "by 'skerry api-key'; none may without it");
  app.add_option(
      "--capture", args->capture,
      "off, async, sync (the default) or try: sync, but what cannot be kept is answered");
  app.add_option("--local-policy", args->local_policy,
                 "a policy (YAML) of the site's own; of it and the hub's the stricter rule holds");
  app.add_option("--config", args->config, "YAML file with the settings below");
  app.footer("Settings of --config:\n" + SiteOptions::ConfigReference());
  return [args]() -> Status {
    SiteOptions& options = args->options;
    if (!args->config.empty()) SKERRY_RETURN_IF_ERROR(options.LoadConfig(args->config));
    options.data = std::filesystem::absolute(args->data);
    if (!args->http.empty()) {
      SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(args->http));
      options.http_address = at.host;
      options.http_port = at.port;
    }
    if (!args->grpc.empty()) {
      SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(args->grpc));
      options.grpc_address = at.host;
      options.grpc_port = at.port;
    }
    if (!args->registry.empty()) {
      SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(args->registry));
      options.registry_address = at.host;
      options.registry_port = at.port;
    }
    if (!args->capture.empty()) {
      SKERRY_ASSIGN_OR_RETURN(options.capture, ParseCaptureMode(args->capture));
    }
    if (!args->scorer_keys.empty()) options.scorer_keys = args->scorer_keys;
    if (!args->local_policy.empty()) options.local_policy = args->local_policy;
    OverrideAccess(args->access, options.access);
    options.build = SKERRY_VERSION;
    options.slot = FromEnvironment(kSlotVariable);
    // As by hand: what is under way is finished first.
    options.on_release_staged = [] { kill(getpid(), SIGTERM); };
    SKERRY_ASSIGN_OR_RETURN(const auto site, Site::Start(options));
    std::printf("site: %s\n", site->url().c_str());
    if (site->grpc_port() != 0)
      std::printf("grpc: %s:%u\n", options.grpc_address.c_str(), site->grpc_port());
    if (!site->registry_url().empty()) std::printf("registry: %s\n", site->registry_url().c_str());
    std::fflush(stdout);
    WaitAsService([&] { return AnswersFor(options.data, kOwnPatience); });
    site->Stop();
    return {};
  };
}

CommandRun DeclareToken(CLI::App& app) {
  struct Arguments {
    std::string site, hub, out;
    bool media = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("site", args->site, "the site's name")->required();
  app.add_option("--out", args->out, "the file to write, mode 0600; - writes to the output alone")
      ->required();
  app.add_flag("--media", args->media, "the site never has a link; it meets its hub by bundles");
  DeclareHubData(app, args->hub);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->hub));
    SKERRY_ASSIGN_OR_RETURN(
        const Json token,
        control.Post("/v1/tokens", Json{{"site", args->site}, {"media", args->media}}));
    return WriteSecret(args->out, DumpJsonPretty(token),
                       fmt::format("site {} joins once with it", args->site));
  };
}

CommandRun DeclareDeploy(CLI::App& app) {
  struct Arguments {
    std::string model, policy, fallback, hub;
    SiteChoice sites;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("model", args->model, "NAME:VERSION in the hub's registry")->required();
  app.add_option("--policy", args->policy, "NAME:VERSION of the policy")->required();
  app.add_option("--fallback", args->fallback, "NAME:VERSION that a site may return to by itself");
  DeclareSiteChoice(app, args->sites);
  DeclareHubData(app, args->hub);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->hub));
    SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> sites,
                            ChosenSites(args->sites, control));
    for (const std::string& site : sites) {
      Json wanted{{"model", args->model}, {"policy", args->policy}};
      if (!args->fallback.empty()) wanted["fallback"] = args->fallback;
      SKERRY_RETURN_IF_ERROR(control.Put(fmt::format("/v1/sites/{}/desired", site), wanted), site);
      std::printf("%s: desired state is now %s\n", site.c_str(), args->model.c_str());
    }
    return {};
  };
}

CommandRun DeclareAcknowledge(CLI::App& app) {
  auto args = std::make_shared<OneSite>();
  DeclareOneSite(app, *args);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const Json answer, args->Post("acknowledge"));
    std::printf("%s: %s things that were set aside are no alarm any more\n", args->site.c_str(),
                WithThousands(answer.value("acknowledged", std::uint64_t{0})).c_str());
    return {};
  };
}

CommandRun DeclareRevoke(CLI::App& app) {
  auto args = std::make_shared<OneSite>();
  DeclareOneSite(app, *args);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const Json answer, args->Post("revoke"));
    std::printf("%s: %s keys are revoked; it joins again with a new token only\n",
                args->site.c_str(),
                WithThousands(answer.value("revoked_keys", std::uint64_t{0})).c_str());
    return {};
  };
}

CommandRun DeclareLabel(CLI::App& app) {
  struct Arguments {
    std::string file, set = "default", hub;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("file", args->file, "CSV with the columns row (a row id) and label (0 or 1)")
      ->required();
  app.add_option("--set", args->set, "name of the set that they belong to")->capture_default_str();
  app.add_flag("--json", args->json, "print the answer as JSON");
  DeclareHubData(app, args->hub);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->hub));
    SKERRY_ASSIGN_OR_RETURN(const Table table, ReadLabels(args->file));
    Json labels = Json::array();
    for (std::size_t i = 0; i < table.rows(); ++i)
      labels.push_back({{"row", table.columns[0].texts[i]}, {"label", table.columns[1].texts[i]}});
    SKERRY_ASSIGN_OR_RETURN(
        const Json answer,
        control.Post("/v1/labels", Json{{"set", args->set}, {"labels", labels}}));
    if (args->json)
      std::fputs(DumpJsonPretty(answer).c_str(), stdout);
    else
      std::printf("%s: %s labels stored in the set %s\n", args->file.c_str(),
                  WithThousands(answer.value("stored", std::uint64_t{0})).c_str(),
                  args->set.c_str());
    return {};
  };
}

CommandRun DeclareRetrain(CLI::App& app) {
  auto request = std::make_shared<RetrainCall>();
  app.add_option("model", request->model, "the champion, NAME:VERSION")->required();
  app.add_option("--new-version", request->new_version, "the challenger's version")->required();
  app.add_option("--base", request->base, "table with the rows of the first training");
  app.add_option("--labels", request->labels, "name of the label set")->capture_default_str();
  app.add_option("--holdout", request->holdouts, "NAME=FILE: a labelled table for the gate")
      ->required();
  app.add_option("--gain-on", request->gain_on, "the hold-out that must get better")->required();
  app.add_option("--max-loss", request->max_losses,
                 "NAME=LOSS: average precision that may be lost");
  app.add_flag("--json", request->json, "print the run as JSON");
  DeclareHubData(app, request->hub);
  return [request]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const Json run, RunRetrain(*request));
    std::fputs(request->json ? DumpJsonPretty(run).c_str() : DescribeRun(run).c_str(), stdout);
    return {};
  };
}

CommandRun DeclareLineage(CLI::App& app) {
  struct Arguments {
    std::string row;
    OneSite at;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("row", args->row, "the row id that came with the answer")->required();
  app.add_option("--site", args->at.site, "the site that scored it")->required();
  app.add_flag("--json", args->json, "print the answer as JSON");
  DeclareHubData(app, args->at.hub);
  return [args]() -> Status {
    SKERRY_RETURN_IF_ERROR(CheckName("site name", args->at.site));
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const RowId row, RowId::Parse(args->row));
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->at.hub));
    SKERRY_ASSIGN_OR_RETURN(
        const Json answer,
        control.Get(fmt::format("/v1/sites/{}/lineage?row={}", args->at.site, args->row)));
    std::fputs(args->json ? DumpJsonPretty(answer).c_str() : LineageText(answer).c_str(), stdout);
    return {};
  };
}

CommandRun DeclareStatus(CLI::App& app) {
  struct Arguments {
    std::string hub;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  DeclareHubData(app, args->hub);
  app.add_flag("--json", args->json, "print each site's reconciliation as JSON");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->hub));
    return PrintStatus(control, args->json);
  };
}

}  // namespace skerry
