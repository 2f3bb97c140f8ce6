// serve: the scoring server alone, without outbox and exchange.
#include <cstdio>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "model/package.h"
#include "rpc/server.h"
#include "serve/scoring_server.h"

namespace skerry {
namespace {

struct ServeOptions {
  std::string http = "127.0.0.1:8000";
  std::string grpc{};  // empty: off
  std::vector<std::string> models;
};

// "NAME=PATH" or "PATH", whose name is the schema's or the file's.
Status PutModel(ModelRepository& repository, const std::string& argument) {
  const std::size_t equals = argument.find('=');
  const std::filesystem::path path =
      equals == std::string::npos ? argument : argument.substr(equals + 1);
  std::string name = equals == std::string::npos ? "" : argument.substr(0, equals);
  std::shared_ptr<const ModelPackage> package;
  if (std::filesystem::is_directory(path)) {
    SKERRY_ASSIGN_OR_RETURN(
        package, LoadPackage(path, {.name = name, .version = "0", .digest = {}, .files = {}}),
        path.string());
  } else {
    SKERRY_ASSIGN_OR_RETURN(package, LoadBareOnnx(path, name.empty() ? path.stem().string() : name),
                            path.string());
  }
  return repository.Put(package->name, {package, CaptureMode::kOff});
}

Status RunServe(const ServeOptions& options) {
  SystemClock clock;
  MetricRegistry metrics;
  ModelRepository repository;
  RowNumbers numbers(InstanceId::Random());
  for (const std::string& model : options.models)
    SKERRY_RETURN_IF_ERROR(PutModel(repository, model));
  ScoringServerOptions server_options;
  SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(options.http));
  server_options.http.address = at.host;
  server_options.http.port = at.port;
  server_options.http.loops = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  server_options.parts.repository = &repository;
  server_options.parts.row_numbers = &numbers;
  server_options.parts.clock = &clock;
  server_options.parts.metrics = &metrics;
  server_options.parts.server_version = SKERRY_VERSION;
  RpcServerOptions rpc_options;
  rpc_options.parts = server_options.parts;
  SKERRY_ASSIGN_OR_RETURN(auto server, ScoringServer::Start(std::move(server_options)));
  std::printf("serving on http://%s:%u\n", at.host.c_str(), server->port());
  std::unique_ptr<RpcServer> rpc;
  if (!options.grpc.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const HostPort rpc_at, ParseHostPort(options.grpc));
    rpc_options.address = rpc_at.host;
    rpc_options.port = rpc_at.port;
    SKERRY_ASSIGN_OR_RETURN(rpc, RpcServer::Start(std::move(rpc_options)));
    std::printf("serving gRPC on %s:%u\n", rpc_at.host.c_str(), rpc->port());
  }
  std::fflush(stdout);
  WaitForEndSignal();
  const std::jthread rpc_drain([&rpc] {
    if (rpc) rpc->Drain(limits::kSiteDrain);
  });
  server->Drain(limits::kSiteDrain);
  return {};
}

}  // namespace

CommandRun DeclareServe(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  app.add_option("model", options->models,
                 "[NAME=]PATH: a model package's directory or a bare .onnx file")
      ->required();
  app.add_option("--http", options->http, "address and port; port 0 is the system's choice")
      ->capture_default_str();
  app.add_option("--grpc", options->grpc, "address and port of gRPC; off by default");
  return [options] { return RunServe(*options); };
}

}  // namespace skerry
