#include "serve/row_answer.h"

#include <utility>

#include "http/status.h"
#include "model/scorer.h"
#include "serve/binary_tensors.h"

namespace skerry {
namespace {

// Source: W3C Server Timing; durations are milliseconds.
std::string ServerTiming(const AnsweredRequest& answered) {
  const auto ms = [](std::int64_t us) { return static_cast<double>(us) * 1e-3; };
  const InferTimes& times = answered.times;
  return fmt::format(
      "parse;dur={:.3f}, queue;dur={:.3f}, input;dur={:.3f}, infer;dur={:.3f}, output;dur={:.3f}, "
      "total;dur={:.3f}",
      ms(times.parse_us), ms(times.queue_us), ms(times.input_us), ms(times.infer_us),
      ms(times.output_us), ms(answered.total_us));
}

FailureReason ReasonOf(ErrorCode code, bool canceled) {
  if (canceled) return FailureReason::kCanceled;
  if (code == ErrorCode::kResourceExhausted || code == ErrorCode::kDeadlineExceeded)
    return FailureReason::kRejected;
  return code == ErrorCode::kInternal ? FailureReason::kBackend : FailureReason::kOther;
}

void SendCaptured(const ScoringParts& parts, RowAnswer answer) {
  if (answer.model->capture == CaptureMode::kAsync) {
    answer.Send({});
    return CaptureUnwaited(parts, *answer.model, answer.batch);
  }
  const std::shared_ptr<const RowBatch> batch = answer.batch;
  const std::shared_ptr<const ServedModel> model = answer.model;
  // Shared only because std::function wants to be copyable; it runs once.
  auto waiting = std::make_shared<RowAnswer>(std::move(answer));
  CaptureRows(parts, model, batch, [waiting](const Status& kept) {
    waiting->captured = kept.has_value();
    waiting->Send(waiting->model->capture == CaptureMode::kTry ? Status() : kept);
  });
}

}  // namespace

void CountAnswer(const ServedModel& model, const Status& status, const AnsweredRequest& answered) {
  if (const ModelMetrics* metrics = model.metrics; metrics != nullptr) {
    metrics->requests.Add();
    if (!status) metrics->errors.Add();
    if (!model.package->bare) metrics->rows.Add(answered.rows);
    metrics->seconds.Observe(static_cast<double>(answered.total_us) * 1e-6);
  }
  if (!model.statistics) return;
  if (!status)
    return model.statistics->CountFailure(ReasonOf(status.error().code(), answered.canceled),
                                          answered.total_us);
  model.statistics->CountSuccess(answered.rows, answered.times, answered.total_us, answered.utc_us);
  if (!answered.shared_run) model.statistics->CountRun(answered.rows, answered.times);
}

bool WantsCapture(const ScoringParts& parts, const ServedModel& model, const RowBatch* batch) {
  return batch != nullptr && parts.capture != nullptr && model.capture != CaptureMode::kOff;
}

void CaptureUnwaited(const ScoringParts& parts, const ServedModel& model,
                     const std::shared_ptr<const RowBatch>& batch) {
  Counter* const lost = model.metrics == nullptr ? nullptr : &model.metrics->uncaptured;
  parts.capture->CaptureUnwaited(batch, lost);
}

void CaptureRows(const ScoringParts& parts, std::shared_ptr<const ServedModel> model,
                 std::shared_ptr<const RowBatch> batch, std::function<void(const Status&)> kept) {
  const std::size_t rows = batch->rows;
  parts.capture->Capture(std::move(batch), [model = std::move(model), rows,
                                            kept = std::move(kept)](Status status) {
    if (!status && model->metrics != nullptr) model->metrics->uncaptured.Add(rows);
    if (status) return kept(status);
    // Whatever the reason, to the caller the rows were not taken and may be
    // sent again.
    kept(Fail(ErrorCode::kUnavailable, "the rows could not be kept: {}", status.error().message()));
  });
}

Status ScoreAndNumber(const ScoringParts& parts, const ServedModel& model, RowBatch& batch) {
  const std::int64_t began_us = parts.clock->MonotonicMicros();
  if (model.windows) SKERRY_RETURN_IF_ERROR(LookBack(batch, *model.windows));
  SKERRY_RETURN_IF_ERROR(ScoreRows(batch));
  NumberRows(parts, batch);
  batch.infer_us = batch.mono_us - began_us;
  return {};
}

void NumberRows(const ScoringParts& parts, RowBatch& batch) {
  batch.mono_us = parts.clock->MonotonicMicros();
  batch.instance = parts.row_numbers->instance();
  batch.first_n = parts.row_numbers->Take(batch.rows);
  batch.event_time_us = parts.clock->UtcMicros();
  batch.clock = parts.clock->quality();
}

RowAnswer RowAnswer::Begin(const ScoringParts& parts, Responder responder) {
  return {std::move(responder), parts.clock, parts.clock->MonotonicMicros()};
}

void RowAnswer::Send(const Status& status) {
  if (model) {
    answered.total_us = clock->MonotonicMicros() - started_us;
    if (batch) {
      answered.rows = batch->rows;
      answered.utc_us = batch->event_time_us;
      answered.times.infer_us = batch->infer_us;
    }
    CountAnswer(*model, status, answered);
  }
  if (!status) return responder.Send(ErrorResponse(status.error()));
  const bool json = json_bytes == 0 || json_bytes == body.size();
  HttpResponse response =
      json ? HttpResponse::JsonText(200, std::move(body))
           : HttpResponse::Text(200, std::move(body), "application/octet-stream");
  if (!json) response.SetHeader(std::string(kJsonBytesHeader), fmt::format("{}", json_bytes));
  if (!captured) response.SetHeader(std::string(kCapturedHeader), "false");
  if (traced) response.SetHeader("Server-Timing", ServerTiming(answered));
  responder.Send(std::move(response));
}

void CaptureAndSend(const ScoringParts& parts, const Status& status, RowAnswer answer) {
  if (status && WantsCapture(parts, *answer.model, answer.batch.get()))
    SendCaptured(parts, std::move(answer));
  else
    answer.Send(status);
}

}  // namespace skerry
