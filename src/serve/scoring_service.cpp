#include "serve/scoring_service.h"

#include <utility>

#include "http/status.h"
#include "serve/answers.h"
#include "serve/batch_builder.h"
#include "serve/model_document.h"

namespace skerry {

ScoringService::ScoringService(ScoringParts parts) : parts_(std::move(parts)) {
  parts_.repository->CountIn(*parts_.metrics);
}

Result<ScoringService::Model> ScoringService::FindModel(const HttpRequest& request) const {
  const std::string& name = request.Param("model");
  Model model = parts_.repository->Find(name);
  if (!model) return Fail(ErrorCode::kNotFound, "no model named \"{}\" is served here", name);
  const auto version = request.params.find("version");
  if (version != request.params.end() && version->second != model->package->version)
    return Fail(ErrorCode::kNotFound, "model {} has no version \"{}\" here; {} is served", name,
                version->second, model->package->version);
  return model;
}

Status ScoringService::InferInto(HttpRequest& request, RowAnswer& answer) const {
  SKERRY_ASSIGN_OR_RETURN(answer.model, FindModel(request));
  SKERRY_ASSIGN_OR_RETURN(InferRequest infer, ParseInferRequest(request.body));
  const ModelPackage& package = *answer.model->package;
  if (package.bare) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                            package.predictor->Run(infer.inputs, OutputNames(infer.outputs)));
    answer.body = TensorAnswer(package, infer, outputs);
    return {};
  }
  SKERRY_RETURN_IF_ERROR(CheckOutputs(package, infer));
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch,
                          BatchFromTensors(answer.model->package, infer));
  SKERRY_RETURN_IF_ERROR(ScoreAndNumber(parts_, *batch));
  answer.body = InferAnswer(*batch, infer);
  answer.batch = batch;
  return {};
}

void ScoringService::Infer(HttpRequest& request, Responder responder) const {
  RowAnswer answer = RowAnswer::Begin(parts_, std::move(responder));
  Status status = InferInto(request, answer);
  CaptureAndSend(parts_, std::move(status), std::move(answer));
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
  responder.Send(HttpResponse::JsonText(200, DumpJson({{"name", parts_.server_name},
                                                       {"version", parts_.server_version},
                                                       {"extensions", Json::array()}})));
}

void ScoringService::ModelMetadata(HttpRequest& request, Responder responder) const {
  const Result<Model> model = FindModel(request);
  responder.Send(model ? HttpResponse::JsonText(200, DumpJson(OipMetadata(*(*model)->package)))
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
