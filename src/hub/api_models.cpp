// Handlers of HubApi: models, policies, labels, runs, the audit log.
#include "base/ids.h"
#include "base/limits.h"
#include "hub/api.h"
#include "hub/audit_log.h"
#include "hub/label_store.h"

namespace skerry {
namespace {

constexpr std::string_view kDefaultLabelSet = "default";

Result<std::vector<Label>> ReadLabels(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("labels"));
  if (list->size() > limits::kLabelsPerRequest)
    return Fail(ErrorCode::kTooLarge, "labels: at most {} in one request",
                limits::kLabelsPerRequest);
  std::vector<Label> labels;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject one((*list)[i], object.ElementPath("labels", i));
    SKERRY_RETURN_IF_ERROR(one.ForbidOthers({"row", "label"}));
    Label label;
    SKERRY_ASSIGN_OR_RETURN(const std::string row, one.String("row"));
    SKERRY_ASSIGN_OR_RETURN(label.row, RowId::Parse(row), one.path());
    SKERRY_ASSIGN_OR_RETURN(label.label, one.String("label"));
    if (label.label.empty() || label.label.size() > limits::kLabelBytes)
      return Fail(ErrorCode::kInvalidArgument, "{}.label: has 1 to {} bytes", one.path(),
                  limits::kLabelBytes);
    labels.push_back(std::move(label));
  }
  return labels;
}

}  // namespace

Result<HttpResponse> HubApi::ListModels(const HttpRequest&) {
  SKERRY_ASSIGN_OR_RETURN(const auto models, parts_.shelf->List());
  Json list = Json::array();
  for (const ShelvedModel& model : models)
    list.push_back({{"name", model.model.name},
                    {"version", model.model.version},
                    {"digest", model.model.digest.ToString()},
                    {"bytes", model.bytes},
                    {"signed", model.is_signed}});
  return JsonResponse({{"models", std::move(list)}});
}

Result<HttpResponse> HubApi::PostPolicy(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const PolicyRef policy, parts_.shelf->PutPolicy(request.body));
  Status noted = parts_.store->Write([&](Database& db) {
    return AuditLog(db).Append(parts_.clock->UtcMicros(), "admin", "policy.put", policy.ToString(),
                               {{"digest", policy.digest.ToString()}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(noted));
  return JsonResponse(
      {{"name", policy.name}, {"version", policy.version}, {"digest", policy.digest.ToString()}},
      201);
}

Result<HttpResponse> HubApi::PostLabels(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "body");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"set", "labels"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string set,
                          object.StringOr("set", std::string(kDefaultLabelSet)));
  SKERRY_RETURN_IF_ERROR(CheckName("label set", set));
  SKERRY_ASSIGN_OR_RETURN(const auto labels, ReadLabels(object));
  Status written = parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(LabelStore(db).Put(set, labels, now_us));
    return AuditLog(db).Append(now_us, "admin", "labels.put", set, {{"labels", labels.size()}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return JsonResponse({{"set", set}, {"stored", labels.size()}});
}

Result<HttpResponse> HubApi::GetLabels(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t limit,
                          QueryUint(request, "limit", limits::kListItems, limits::kListItems));
  const std::string set =
      request.HasQuery("set") ? request.Query("set") : std::string(kDefaultLabelSet);
  Json sets = Json::array();
  Json labels = Json::array();
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto all, LabelStore(db).Sets());
    for (const LabelSetFacts& one : all)
      sets.push_back({{"set", one.name}, {"labels", one.labels}, {"newest_us", one.newest_us}});
    SKERRY_ASSIGN_OR_RETURN(const auto rows, LabelStore(db).List(set, limit));
    for (const Label& label : rows)
      labels.push_back({{"row", label.row.ToString()}, {"label", label.label}});
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  return JsonResponse({{"sets", std::move(sets)}, {"set", set}, {"labels", std::move(labels)}});
}

Result<HttpResponse> HubApi::PostRun(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  SKERRY_ASSIGN_OR_RETURN(const std::string id, parts_.runs->Submit(body));
  return JsonResponse({{"run", id}}, 202);
}

Result<HttpResponse> HubApi::ListRuns(const HttpRequest&) {
  SKERRY_ASSIGN_OR_RETURN(Json runs, parts_.runs->List());
  return JsonResponse({{"runs", std::move(runs)}});
}

Result<HttpResponse> HubApi::GetRun(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json run, parts_.runs->Describe(request.Param("run")));
  return JsonResponse(run);
}

Result<HttpResponse> HubApi::GetRunLog(const HttpRequest& request) {
  const std::string of = request.HasQuery("of") ? request.Query("of") : "run";
  SKERRY_ASSIGN_OR_RETURN(std::string log, parts_.runs->Log(request.Param("run"), of));
  return HttpResponse::Text(200, std::move(log), "text/plain; charset=utf-8");
}

Result<HttpResponse> HubApi::CancelRun(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const std::string state, parts_.runs->Cancel(request.Param("run")));
  return JsonResponse({{"run", request.Param("run")}, {"state", state}}, 202);
}

Result<HttpResponse> HubApi::GetAudit(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t after,
                          QueryUint(request, "after", 0, std::uint64_t{1} << 62U));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t limit,
                          QueryUint(request, "limit", limits::kListItems, limits::kListItems));
  Json entries = Json::array();
  std::string broken;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto list, AuditLog(db).List(after, limit));
    for (const AuditEntry& entry : list) entries.push_back(entry.ToJson());
    if (const Status whole = AuditLog(db).Verify(); !whole) broken = whole.error().message();
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  return JsonResponse(
      {{"entries", std::move(entries)}, {"chain_intact", broken.empty()}, {"broken", broken}});
}

}  // namespace skerry
