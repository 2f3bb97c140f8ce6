#include "serve/scoring_service.h"

#include <utility>

#include "http/status.h"
#include "serve/answers.h"
#include "serve/binary_tensors.h"
#include "serve/model_document.h"

namespace skerry {

ScoringService::ScoringService(ScoringParts parts) : parts_(parts), inference_(std::move(parts)) {}

Result<ScoringService::Model> ScoringService::FindModel(const HttpRequest& request) const {
  const auto version = request.params.find("version");
  return inference_.Find(request.Param("model"), version == request.params.end()
                                                     ? std::string_view()
                                                     : std::string_view(version->second));
}

Status ScoringService::InferInto(HttpRequest& request, RowAnswer& answer) const {
  SKERRY_ASSIGN_OR_RETURN(answer.model, FindModel(request));
  const std::string_view header = request.Header(kJsonBytesHeader);
  std::size_t json_bytes = request.body.size();
  if (!header.empty()) {
    SKERRY_ASSIGN_OR_RETURN(json_bytes, ParseJsonBytes(header, json_bytes));
  }
  SKERRY_ASSIGN_OR_RETURN(const InferRequest infer, ParseInferRequest(request.body, json_bytes));
  AnsweredRequest& answered = answer.answered;
  answered.times.parse_us = parts_.clock->MonotonicMicros() - answer.started_us;
  SKERRY_ASSIGN_OR_RETURN(InferResponse response, inference_.Score(answer.model, infer));
  const std::int64_t scored_us = parts_.clock->MonotonicMicros();
  response.times.parse_us = answered.times.parse_us;
  answered = {response.rows, response.times, 0, response.utc_us};
  InferAnswer rendered = RenderInferAnswer(response, infer);
  answer.body = std::move(rendered.body);
  answer.json_bytes = rendered.json_bytes;
  answer.batch = std::move(response.batch);
  answered.times.output_us = parts_.clock->MonotonicMicros() - scored_us;
  return {};
}

void ScoringService::Infer(HttpRequest& request, Responder responder) const {
  RowAnswer answer = RowAnswer::Begin(parts_, std::move(responder));
  const Status status = InferInto(request, answer);
  CaptureAndSend(parts_, status, std::move(answer));
}

void ScoringService::Live(HttpRequest&, Responder responder) const {
  responder.Send(HttpResponse::JsonText(200, R"({"live":true})"));
}

void ScoringService::Ready(HttpRequest&, Responder responder) const {
  // The protocol: 200 is true and 4xx is false.
  responder.Send(parts_.repository->ready() ? HttpResponse::JsonText(200, R"({"ready":true})")
                                            : HttpResponse::JsonText(400, R"({"ready":false})"));
}

void ScoringService::ServerMetadata(HttpRequest&, Responder responder) const {
  responder.Send(HttpResponse::JsonText(
      200, DumpJson({{"name", parts_.server_name},
                     {"version", parts_.server_version},
                     {"extensions",
                      {"classification", "binary_tensor_data", "model_repository",
                       "model_configuration", "statistics"}}})));
}

std::vector<std::string> ScoringService::VersionsOf(const ServedModel& model) const {
  std::vector<std::string> versions;
  for (const Model& served : parts_.repository->Versions(model.package->name))
    versions.push_back(served->package->version);
  return versions;
}

void ScoringService::ModelMetadata(HttpRequest& request, Responder responder) const {
  const Result<Model> model = FindModel(request);
  responder.Send(model ? HttpResponse::JsonText(
                             200, DumpJson(OipMetadata(*(*model)->package, VersionsOf(**model))))
                       : ErrorResponse(model.error()));
}

void ScoringService::ModelReady(HttpRequest& request, Responder responder) const {
  const Result<Model> model = FindModel(request);
  responder.Send(model ? HttpResponse::JsonText(
                             200, DumpJson({{"name", (*model)->package->name}, {"ready", true}}))
                       : ErrorResponse(model.error()));
}

void ScoringService::ListModels(HttpRequest&, Responder responder) const {
  Json models = Json::array();
  for (const auto& [name, model] : parts_.repository->List())
    models.push_back(ModelDocument(*model));
  responder.Send(HttpResponse::JsonText(200, DumpJson({{"models", std::move(models)}})));
}

}  // namespace skerry
