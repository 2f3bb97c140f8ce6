#include "serve/row_answer.h"

#include <utility>

#include "http/status.h"
#include "model/scorer.h"

namespace skerry {
namespace {

void SendCaptured(const ScoringParts& parts, RowAnswer answer) {
  const std::shared_ptr<const RowBatch> batch = answer.batch;
  const std::shared_ptr<const ServedModel> model = answer.model;
  const auto count = [model, batch](const Status& kept) {
    if (!kept && model->metrics != nullptr) model->metrics->uncaptured.Add(batch->rows);
  };
  if (model->capture == CaptureMode::kAsync) {
    answer.Send({});
    parts.capture->Capture(batch, count);
    return;
  }
  // Shared only because std::function wants to be copyable; `done` runs once.
  auto waiting = std::make_shared<RowAnswer>(std::move(answer));
  parts.capture->Capture(batch, [waiting, count](Status kept) {
    count(kept);
    if (kept) return waiting->Send({});
    // Whatever the reason, to the caller the rows were not taken and may be sent again.
    waiting->Send(
        Fail(ErrorCode::kUnavailable, "the rows could not be kept: {}", kept.error().message()));
  });
}

}  // namespace

Status ScoreAndNumber(const ScoringParts& parts, RowBatch& batch) {
  SKERRY_RETURN_IF_ERROR(ScoreRows(batch));
  batch.instance = parts.row_numbers->instance();
  batch.first_n = parts.row_numbers->Take(batch.rows);
  batch.event_time_us = parts.clock->UtcMicros();
  batch.mono_us = parts.clock->MonotonicMicros();
  batch.clock = parts.clock->quality();
  return {};
}

RowAnswer RowAnswer::Begin(const ScoringParts& parts, Responder responder) {
  return {std::move(responder), parts.clock, parts.clock->MonotonicMicros()};
}

void RowAnswer::Send(const Status& status) {
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

void CaptureAndSend(const ScoringParts& parts, Status status, RowAnswer answer) {
  const bool captured = status && answer.batch && parts.capture != nullptr &&
                        answer.model->capture != CaptureMode::kOff;
  if (captured)
    SendCaptured(parts, std::move(answer));
  else
    answer.Send(status);
}

}  // namespace skerry
