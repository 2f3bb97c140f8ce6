// serve: the scoring server alone, without outbox and exchange; with --capture a site keeps its
// rows.
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/cores.h"
#include "base/limits.h"
#include "base/log.h"
#include "cli/access_command.h"
#include "cli/capture_options.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "http/url.h"
#include "rpc/drain.h"
#include "rpc/server.h"
#include "serve/access_watch.h"
#include "serve/model_library.h"
#include "serve/run_queue.h"
#include "serve/scoring_server.h"
#include "storage/file.h"

namespace skerry {
namespace {

struct ServeOptions {
  std::string http = "127.0.0.1:8000";
  std::string grpc{};  // empty: off
  AccessOptions access{};
  CaptureOptions capture{};
  std::vector<std::string> models;
  std::string model_repository{};
  bool repository_api = false;
  std::size_t queue_limit = kDefaultQueueLimit;
  std::size_t batch_size = 1;  // rows; 1: off
  std::int64_t batch_delay_us = 0;
  std::int64_t inline_limit_us = kDefaultInlineLimit.count();
  std::int64_t drain_seconds = limits::kSiteDrain.count();
  std::string state{};  // empty: the last rows of entities end with the process
  // A core is left to the clients of this machine, and to the runs of slow models.
  int loops = std::max(1, Cores() - 1);
};

Status LoadModels(const ServeOptions& options, ModelLibrary& library,
                  const ModelRepository& repository) {
  if (options.capture.on()) {
    if (options.models.empty() && options.model_repository.empty() && !options.repository_api)
      return {};
    return Fail(ErrorCode::kInvalidArgument,
                "with --capture the model is the one that the site runs: name none");
  }
  for (const std::string& model : options.models) SKERRY_RETURN_IF_ERROR(library.Add(model));
  SKERRY_RETURN_IF_ERROR(library.LoadAll());
  if (repository.List().empty() && !options.repository_api)
    return Fail(ErrorCode::kFailedPrecondition,
                "there is no model to serve: name one, or a --model-repository that holds one");
  for (const auto& [name, model] : repository.List())
    if (model->windows && options.state.empty())
      LogWarning(
          "model {} looks back over the last rows of each {}, which are kept in memory "
          "alone: name a directory for them (--state)",
          name, model->package->schema.windows.entity);
  return {};
}

RunQueueOptions QueueOptions(const ServeOptions& options) {
  return {.requests_per_model = options.queue_limit,
          .batch_rows = options.batch_size,
          .batch_delay = std::chrono::microseconds(options.batch_delay_us),
          .inline_limit = std::chrono::microseconds(options.inline_limit_us)};
}

// Where it listens and who may call.
struct Doors {
  HostPort http;
  std::optional<HostPort> grpc;
  std::vector<std::string> addresses;
  Access access;
};

Result<Doors> MakeDoors(const ServeOptions& options) {
  Doors doors;
  SKERRY_ASSIGN_OR_RETURN(doors.http, ParseHostPort(options.http));
  doors.addresses = {doors.http.host};
  if (!options.grpc.empty()) {
    SKERRY_ASSIGN_OR_RETURN(doors.grpc, ParseHostPort(options.grpc));
    doors.addresses.push_back(doors.grpc->host);
  }
  SKERRY_ASSIGN_OR_RETURN(doors.access, LoadAccess(options.access, doors.addresses));
  return doors;
}

// Held while the process lives: no other may keep rows in the same directory.
Result<std::optional<DirectoryLock>> OpenState(const ServeOptions& options,
                                               ModelRepository& repository) {
  std::optional<DirectoryLock> lock;
  if (options.state.empty()) return lock;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(options.state, 0700));
  SKERRY_ASSIGN_OR_RETURN(DirectoryLock held, DirectoryLock::Acquire(options.state));
  lock.emplace(std::move(held));
  SKERRY_RETURN_IF_ERROR(repository.windows().KeepIn(options.state));
  return lock;
}

Status RunServe(const ServeOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const Doors doors, MakeDoors(options));
  SystemClock clock;
  MetricRegistry metrics;
  ModelRepository repository;
  SKERRY_ASSIGN_OR_RETURN(const auto state, OpenState(options, repository));
  RowNumbers numbers(InstanceId::Random());
  ModelLibrary library(
      repository, clock,
      {.control = options.repository_api ? LibraryControl::kOnRequest : LibraryControl::kFixed,
       .directory = options.model_repository});
  SKERRY_RETURN_IF_ERROR(LoadModels(options, library, repository));
  SiteLink site;
  if (options.capture.on()) {
    SKERRY_ASSIGN_OR_RETURN(
        site, LinkToSite(options.capture, options.access, repository, numbers, clock, metrics));
  }
  ScoringServerOptions server_options;
  server_options.http.address = doors.http.host;
  server_options.http.port = doors.http.port;
  server_options.http.tls = doors.access.tls;
  server_options.http.plain = doors.access.plain;
  server_options.http.allowed_origins = doors.access.allowed_origins;
  server_options.http.loops = options.loops;
  server_options.parts.repository = &repository;
  server_options.parts.library = &library;
  server_options.parts.row_numbers = &numbers;
  server_options.parts.clock = &clock;
  server_options.parts.metrics = &metrics;
  server_options.parts.capture = site.capture.get();
  server_options.parts.api_keys = doors.access.api_keys();
  server_options.parts.server_version = SKERRY_VERSION;
  // Ended after the servers, which hand it their requests.
  RunQueue queue(server_options.parts, QueueOptions(options));
  server_options.parts.queue = &queue;
  RpcServerOptions rpc_options;
  rpc_options.parts = server_options.parts;
  rpc_options.tls = doors.access.tls;
  rpc_options.plain = doors.access.plain;
  SKERRY_ASSIGN_OR_RETURN(auto server, ScoringServer::Start(std::move(server_options)));
  const Url url{std::string(doors.access.scheme()), doors.http.host, server->port(), ""};
  std::printf("serving on %s\n", url.Origin().c_str());
  std::unique_ptr<RpcServer> rpc;
  if (doors.grpc) {
    rpc_options.address = doors.grpc->host;
    rpc_options.port = doors.grpc->port;
    SKERRY_ASSIGN_OR_RETURN(rpc, RpcServer::Start(std::move(rpc_options)));
    std::printf("serving gRPC on %s:%u\n", doors.grpc->host.c_str(), rpc->port());
  }
  std::fflush(stdout);
  AccessWatch watch(options.access, doors.addresses, doors.access,
                    [&](const TlsServerOptions& tls) -> Status {
                      SKERRY_RETURN_IF_ERROR(server->ReplaceTls(tls));
                      return rpc ? rpc->ReplaceTls(tls) : Status();
                    });
  watch.Start();
  // It tells that it is there; who runs it asks /v2/health, which its doors may hide from itself.
  WaitAsService([] { return Status(); });
  watch.Stop();
  DrainScoring(*server, rpc.get(), queue, std::chrono::seconds(options.drain_seconds));
  if (site.capture) site.capture->Close(std::chrono::seconds(options.drain_seconds));
  return repository.windows().Stop();
}

}  // namespace

CommandRun DeclareServe(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  app.add_option("model", options->models,
                 "[NAME=]PATH: a model package's directory, a bare .onnx file, or a directory of "
                 "versions 1, 2, ... with one of them in each");
  app.add_option("--model-repository", options->model_repository,
                 "a directory of models: NAME/VERSION/model.onnx, or packages instead of files");
  app.add_flag("--repository-api", options->repository_api,
               "load and unload models when a client asks for it");
  app.add_option("--http", options->http, "address and port; port 0 is the system's choice")
      ->capture_default_str();
  app.add_option("--grpc", options->grpc, "address and port of gRPC; off by default");
  DeclareAccess(app, options->access);
  DeclareCapture(app, options->capture);
  app.add_option("--queue-limit", options->queue_limit,
                 "requests of one model that may wait for a thread; more are refused with 503")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", options->batch_size,
                 "rows of waiting requests that share a run of the model; 1: no batching")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-delay-us", options->batch_delay_us,
                 "how long a request waits for others to fill its batch")
      ->check(CLI::Range(0, 60'000'000))
      ->capture_default_str();
  app.add_option("--inline-limit-us", options->inline_limit_us,
                 "models whose run takes longer leave the event loops for threads of their own")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--loops", options->loops,
                 "threads that read and answer HTTP; the fast models run on them")
      ->check(CLI::Range(1, 1'024))
      ->capture_default_str();
  app.add_option("--state", options->state,
                 "a directory that keeps the last rows of entities over a restart, for models with "
                 "windows")
      ->type_name("DIR");
  app.add_option("--drain-seconds", options->drain_seconds,
                 "how long requests under way may take after SIGTERM")
      ->check(CLI::Range(0, 3'600))
      ->capture_default_str();
  return [options] { return RunServe(*options); };
}

}  // namespace skerry
