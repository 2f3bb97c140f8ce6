#include "serve/repository_service.h"

#include "http/status.h"
#include "serve/model_document.h"

namespace skerry {
namespace {

HttpResponse Done(const Status& status) {
  return status ? HttpResponse::JsonText(200, "{}") : ErrorResponse(status.error());
}

// An empty body says nothing.
Result<Json> BodyObject(const std::string& body) {
  if (body.empty()) return Json::object();
  SKERRY_ASSIGN_OR_RETURN(Json json, ParseJson(body));
  if (!json.is_object()) return Fail(ErrorCode::kInvalidArgument, "the body is no JSON object");
  return json;
}

Result<std::vector<std::string>> ParameterNames(const std::string& body) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, BodyObject(body));
  std::vector<std::string> names;
  const auto parameters = json.find("parameters");
  if (parameters == json.end()) return names;
  if (!parameters->is_object())
    return Fail(ErrorCode::kInvalidArgument, "\"parameters\" is no JSON object");
  for (const auto& [name, value] : parameters->items()) names.push_back(name);
  return names;
}

Result<bool> OnlyReady(const std::string& body) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, BodyObject(body));
  const auto ready = json.find("ready");
  if (ready == json.end()) return false;
  if (!ready->is_boolean())
    return Fail(ErrorCode::kInvalidArgument, "\"ready\" is neither true nor false");
  return ready->get<bool>();
}

Status CheckControl(const ScoringParts& parts) {
  if (parts.library != nullptr && parts.library->control() == LibraryControl::kOnRequest) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "this server loads and unloads no models on request (skerry serve --repository-api "
              "does)");
}

}  // namespace

std::vector<ModelState> RepositoryIndex(const ScoringParts& parts) {
  if (parts.library != nullptr) return parts.library->Index();
  std::vector<ModelState> states;
  for (const auto& [name, model] : parts.repository->List())
    states.push_back({name, model->package->version, "READY", ""});
  return states;
}

Status LoadOnRequest(const ScoringParts& parts, const std::string& name,
                     std::span<const std::string> parameters) {
  for (const std::string& parameter : parameters)
    if (parameter == "config" || parameter.starts_with("file:"))
      return Fail(ErrorCode::kUnimplemented,
                  "parameter \"{}\": models are loaded from the server's own directory alone",
                  parameter);
  SKERRY_RETURN_IF_ERROR(CheckControl(parts));
  return parts.library->Load(name);
}

Status UnloadOnRequest(const ScoringParts& parts, const std::string& name) {
  SKERRY_RETURN_IF_ERROR(CheckControl(parts));
  return parts.library->Unload(name);
}

void RepositoryService::Index(HttpRequest& request, Responder responder) const {
  const Result<bool> only_ready = OnlyReady(request.body);
  if (!only_ready) return responder.Send(ErrorResponse(only_ready.error()));
  Json index = Json::array();
  for (const ModelState& state : RepositoryIndex(parts_))
    if (!*only_ready || state.state == "READY")
      index.push_back({{"name", state.name},
                       {"version", state.version},
                       {"state", state.state},
                       {"reason", state.reason}});
  responder.Send(HttpResponse::JsonText(200, DumpJson(index)));
}

void RepositoryService::Load(HttpRequest& request, Responder responder) const {
  const Result<std::vector<std::string>> parameters = ParameterNames(request.body);
  if (!parameters) return responder.Send(ErrorResponse(parameters.error()));
  responder.Send(Done(LoadOnRequest(parts_, request.Param("model"), *parameters)));
}

void RepositoryService::Unload(HttpRequest& request, Responder responder) const {
  responder.Send(Done(UnloadOnRequest(parts_, request.Param("model"))));
}

void RepositoryService::Statistics(HttpRequest& request, Responder responder) const {
  const auto readings =
      parts_.repository->Statistics(request.Param("model"), request.Param("version"));
  responder.Send(readings ? HttpResponse::JsonText(200, DumpJson(StatisticsDocument(*readings)))
                          : ErrorResponse(readings.error()));
}

void RepositoryService::Config(HttpRequest& request, Responder responder) const {
  const auto model = inference_.Find(request.Param("model"), request.Param("version"));
  responder.Send(model ? HttpResponse::JsonText(200, DumpJson(ModelConfig(**model)))
                       : ErrorResponse(model.error()));
}

}  // namespace skerry
