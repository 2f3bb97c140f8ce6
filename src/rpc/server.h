// The gRPC server of the scoring API: inference.GRPCInferenceService (proto/open_inference.proto),
// grpc.health.v1.Health and server reflection, on grpc++.
//
// Role: a second door to the models of a ModelRepository, beside the HTTP server; the answers are
// those of the REST routes. Start -> serves until Drain or destruction; owns the library's threads.
// Scoring runs on them, inline. With capture sync an answer follows the durable commit.
//
// With parts.api_keys every call needs the metadata `authorization: Bearer KEY`, but those of
// health (ServerLive, ServerReady, grpc.health.v1) and reflection.
//
// Status codes: UNAUTHENTICATED, INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, RESOURCE_EXHAUSTED (also
// a message over the limit), DEADLINE_EXCEEDED and CANCELLED (before work began), UNIMPLEMENTED,
// INTERNAL, with the message that REST would give. Source: Open Inference Protocol v2 (gRPC), gRPC
// health checking v1, gRPC server reflection v1alpha.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/limits.h"
#include "http/server.h"
#include "serve/scoring_routes.h"

namespace skerry {

struct RpcServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;               // 0: the kernel's choice
  std::optional<TlsServerOptions> tls;  // none: plain text
  PlainHttp plain = PlainHttp::kLoopback;
  std::size_t max_message_bytes = limits::kRpcMessageBytes;  // of a request
  ScoringParts parts;                                        // borrowed; outlive the server
};

class RpcServer {
 public:
  // Listens on return. kUnavailable when the port is in use (named), kInvalidArgument for plain
  // text on an address where it may not listen, or for a missing part.
  static Result<std::unique_ptr<RpcServer>> Start(RpcServerOptions options);
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;
  ~RpcServer();  // Drain(0)

  std::uint16_t port() const;
  // For the connections that come from now on; those that are there go on as they are. Any thread.
  // kInvalidArgument as CheckTls, kFailedPrecondition for plain text: nothing changes.
  Status ReplaceTls(const TlsServerOptions& options);
  // Health says NOT_SERVING, nothing more is accepted, calls under way are answered; what is left
  // after `longest` ends with CANCELLED or UNAVAILABLE. Repeats are harmless.
  void Drain(std::chrono::milliseconds longest);

 private:
  struct Impl;
  explicit RpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
