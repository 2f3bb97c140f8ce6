// Handlers of HubApi: the TUF repository, as sites read it and as the admin turns its keys.
#include "base/limits.h"
#include "http/status.h"
#include "hub/api.h"
#include "hub/trust_desk.h"

namespace skerry {
namespace {

Result<HttpResponse> FileResponse(Result<std::string> bytes) {
  if (!bytes) return tl::make_unexpected(bytes.error());
  return HttpResponse::JsonText(200, std::move(*bytes));
}

}  // namespace

Result<HttpResponse> HubApi::GetTufMetadata(const HttpRequest& request) {
  auto bytes = parts_.trust->File("metadata/" + request.Param("file"));
  if (!bytes) return tl::make_unexpected(bytes.error());
  HttpResponse response = HttpResponse::JsonText(200, std::move(*bytes));
  // The first question of a round of the exchange (the timestamp, `?site=`) is answered with how
  // far the hub's receipts are: a site that holds a later one knows at once that the hub was
  // restored.
  const std::string site = request.Query("site");
  if (site.empty()) return response;
  if (!parts_.open_registry && !IsAdmin(request)) {
    SKERRY_ASSIGN_OR_RETURN(const std::string caller, SiteOf(request));
    if (caller != site)
      return Fail(ErrorCode::kPermissionDenied, "the site {} may not ask for {}", caller, site);
  }
  if (const auto position = ReadReceiptPosition(*parts_.store, site); position)
    response.SetHeader("Skerry-Receipt",
                       fmt::format("{}-{}", position->incarnation, position->counter));
  return response;
}

Result<HttpResponse> HubApi::GetTufTarget(const HttpRequest& request) {
  return FileResponse(parts_.trust->File(
      fmt::format("targets/sites/{}/{}", request.Param("site"), request.Param("file"))));
}

Result<HttpResponse> HubApi::GetTrust(const HttpRequest&) {
  SKERRY_ASSIGN_OR_RETURN(const Json facts, parts_.trust->Facts());
  return JsonResponse(facts);
}

Result<HttpResponse> HubApi::RotateKey(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "rotate");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"role"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string role, object.String("role"));
  SKERRY_RETURN_IF_ERROR(parts_.trust->Rotate(role));
  return GetTrust(request);
}

Result<HttpResponse> HubApi::PutRootKeys(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "root_keys");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"threshold", "key_pems"}));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t threshold, object.Uint("threshold"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> keys, object.Strings("key_pems"));
  SKERRY_RETURN_IF_ERROR(parts_.trust->SetRootKeys(threshold, keys));
  return GetTrust(request);
}

Result<HttpResponse> HubApi::GetDraftRoot(const HttpRequest&) {
  return FileResponse(parts_.trust->Draft());
}

Result<HttpResponse> HubApi::PostRoot(const HttpRequest& request) {
  SKERRY_RETURN_IF_ERROR(parts_.trust->TakeRoot(request.body));
  return GetTrust(request);
}

Result<HttpResponse> HubApi::PutGroup(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "group");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"sites"}));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> sites, object.Strings("sites"));
  SKERRY_RETURN_IF_ERROR(parts_.trust->SetGroup(request.Param("group"),
                                                std::set<std::string>(sites.begin(), sites.end())));
  return GetTrust(request);
}

}  // namespace skerry
