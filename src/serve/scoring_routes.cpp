#include "serve/scoring_routes.h"

#include <memory>
#include <utility>

#include "serve/openapi.h"
#include "serve/repository_service.h"
#include "serve/score_service.h"
#include "serve/scoring_service.h"

namespace skerry {

namespace {

// Makes handlers of a service's member functions; each holds the service.
template <typename Service>
auto HandlersOf(const ScoringParts& parts) {
  return [service = std::make_shared<const Service>(parts)](
             void (Service::*handler)(HttpRequest&, Responder) const) {
    return [service, handler](HttpRequest& request, Responder responder) {
      ((*service).*handler)(request, std::move(responder));
    };
  };
}

}  // namespace

std::vector<Route> ScoringRoutes(const ScoringParts& parts) {
  const auto call = HandlersOf<ScoringService>(parts);
  const auto extension = HandlersOf<RepositoryService>(parts);
  const auto score = HandlersOf<ScoreService>(parts);
  constexpr RouteKind kInline = RouteKind::kInline;
  constexpr RouteKind kPooled = RouteKind::kPooled;
  std::vector<Route> routes = {
      {"GET", "/v2", kInline, call(&ScoringService::ServerMetadata)},
      {"GET", "/v2/health/live", kInline, call(&ScoringService::Live)},
      {"GET", "/v2/health/ready", kInline, call(&ScoringService::Ready)},
      {"GET", "/v2/models/{model}", kInline, call(&ScoringService::ModelMetadata)},
      {"GET", "/v2/models/{model}/ready", kInline, call(&ScoringService::ModelReady)},
      {"GET", "/v2/models/{model}/versions/{version}", kInline,
       call(&ScoringService::ModelMetadata)},
      {"GET", "/v2/models/{model}/versions/{version}/ready", kInline,
       call(&ScoringService::ModelReady)},
      {"POST", "/v2/models/{model}/infer", kInline, call(&ScoringService::Infer)},
      {"POST", "/v2/models/{model}/versions/{version}/infer", kInline,
       call(&ScoringService::Infer)},
      {"GET", "/v2/models/stats", kPooled, extension(&RepositoryService::Statistics)},
      {"GET", "/v2/models/{model}/stats", kPooled, extension(&RepositoryService::Statistics)},
      {"GET", "/v2/models/{model}/versions/{version}/stats", kPooled,
       extension(&RepositoryService::Statistics)},
      {"GET", "/v2/models/{model}/config", kPooled, extension(&RepositoryService::Config)},
      {"GET", "/v2/models/{model}/versions/{version}/config", kPooled,
       extension(&RepositoryService::Config)},
      {"POST", "/v2/repository/index", kPooled, extension(&RepositoryService::Index)},
      {"POST", "/v2/repository/models/{model}/load", kPooled, extension(&RepositoryService::Load)},
      {"POST", "/v2/repository/models/{model}/unload", kPooled,
       extension(&RepositoryService::Unload)},
      {"GET", "/openapi.json", kInline,
       [](HttpRequest&, Responder responder) {
         responder.Send(HttpResponse::JsonText(200, std::string(OpenApiDocument())));
       }},
      {"GET", "/v1/models", kInline, call(&ScoringService::ListModels)},
      {"POST", "/v1/score", kInline, score(&ScoreService::Score)}};
  routes.back().choose_kind = ScoreService::KindOf;
  for (Route& route : routes) route.coding = RouteCoding::kOffered;
  return routes;
}

}  // namespace skerry
