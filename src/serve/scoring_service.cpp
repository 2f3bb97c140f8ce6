#include "serve/scoring_service.h"

#include <functional>
#include <utility>

#include "http/status.h"
#include "model/scorer.h"
#include "serve/answers.h"
#include "serve/batch_builder.h"
#include "serve/model_document.h"

namespace skerry {

// Travels from the handler to whoever sends the answer: the handler itself, or the thread on which
// a sync capture is done.
struct ScoringService::Answered {
  Responder responder;
  const Clock* clock;
  std::int64_t started_us;
  Model model{};
  std::shared_ptr<const RowBatch> batch{};  // null for a bare model
  std::string body{};

  void Send(const Status& status) {
    if (model && model->metrics != nullptr) {
      const ModelMetrics& metrics = *model->metrics;
      metrics.requests.Add();
      if (!status) metrics.errors.Add();
      if (batch) metrics.rows.Add(batch->rows);
      metrics.seconds.Observe(static_cast<double>(clock->MonotonicMicros() - started_us) * 1e-6);
    }
    responder.Send(status ? HttpResponse::JsonText(200, std::move(body))
                          : ErrorResponse(status.error()));
  }
};

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

Result<ScoringService::Model> ScoringService::ModelToScore(const HttpRequest& request) const {
  Model model;
  if (request.HasQuery("model")) {
    const std::string name = request.Query("model");
    model = parts_.repository->Find(name);
    if (!model) return Fail(ErrorCode::kNotFound, "no model named \"{}\" is served here", name);
  } else {
    model = parts_.repository->Only();
    if (!model)
      return Fail(ErrorCode::kNotFound,
                  "say which model: /v1/score?model=NAME (GET /v1/models lists them)");
  }
  if (model->package->bare)
    return Fail(ErrorCode::kInvalidArgument,
                "model {} is a bare ONNX file without named fields: use /v2/models/{}/infer",
                model->package->name, model->package->name);
  return model;
}

Status ScoringService::Complete(RowBatch& batch) const {
  SKERRY_RETURN_IF_ERROR(ScoreRows(batch));
  batch.instance = parts_.row_numbers->instance();
  batch.first_n = parts_.row_numbers->Take(batch.rows);
  batch.event_time_us = parts_.clock->UtcMicros();
  batch.mono_us = parts_.clock->MonotonicMicros();
  batch.clock = parts_.clock->quality();
  return {};
}

Status ScoringService::InferInto(HttpRequest& request, Answered& answered) const {
  SKERRY_ASSIGN_OR_RETURN(answered.model, FindModel(request));
  SKERRY_ASSIGN_OR_RETURN(InferRequest infer, ParseInferRequest(request.body));
  const ModelPackage& package = *answered.model->package;
  if (package.bare) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                            package.predictor->Run(infer.inputs, infer.outputs));
    answered.body = TensorAnswer(package, infer, outputs);
    return {};
  }
  SKERRY_RETURN_IF_ERROR(CheckOutputs(package, infer));
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch,
                          BatchFromTensors(answered.model->package, infer));
  SKERRY_RETURN_IF_ERROR(Complete(*batch));
  answered.body = InferAnswer(*batch, infer);
  answered.batch = batch;
  return {};
}

Status ScoringService::ScoreInto(HttpRequest& request, Answered& answered) const {
  SKERRY_ASSIGN_OR_RETURN(answered.model, ModelToScore(request));
  const bool csv = request.Header("Content-Type").starts_with("text/csv");
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch,
                          csv ? BatchFromCsv(answered.model->package, request.body)
                              : BatchFromNamedRows(answered.model->package, request.body));
  SKERRY_RETURN_IF_ERROR(Complete(*batch));
  answered.body = ScoreAnswer(*batch);
  answered.batch = batch;
  return {};
}

void ScoringService::Finish(Status status, Answered answered) const {
  const bool captured = status && answered.batch && parts_.capture != nullptr &&
                        answered.model->capture != CaptureMode::kOff;
  if (captured)
    FinishCaptured(std::move(answered));
  else
    answered.Send(status);
}

void ScoringService::FinishCaptured(Answered answered) const {
  const std::shared_ptr<const RowBatch> batch = answered.batch;
  const Model model = answered.model;
  const auto count = [model, batch](const Status& kept) {
    if (!kept && model->metrics != nullptr) model->metrics->uncaptured.Add(batch->rows);
  };
  if (model->capture == CaptureMode::kAsync) {
    answered.Send({});
    parts_.capture->Capture(batch, count);
    return;
  }
  // Shared only because std::function wants to be copyable; `done` runs once.
  auto waiting = std::make_shared<Answered>(std::move(answered));
  parts_.capture->Capture(batch, [waiting, count](Status kept) {
    count(kept);
    if (kept) return waiting->Send({});
    // Whatever the reason, to the caller the rows were not taken and may be sent again.
    waiting->Send(
        Fail(ErrorCode::kUnavailable, "the rows could not be kept: {}", kept.error().message()));
  });
}

void ScoringService::Infer(HttpRequest& request, Responder responder) const {
  Answered answered{std::move(responder), parts_.clock, parts_.clock->MonotonicMicros()};
  Status status = InferInto(request, answered);
  Finish(std::move(status), std::move(answered));
}

void ScoringService::Score(HttpRequest& request, Responder responder) const {
  Answered answered{std::move(responder), parts_.clock, parts_.clock->MonotonicMicros()};
  Status status = ScoreInto(request, answered);
  Finish(std::move(status), std::move(answered));
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
