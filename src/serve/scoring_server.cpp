#include "serve/scoring_server.h"

#include <iterator>
#include <utility>

#include "serve/access.h"

namespace skerry {

ScoringServer::ScoringServer(ModelRepository& repository, std::unique_ptr<HttpServer> server)
    : repository_(&repository), server_(std::move(server)) {}

ScoringServer::~ScoringServer() = default;

Result<std::unique_ptr<ScoringServer>> ScoringServer::Start(ScoringServerOptions options) {
  const ScoringParts& parts = options.parts;
  if (parts.repository == nullptr || parts.row_numbers == nullptr || parts.clock == nullptr ||
      parts.metrics == nullptr)
    return Fail(ErrorCode::kInvalidArgument,
                "a scoring server needs a repository, row numbers, a clock and metrics");
  std::vector<Route> routes = ScoringRoutes(parts);
  MetricRegistry* metrics = parts.metrics;
  const ModelRepository* repository = parts.repository;
  routes.push_back({"GET", "/metrics", RouteKind::kPooled,
                    [metrics, repository](HttpRequest&, Responder responder) {
                      std::string text = metrics->RenderPrometheusText();
                      if (const auto readings = repository->Statistics("", ""))
                        text += TritonMetricsText(*readings);
                      responder.Send(
                          HttpResponse::Text(200, std::move(text), "text/plain; version=0.0.4"));
                    }});
  routes.back().coding = RouteCoding::kOffered;
  if (parts.api_keys != nullptr) GuardRoutes(*parts.api_keys, routes);
  routes.insert(routes.begin(), std::make_move_iterator(options.more_routes.begin()),
                std::make_move_iterator(options.more_routes.end()));
  SKERRY_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server,
                          HttpServer::Start(std::move(options.http), std::move(routes), *metrics));
  return std::unique_ptr<ScoringServer>(new ScoringServer(*parts.repository, std::move(server)));
}

std::uint16_t ScoringServer::port() const { return server_->port(); }

Status ScoringServer::ReplaceTls(const TlsServerOptions& options) {
  return server_->ReplaceTls(options);
}

void ScoringServer::Drain(std::chrono::milliseconds longest) {
  repository_->SetReady(false);
  server_->Drain(longest);
}

}  // namespace skerry
