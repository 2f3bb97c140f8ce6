#include "hub/api.h"

#include <charconv>

#include "base/limits.h"
#include "base/log.h"
#include "codec/text.h"
#include "crypto/certificate.h"
#include "crypto/digest.h"
#include "http/status.h"
#include "hub/site_directory.h"

namespace skerry {

const HubApi::ApiRoute HubApi::kRoutes[] = {
    {"GET", "/healthz", Access::kOpen, &HubApi::Health},
    {"GET", "/metrics", Access::kOpen, &HubApi::Metrics},

    {"POST", "/v1/tokens", Access::kAdmin, &HubApi::CreateToken},
    {"POST", "/v1/join", Access::kOpen, &HubApi::Join},  // proves itself by its token

    {"GET", "/v1/sites", Access::kAdmin, &HubApi::ListSites},
    {"GET", "/v1/sites/{site}", Access::kAdmin, &HubApi::GetSite},
    {"GET", "/v1/sites/{site}/reconciliation", Access::kAdmin, &HubApi::GetReconciliation},
    {"POST", "/v1/sites/{site}/rows/lookup", Access::kAdmin, &HubApi::LookupRows},
    // Proves itself by its signature, so a certificate that has expired is none too few.
    {"POST", "/v1/sites/{site}/certificate", Access::kOpen, &HubApi::RenewCertificate},
    {"POST", "/v1/sites/{site}/revoke", Access::kAdmin, &HubApi::RevokeSite},
    {"POST", "/v1/sites/{site}/acknowledge", Access::kAdmin, &HubApi::AcknowledgeSite},
    {"GET", "/v1/sites/{site}/lineage", Access::kAdmin, &HubApi::GetLineage},
    {"POST", "/v1/sites/{site}/status", Access::kSite, &HubApi::PostStatus},
    {"GET", "/v1/sites/{site}/receipt", Access::kSite, &HubApi::GetReceipt},
    {"POST", "/v1/sites/{site}/receipt", Access::kSite, &HubApi::PostReceipt},
    {"PUT", "/v1/sites/{site}/desired", Access::kAdmin, &HubApi::PutDesired},
    {"PUT", "/v1/sites/{site}/release", Access::kAdmin, &HubApi::PutRelease},
    {"POST", "/v1/sites/{site}/deltas", Access::kSite, &HubApi::FindDelta},

    {"GET", "/tuf/metadata/{file}", Access::kAnySite, &HubApi::GetTufMetadata},
    {"GET", "/tuf/targets/sites/{site}/{file}", Access::kSite, &HubApi::GetTufTarget},
    {"GET", "/v1/trust", Access::kAdmin, &HubApi::GetTrust},
    {"POST", "/v1/trust/rotate", Access::kAdmin, &HubApi::RotateKey},
    {"PUT", "/v1/trust/root-keys", Access::kAdmin, &HubApi::PutRootKeys},
    {"GET", "/v1/trust/draft", Access::kAdmin, &HubApi::GetDraftRoot},
    {"POST", "/v1/trust/root", Access::kAdmin, &HubApi::PostRoot},
    {"PUT", "/v1/groups/{group}", Access::kAdmin, &HubApi::PutGroup},

    {"GET", "/v1/overview", Access::kAdmin, &HubApi::Overview},
    {"GET", "/v1/anomalies", Access::kAdmin, &HubApi::Anomalies},
    {"GET", "/v1/insights", Access::kAdmin, &HubApi::Insights},
    {"GET", "/v1/drift", Access::kAdmin, &HubApi::Drift},

    {"GET", "/v1/models", Access::kAdmin, &HubApi::ListModels},
    {"POST", "/v1/policies", Access::kAdmin, &HubApi::PostPolicy},
    {"POST", "/v1/labels", Access::kAdmin, &HubApi::PostLabels},
    {"GET", "/v1/labels", Access::kAdmin, &HubApi::GetLabels},
    {"POST", "/v1/runs", Access::kAdmin, &HubApi::PostRun},
    {"GET", "/v1/runs", Access::kAdmin, &HubApi::ListRuns},
    {"GET", "/v1/runs/{run}", Access::kAdmin, &HubApi::GetRun},
    {"GET", "/v1/runs/{run}/log", Access::kAdmin, &HubApi::GetRunLog},
    {"POST", "/v1/runs/{run}/cancel", Access::kAdmin, &HubApi::CancelRun},

    {"GET", "/v1/bundles", Access::kAdmin, &HubApi::ListBundles},
    {"POST", "/v1/bundles/import", Access::kAdmin, &HubApi::ImportBundle},
    {"POST", "/v1/bundles/export", Access::kAdmin, &HubApi::ExportBundle},
    {"GET", "/v1/bundles/progress", Access::kAdmin, &HubApi::GetBundleProgress},
    // Proves itself by name and secret.
    {"GET", kTokenPath, Access::kOpen, &HubApi::IssueRegistryToken},
    {"POST", kTokenPath, Access::kOpen, &HubApi::IssueRegistryToken},
    {"GET", "/v1/registry/accounts", Access::kAdmin, &HubApi::ListAccounts},
    {"POST", "/v1/registry/accounts", Access::kAdmin, &HubApi::AddAccount},
    {"PUT", "/v1/registry/accounts/{account}", Access::kAdmin, &HubApi::PutAccount},
    {"DELETE", "/v1/registry/accounts/{account}", Access::kAdmin, &HubApi::DeleteAccount},
    {"GET", "/v1/registry/rules", Access::kAdmin, &HubApi::ListRules},
    {"PUT", "/v1/registry/rules", Access::kAdmin, &HubApi::PutRule},
    {"DELETE", "/v1/registry/rules", Access::kAdmin, &HubApi::DeleteRule},
    {"POST", "/v1/registry/collect", Access::kAdmin, &HubApi::CollectRegistry},

    {"GET", "/v1/audit", Access::kAdmin, &HubApi::GetAudit},
};

std::vector<Route> HubApi::Routes() {
  std::vector<Route> routes;
  for (const ApiRoute& route : kRoutes) {
    routes.push_back({.method = std::string(route.method),
                      .pattern = std::string(route.pattern),
                      .kind = RouteKind::kPooled,
                      .handler = [this, &route](HttpRequest& request, Responder responder) {
                        Answer(request, std::move(responder), route);
                      }});
  }
  for (Route& route : WebRoutes()) routes.push_back(std::move(route));
  return routes;
}

void HubApi::Answer(HttpRequest& request, Responder responder, const ApiRoute& route) {
  if (Status allowed = Authorize(request, route.access); !allowed) {
    HttpResponse refusal = ErrorResponse(allowed.error());
    if (allowed.error().code() == ErrorCode::kUnauthenticated)
      refusal.SetHeader("WWW-Authenticate", "Bearer realm=\"skerry\"");
    return responder.Send(std::move(refusal));
  }
  auto response = (this->*route.handler)(request);
  if (response) return responder.Send(std::move(*response));
  if (response.error().code() == ErrorCode::kInternal)
    LogError("request failed route=\"{} {}\" reason=\"{}\"", route.method, route.pattern,
             response.error().message());
  responder.Send(ErrorResponse(response.error()));
}

void HubApi::SetUrl(std::string url) {
  const std::lock_guard lock(mutex_);
  url_ = std::move(url);
}

std::string HubApi::Url() const {
  const std::lock_guard lock(mutex_);
  return url_;
}

bool HubApi::IsAdmin(const HttpRequest& request) const {
  constexpr std::string_view kBearer = "Bearer ";
  constexpr std::string_view kBasic = "Basic ";
  const std::string_view given = request.Header("Authorization");
  if (given.starts_with(kBearer))
    return ConstantTimeEqual(given.substr(kBearer.size()), parts_.admin_token);
  if (!given.starts_with(kBasic)) return false;
  const auto decoded = DecodeBase64(given.substr(kBasic.size()));
  return decoded && ConstantTimeEqual(*decoded, "admin:" + parts_.admin_token);
}

Result<std::string> HubApi::SiteOf(const HttpRequest& request) {
  // The server has verified the chain; what is left is whether the key is still this site's, and
  // the end. A certificate of ours that is too new says that our clock is behind, and nothing else.
  if (!request.peer.certificate_pem.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const CertificateFacts facts,
                            ParseCertificate(request.peer.certificate_pem));
    SKERRY_ASSIGN_OR_RETURN(const bool known, parts_.store->Read([&](Database& db) {
      return SiteDirectory(db).HasKey(facts.common_name, facts.key.key_id());
    }));
    if (known && facts.not_after_us <= parts_.clock->UtcMicros())
      return Fail(ErrorCode::kUnauthenticated,
                  "the certificate of the site {} expired on {}: renew it with POST "
                  "/v1/sites/{}/certificate or by a bundle",
                  facts.common_name, FormatUtc(facts.not_after_us), facts.common_name);
    if (known) return facts.common_name;
    return Fail(ErrorCode::kUnauthenticated,
                "the key of this certificate is not one of the site {}, or was revoked; join again "
                "with a new token",
                facts.common_name);
  }
  return Fail(ErrorCode::kUnauthenticated,
              "this needs the admin token (Authorization: Bearer ...) or a site's certificate");
}

Status HubApi::Authorize(const HttpRequest& request, Access access) {
  if (access == Access::kOpen || IsAdmin(request)) return {};
  if (access == Access::kAdmin)
    return Fail(ErrorCode::kUnauthenticated,
                "this needs the admin token: Authorization: Bearer <content of admin.token>");
  if (parts_.open_registry) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::string site, SiteOf(request));
  if (access == Access::kSite && site != request.Param("site"))
    return Fail(ErrorCode::kPermissionDenied, "the site {} may not act for {}", site,
                request.Param("site"));
  return {};
}

Status HubApi::AuthorizeRegistry(const HttpRequest& request, std::string_view repository,
                                 RegistryAction action) {
  if (parts_.open_registry || IsAdmin(request)) return {};
  // A site shows its certificate and nothing else.
  if (request.peer.certificate_pem.empty() || !request.Header("Authorization").empty())
    return parts_.access->Authorize(request, repository, action);
  SKERRY_ASSIGN_OR_RETURN(const std::string site, SiteOf(request));
  const std::string own = fmt::format("sites/{}/", site);
  const bool pull = action == RegistryAction::kPull;
  const bool shared = repository.empty() || repository.starts_with("models/") ||
                      repository.starts_with("policies/") || repository.starts_with("releases/") ||
                      repository == kDeltaRepository;
  if (pull && (shared || repository.starts_with(own))) return {};
  if (action == RegistryAction::kPush && repository == own + "outbox") return {};
  return Fail(ErrorCode::kPermissionDenied, "the site {} may not do this in {}", site,
              repository.empty() ? "the registry" : repository);
}

std::string HubApi::RegistryChallenge(const HttpRequest& request, std::string_view repository,
                                      RegistryAction action) const {
  return RegistryAccess::Challenge(request, Url(), repository, action);
}

Result<HttpResponse> HubApi::Health(const HttpRequest&) {
  return HttpResponse::JsonText(200, R"({"status":"ok"})");
}

Result<HttpResponse> HubApi::Metrics(const HttpRequest&) {
  return HttpResponse::Text(200, parts_.metrics->RenderPrometheusText(),
                            "text/plain; version=0.0.4; charset=utf-8");
}

HttpResponse JsonResponse(const Json& json, int status) {
  return HttpResponse::JsonText(status, DumpJson(json));
}

Result<std::uint64_t> QueryUint(const HttpRequest& request, std::string_view name,
                                std::uint64_t fallback, std::uint64_t most) {
  if (!request.HasQuery(name)) return fallback;
  const std::string text = request.Query(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return Fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is not a whole number", name, text);
  if (value > most)
    return Fail(ErrorCode::kInvalidArgument, "{}: at most {} can be asked for", name, most);
  return value;
}

}  // namespace skerry
