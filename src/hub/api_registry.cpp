// Handlers of HubApi: what an operator does with the registry.
#include "hub/api.h"
#include "oci/registry_limits.h"

namespace skerry {
namespace {

Result<std::vector<RepositoryRight>> RightsOf(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("rights"));
  std::vector<RepositoryRight> rights;
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(RepositoryRight right,
                            RepositoryRight::FromJson((*list)[i], object.ElementPath("rights", i)));
    rights.push_back(std::move(right));
  }
  return rights;
}

}  // namespace

Result<HttpResponse> HubApi::IssueRegistryToken(const HttpRequest& request) {
  return parts_.access->IssueToken(request);
}

Result<HttpResponse> HubApi::ListAccounts(const HttpRequest& /*request*/) {
  Json list = Json::array();
  for (const RegistryAccount& account : parts_.accounts->List()) list.push_back(account.ToJson());
  return JsonResponse({{"accounts", std::move(list)}});
}

Result<HttpResponse> HubApi::AddAccount(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "account");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"name", "rights", "expires_us"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<RepositoryRight> rights, RightsOf(object));
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t expires_us, object.IntOr("expires_us", 0));
  if (expires_us < 0)
    return Fail(ErrorCode::kInvalidArgument, "expires_us: microseconds since 1970, or 0");
  SKERRY_ASSIGN_OR_RETURN(const std::string secret, parts_.accounts->Add(name, rights, expires_us));
  return JsonResponse({{"name", name}, {"secret", secret}}, 201);
}

Result<HttpResponse> HubApi::PutAccount(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "account");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"rights"}));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<RepositoryRight> rights, RightsOf(object));
  SKERRY_RETURN_IF_ERROR(parts_.accounts->SetRights(request.Param("account"), rights));
  return JsonResponse({{"name", request.Param("account")}});
}

Result<HttpResponse> HubApi::DeleteAccount(const HttpRequest& request) {
  SKERRY_RETURN_IF_ERROR(parts_.accounts->Remove(request.Param("account")));
  return JsonResponse({{"name", request.Param("account")}});
}

Result<HttpResponse> HubApi::ListRules(const HttpRequest& /*request*/) {
  Json list = Json::array();
  for (const RegistryRule& rule : parts_.rulebook->List()) {
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, parts_.registry->BytesBelow(rule.prefix));
    list.push_back({{"prefix", rule.prefix},
                    {"immutable_tags", rule.immutable_tags},
                    {"quota_bytes", rule.quota_bytes},
                    {"used_bytes", used}});
  }
  return JsonResponse({{"rules", std::move(list)}});
}

Result<HttpResponse> HubApi::PutRule(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "rule");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"prefix", "immutable_tags", "quota_bytes"}));
  RegistryRule rule;
  SKERRY_ASSIGN_OR_RETURN(rule.prefix, object.String("prefix"));
  SKERRY_ASSIGN_OR_RETURN(rule.immutable_tags, object.BoolOr("immutable_tags", false));
  SKERRY_ASSIGN_OR_RETURN(rule.quota_bytes, object.UintOr("quota_bytes", 0));
  SKERRY_RETURN_IF_ERROR(parts_.rulebook->Set(rule));
  return JsonResponse({{"prefix", rule.prefix}});
}

Result<HttpResponse> HubApi::DeleteRule(const HttpRequest& request) {
  SKERRY_RETURN_IF_ERROR(parts_.rulebook->Remove(request.Query("prefix")));
  return JsonResponse({{"prefix", request.Query("prefix")}});
}

Result<HttpResponse> HubApi::CollectRegistry(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "collect");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"grace_s"}));
  constexpr std::chrono::seconds kUsual = limits::kBlobGrace;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t grace_s,
                          object.UintOr("grace_s", static_cast<std::uint64_t>(kUsual.count())));
  if (grace_s > static_cast<std::uint64_t>(kUsual.count()))
    return Fail(ErrorCode::kInvalidArgument, "grace_s: at most {}", kUsual.count());
  SKERRY_ASSIGN_OR_RETURN(const CollectReport report,
                          parts_.keeper->CollectNow(std::chrono::seconds(grace_s)));
  return JsonResponse(report.ToJson());
}

}  // namespace skerry
