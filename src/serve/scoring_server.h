// A server of the scoring routes: what `skerry serve` runs alone and `skerry site` runs with its
// own routes beside.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "base/error.h"
#include "http/server.h"
#include "serve/scoring_routes.h"

namespace skerry {

struct ScoringServerOptions {
  HttpServerOptions http;
  ScoringParts parts;
  std::vector<Route> more_routes;  // put before the scoring routes; parts.api_keys is not theirs
};

// Start -> serves until Drain or destruction. Adds GET /metrics (Prometheus text of parts.metrics).
class ScoringServer {
 public:
  // kUnavailable when the port is in use (the message names it), kInvalidArgument when a part is
  // missing.
  static Result<std::unique_ptr<ScoringServer>> Start(ScoringServerOptions options);
  ~ScoringServer();

  std::uint16_t port() const;
  Status ReplaceTls(const TlsServerOptions& options);  // HttpServer's
  // Not ready any more, no new connections, requests under way are answered.
  void Drain(std::chrono::milliseconds longest);

 private:
  ScoringServer(ModelRepository& repository, std::unique_ptr<HttpServer> server);
  ModelRepository* repository_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace skerry
