// One scoring request's way from its rows to its answer: numbered, captured, counted, sent. Inside
// serve; shared by the routes that score rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "http/server.h"
#include "model/row_batch.h"
#include "serve/repository.h"
#include "serve/scoring_routes.h"

namespace skerry {

// Scores the batch, which takes its rows up in the model's windows, then numbers its rows and dates
// them. Errors are those of LookBack and ScoreRows. Thread-safe for different batches.
Status ScoreAndNumber(const ScoringParts& parts, const ServedModel& model, RowBatch& batch);

// What there is to count of a request that has its answer.
struct AnsweredRequest {
  std::size_t rows = 0;
  InferTimes times{};
  std::int64_t total_us = 0;
  std::int64_t utc_us = 0;
  bool shared_run = false;  // the run was shared with other requests and counted by who ran it
  bool canceled = false;    // the client went away before its work began
};

// Gives a scored batch its row ids and its time.
void NumberRows(const ScoringParts& parts, RowBatch& batch);

// Counts it in the model's metrics and statistics. Thread-safe.
void CountAnswer(const ServedModel& model, const Status& status, const AnsweredRequest& answered);

// Whether a scored batch is to be captured.
bool WantsCapture(const ScoringParts& parts, const ServedModel& model, const RowBatch* batch);

// Hands rows that nobody waits for to the sink, which counts those that it could not keep.
void CaptureUnwaited(const ScoringParts& parts, const ServedModel& model,
                     const std::shared_ptr<const RowBatch>& batch);

// Hands the rows to the sink and counts those that it could not keep. `kept` is called once, from
// any thread: OK when they are durable, else kUnavailable with the reason.
void CaptureRows(const ScoringParts& parts, std::shared_ptr<const ServedModel> model,
                 std::shared_ptr<const RowBatch> batch, std::function<void(const Status&)> kept);

// "false" on an answer whose rows could not be kept (capture `try`).
constexpr std::string_view kCapturedHeader = "Skerry-Captured";

// Travels from the handler to whoever sends the answer: the handler itself, or the thread on which
// a sync capture is done. Move-only, since its Responder is.
struct RowAnswer {
  Responder responder;
  const Clock* clock;
  std::int64_t started_us;
  std::shared_ptr<const ServedModel> model{};
  std::shared_ptr<const RowBatch> batch{};  // null for a bare model
  std::string body{};
  std::size_t json_bytes = 0;  // of the body, when binary tensors stand behind its JSON
  bool captured = true;        // else the answer says so, in the header Skerry-Captured
  bool traced = false;         // the answer says where its time went, in the header Server-Timing
  AnsweredRequest answered{};  // but for total_us and, where there is a batch, what it says

  // Begins the answer of a request that came in just now.
  static RowAnswer Begin(const ScoringParts& parts, Responder responder);
  // Counts the request and answers with `body`, or with the error.
  void Send(const Status& status);
};

// Captures the rows as their model wants it, then sends: with capture sync the answer follows the
// durable commit, or is 503 with the reason (with capture try it is 200 and says so). `status`
// other than done is answered as it is, and nothing is captured.
void CaptureAndSend(const ScoringParts& parts, const Status& status, RowAnswer answer);

}  // namespace skerry
