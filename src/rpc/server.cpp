#include "rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "http/url.h"
#include "rpc/inference_service.h"
#include "rpc/tls_credentials.h"

namespace skerry {
namespace {

constexpr const char* kServiceName = "inference.GRPCInferenceService";

}  // namespace

struct RpcServer::Impl {
  explicit Impl(ScoringParts parts) : service(std::move(parts)) {}
  InferenceService service;
  std::shared_ptr<rpc_detail::TlsCredentials> tls;  // null: plain text
  int port = 0;
  std::unique_ptr<grpc::Server> server;  // goes first: calls use the service
};

Result<std::unique_ptr<RpcServer>> RpcServer::Start(RpcServerOptions options) {
  const ScoringParts& parts = options.parts;
  if (parts.repository == nullptr || parts.row_numbers == nullptr || parts.clock == nullptr ||
      parts.metrics == nullptr)
    return Fail(ErrorCode::kInvalidArgument, "the gRPC server was started without all its parts");
  if (!options.tls && options.plain == PlainHttp::kLoopback && !IsLoopback(options.address))
    return Fail(ErrorCode::kInvalidArgument,
                "gRPC in plain text is served on loopback addresses only, not on {}; give a "
                "certificate and key",
                options.address);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto impl = std::make_unique<Impl>(std::move(options.parts));
  const bool v6 = options.address.find(':') != std::string::npos;
  const std::string host = v6 ? fmt::format("[{}]", options.address) : options.address;
  const std::string at = fmt::format("{}:{}", host, options.port);
  grpc::ServerBuilder builder;
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (options.tls) {
    SKERRY_RETURN_IF_ERROR(CheckTls(*options.tls));
    impl->tls = std::make_shared<rpc_detail::TlsCredentials>(*options.tls);
    credentials = impl->tls;
  } else {
    credentials = grpc::InsecureServerCredentials();
  }
  builder.AddListeningPort(at, credentials, &impl->port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits::kRpcStreams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits::kHeaderBytes));
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.RegisterService(&impl->service);
  impl->server = builder.BuildAndStart();
  if (!impl->server || impl->port == 0)
    return Fail(ErrorCode::kUnavailable, "cannot serve gRPC on {}: the port is in use", at);
  impl->server->GetHealthCheckService()->SetServingStatus(kServiceName, true);
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RpcServer::~RpcServer() { Drain(std::chrono::milliseconds(0)); }

Status RpcServer::ReplaceTls(const TlsServerOptions& options) {
  if (impl_->tls) return impl_->tls->Replace(options);
  return Fail(ErrorCode::kFailedPrecondition, "this gRPC server speaks plain text");
}

std::uint16_t RpcServer::port() const { return static_cast<std::uint16_t>(impl_->port); }

void RpcServer::Drain(std::chrono::milliseconds longest) {
  if (!impl_->server) return;
  impl_->server->GetHealthCheckService()->SetServingStatus(false);
  impl_->server->Shutdown(std::chrono::system_clock::now() + longest);
  impl_->server->Wait();
  impl_->server.reset();
}

}  // namespace skerry
