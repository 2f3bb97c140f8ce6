// The hub's HTTP API: one visible table of routes (api.cpp), who may call each, and their handlers.
// The page for callers is docs/api.md.
//
// Who may: `kOpen` anyone; `kAdmin` the bearer of the admin token (`Authorization: Bearer`, or
// Basic with user `admin`); `kSite` a site for itself, by its client certificate, and the admin;
// `kAnySite` any site of this hub, and the admin.
// With an open registry (plain HTTP on loopback, for tests of tools) a site needs no certificate:
// what it sends is verified by its signature either way.
//
// Owned by Hub; borrows what it is given, which outlives the server. Thread-safe: handlers run on
// the server's pool and answer before they return.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "codec/json.h"
#include "http/message.h"
#include "http/server.h"
#include "hub/bundle_desk.h"
#include "hub/clock_corrector.h"
#include "hub/delta_desk.h"
#include "hub/desired_desk.h"
#include "hub/ingest.h"
#include "hub/join_desk.h"
#include "hub/lake.h"
#include "hub/model_shelf.h"
#include "hub/receipt_shelf.h"
#include "hub/registry_access.h"
#include "hub/registry_keeper.h"
#include "hub/registry_rulebook.h"
#include "hub/run_desk.h"
#include "hub/store.h"
#include "hub/trust_desk.h"
#include "oci/registry.h"

namespace skerry {

struct HubApiParts {
  HubStore* store = nullptr;
  Ingest* ingest = nullptr;
  ReceiptShelf* receipts = nullptr;
  JoinDesk* join = nullptr;
  DesiredDesk* desired = nullptr;
  TrustDesk* trust = nullptr;
  ModelShelf* shelf = nullptr;
  RunDesk* runs = nullptr;
  LakeReader* lake = nullptr;
  ClockCorrector* clocks = nullptr;
  BundleDesk* bundles = nullptr;
  DeltaDesk* deltas = nullptr;
  RegistryKeeper* keeper = nullptr;
  RegistryAccounts* accounts = nullptr;
  RegistryAccess* access = nullptr;
  RegistryRulebook* rulebook = nullptr;
  Registry* registry = nullptr;
  MetricRegistry* metrics = nullptr;
  const Clock* clock = nullptr;
  std::string admin_token;
  bool open_registry = false;
};

class HubApi {
 public:
  explicit HubApi(HubApiParts parts) : parts_(std::move(parts)) {}

  std::vector<Route> Routes();
  // By which sites and others reach this hub; goes into join tokens.
  void SetUrl(std::string url);
  std::string Url() const;

  // For the registry's hook: the admin may do everything, a site may read models, policies,
  // releases and patches and use its own outbox and receipts.
  Status AuthorizeRegistry(const HttpRequest& request, std::string_view repository,
                           RegistryAction action);
  // What a 401 of the registry asks for.
  std::string RegistryChallenge(const HttpRequest& request, std::string_view repository,
                                RegistryAction action) const;

 private:
  enum class Access { kOpen, kAdmin, kSite, kAnySite };
  using Method = Result<HttpResponse> (HubApi::*)(const HttpRequest&);
  struct ApiRoute {
    std::string_view method;
    std::string_view pattern;
    Access access;
    Method handler;
  };
  static const ApiRoute kRoutes[];

  bool IsAdmin(const HttpRequest& request) const;
  // The site whose certificate came with the request, when that has not expired and its key is
  // still the site's; kUnauthenticated.
  Result<std::string> SiteOf(const HttpRequest& request);
  Status Authorize(const HttpRequest& request, Access access);
  void Answer(HttpRequest& request, Responder responder, const ApiRoute& route);

  // api.cpp
  Result<HttpResponse> Health(const HttpRequest& request);
  Result<HttpResponse> Metrics(const HttpRequest& request);
  // api_sites.cpp
  Result<HttpResponse> CreateToken(const HttpRequest& request);
  Result<HttpResponse> Join(const HttpRequest& request);
  Result<HttpResponse> RenewCertificate(const HttpRequest& request);
  Result<HttpResponse> RevokeSite(const HttpRequest& request);
  Result<HttpResponse> AcknowledgeSite(const HttpRequest& request);
  Result<HttpResponse> GetLineage(const HttpRequest& request);
  // Of the lake, the site's records of that class.
  Result<std::vector<std::string>> FilesOf(std::string_view site, RecordClass cls);
  Result<HttpResponse> ListSites(const HttpRequest& request);
  Result<HttpResponse> GetSite(const HttpRequest& request);
  Result<HttpResponse> GetReconciliation(const HttpRequest& request);
  Result<HttpResponse> PostStatus(const HttpRequest& request);
  Result<HttpResponse> GetReceipt(const HttpRequest& request);
  Result<HttpResponse> PostReceipt(const HttpRequest& request);
  Result<HttpResponse> PutDesired(const HttpRequest& request);
  Result<HttpResponse> PutRelease(const HttpRequest& request);
  Result<HttpResponse> FindDelta(const HttpRequest& request);
  Result<HttpResponse> ListBundles(const HttpRequest& request);
  Result<HttpResponse> ImportBundle(const HttpRequest& request);
  Result<HttpResponse> ExportBundle(const HttpRequest& request);
  Result<HttpResponse> GetBundleProgress(const HttpRequest& request);
  // api_registry.cpp
  Result<HttpResponse> CollectRegistry(const HttpRequest& request);
  Result<HttpResponse> IssueRegistryToken(const HttpRequest& request);
  Result<HttpResponse> ListAccounts(const HttpRequest& request);
  Result<HttpResponse> AddAccount(const HttpRequest& request);
  Result<HttpResponse> PutAccount(const HttpRequest& request);
  Result<HttpResponse> DeleteAccount(const HttpRequest& request);
  Result<HttpResponse> ListRules(const HttpRequest& request);
  Result<HttpResponse> PutRule(const HttpRequest& request);
  Result<HttpResponse> DeleteRule(const HttpRequest& request);
  // api_trust.cpp
  Result<HttpResponse> GetTufMetadata(const HttpRequest& request);
  Result<HttpResponse> GetTufTarget(const HttpRequest& request);
  Result<HttpResponse> GetTrust(const HttpRequest& request);
  Result<HttpResponse> RotateKey(const HttpRequest& request);
  Result<HttpResponse> PutRootKeys(const HttpRequest& request);
  Result<HttpResponse> GetDraftRoot(const HttpRequest& request);
  Result<HttpResponse> PostRoot(const HttpRequest& request);
  Result<HttpResponse> PutGroup(const HttpRequest& request);
  // api_records.cpp
  Result<HttpResponse> LookupRows(const HttpRequest& request);
  Result<HttpResponse> Overview(const HttpRequest& request);
  Result<HttpResponse> Anomalies(const HttpRequest& request);
  Result<HttpResponse> Insights(const HttpRequest& request);
  Result<HttpResponse> Drift(const HttpRequest& request);
  // api_models.cpp
  Result<HttpResponse> ListModels(const HttpRequest& request);
  Result<HttpResponse> PostPolicy(const HttpRequest& request);
  Result<HttpResponse> PostLabels(const HttpRequest& request);
  Result<HttpResponse> GetLabels(const HttpRequest& request);
  Result<HttpResponse> PostRun(const HttpRequest& request);
  Result<HttpResponse> ListRuns(const HttpRequest& request);
  Result<HttpResponse> GetRun(const HttpRequest& request);
  Result<HttpResponse> GetRunLog(const HttpRequest& request);
  Result<HttpResponse> CancelRun(const HttpRequest& request);
  Result<HttpResponse> GetAudit(const HttpRequest& request);

  Result<Json> SiteJson(Database& db, const SiteRecord& record);

  const HubApiParts parts_;
  mutable std::mutex mutex_;  // guards url_, which is known only when the server listens
  std::string url_;
};

// Compact JSON with its content type.
HttpResponse JsonResponse(const Json& json, int status = 200);
// A query parameter that is a whole number of at most `most`; `fallback` when absent.
Result<std::uint64_t> QueryUint(const HttpRequest& request, std::string_view name,
                                std::uint64_t fallback, std::uint64_t most);
// How far a site's receipts are. kNotFound: no such site.
struct SiteReceiptPosition {
  std::string incarnation;
  std::uint64_t counter = 0;
};
Result<SiteReceiptPosition> ReadReceiptPosition(HubStore& store, std::string_view site);
// What a route answers that serves the app's files: gzipped, with a strict content security policy.
std::vector<Route> WebRoutes();

}  // namespace skerry
