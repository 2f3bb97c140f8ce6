#include "serve/score_service.h"

#include <string>
#include <utility>

#include "serve/answers.h"
#include "serve/batch_builder.h"

namespace skerry {

Result<std::shared_ptr<const ServedModel>> ScoreService::ModelToScore(
    const HttpRequest& request) const {
  std::shared_ptr<const ServedModel> model;
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

Status ScoreService::ScoreInto(HttpRequest& request, RowAnswer& answer) const {
  SKERRY_ASSIGN_OR_RETURN(answer.model, ModelToScore(request));
  const bool csv = request.Header("Content-Type").starts_with("text/csv");
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch,
                          csv ? BatchFromCsv(answer.model->package, request.body)
                              : BatchFromNamedRows(answer.model->package, request.body));
  SKERRY_RETURN_IF_ERROR(ScoreAndNumber(parts_, *batch));
  answer.body = ScoreAnswer(*batch);
  answer.batch = batch;
  return {};
}

void ScoreService::Score(HttpRequest& request, Responder responder) const {
  RowAnswer answer = RowAnswer::Begin(parts_, std::move(responder));
  const Status status = ScoreInto(request, answer);
  CaptureAndSend(parts_, status, std::move(answer));
}

}  // namespace skerry
