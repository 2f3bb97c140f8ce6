#include "serve/scoring_service.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "http/status.h"
#include "serve/answers.h"
#include "serve/binary_tensors.h"
#include "serve/model_document.h"
#include "serve/repository_service.h"

namespace skerry {

namespace {

// Renders what was scored, captures it as its model wants it, and sends.
void Answer(const ScoringParts& parts, Result<InferResponse> response, const InferRequest& infer,
            RowAnswer answer) {
  if (!response)
    return CaptureAndSend(parts, tl::make_unexpected(std::move(response).error()),
                          std::move(answer));
  const std::int64_t scored_us = parts.clock->MonotonicMicros();
  response->times.parse_us = answer.answered.times.parse_us;
  answer.answered = {response->rows, response->times, 0, response->utc_us, response->shared_run};
  InferAnswer rendered = RenderInferAnswer(*response, infer);
  answer.body = std::move(rendered.body);
  answer.json_bytes = rendered.json_bytes;
  answer.batch = std::move(response->batch);
  answer.answered.times.output_us = parts.clock->MonotonicMicros() - scored_us;
  CaptureAndSend(parts, {}, std::move(answer));
}

constexpr std::chrono::microseconds kLongestTimeout = std::chrono::hours(24);  // longer: none

// The request's "timeout", microseconds, as Triton's clients send it; a field of that name is the
// model's own.
Result<std::optional<std::chrono::steady_clock::time_point>> DeadlineOf(const ModelPackage& package,
                                                                        const InferRequest& infer) {
  const auto found = infer.parameters.find("timeout");
  if (found == infer.parameters.end() || package.schema.Find("timeout") != nullptr)
    return std::nullopt;
  std::int64_t timeout_us = 0;
  const std::string& text = found->second.texts[0];
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), timeout_us);
  if (found->second.per_row || failed != std::errc() || end != text.data() + text.size() ||
      timeout_us < 0)
    return Fail(ErrorCode::kInvalidArgument,
                "parameter \"timeout\" is no number of microseconds: \"{}\"", text);
  if (timeout_us == 0 || timeout_us > kLongestTimeout.count()) return std::nullopt;
  return std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
}

}  // namespace

ScoringService::ScoringService(ScoringParts parts) : parts_(parts), inference_(std::move(parts)) {}

Result<ScoringService::Model> ScoringService::FindModel(const HttpRequest& request) const {
  return inference_.Find(request.Param("model"), request.Param("version"));
}

Result<InferRequest> ScoringService::Decode(HttpRequest& request, RowAnswer& answer) const {
  SKERRY_ASSIGN_OR_RETURN(answer.model, FindModel(request));
  const std::string_view header = request.Header(kJsonBytesHeader);
  std::size_t json_bytes = request.body.size();
  if (!header.empty()) {
    SKERRY_ASSIGN_OR_RETURN(json_bytes, ParseJsonBytes(header, json_bytes));
  }
  Result<InferRequest> infer = ParseInferRequest(request.body, json_bytes);
  answer.answered.times.parse_us = parts_.clock->MonotonicMicros() - answer.started_us;
  return infer;
}

void ScoringService::Infer(HttpRequest& request, Responder responder) const {
  RowAnswer answer = RowAnswer::Begin(parts_, std::move(responder));
  answer.traced = request.target.size() != request.path.size() && request.Query("trace") == "1";
  Result<InferRequest> infer = Decode(request, answer);
  if (!infer)
    return CaptureAndSend(parts_, tl::make_unexpected(std::move(infer).error()), std::move(answer));
  if (inference_.IsQueued(*answer.model)) return Enqueue(std::move(*infer), std::move(answer));
  Result<InferResponse> response = inference_.Score(answer.model, *infer);
  Answer(parts_, std::move(response), *infer, std::move(answer));
}

void ScoringService::Enqueue(InferRequest infer, RowAnswer answer) const {
  Result<std::optional<std::chrono::steady_clock::time_point>> deadline =
      DeadlineOf(*answer.model->package, infer);
  if (!deadline)
    return CaptureAndSend(parts_, tl::make_unexpected(std::move(deadline).error()),
                          std::move(answer));
  // Both shared only because std::function wants to be copyable; the answer is sent once.
  const auto request = std::make_shared<const InferRequest>(std::move(infer));
  const auto waiting = std::make_shared<RowAnswer>(std::move(answer));
  const std::shared_ptr<const ServedModel> model = waiting->model;
  inference_.Enqueue(
      model, request,
      {.deadline = *deadline, .cancelled = [waiting] { return waiting->responder.PeerLeft(); }},
      [parts = parts_, request, waiting](Result<InferResponse> scored) {
        if (!scored && scored.error().code() == ErrorCode::kUnavailable)
          waiting->answered.canceled = waiting->responder.PeerLeft();
        Answer(parts, std::move(scored), *request, std::move(*waiting));
      });
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
                                                       {"extensions", kExtensions}})));
}

void ScoringService::ModelMetadata(HttpRequest& request, Responder responder) const {
  const Result<Model> model = FindModel(request);
  if (!model) return responder.Send(ErrorResponse(model.error()));
  const std::vector<std::string> versions = parts_.repository->VersionNames(request.Param("model"));
  responder.Send(HttpResponse::JsonText(200, DumpJson(OipMetadata(*(*model)->package, versions))));
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
