// POST /v1/score: rows of named fields in; label, probability, anomaly score, reasons and, where
// asked for, contributions out. JSON is read whole, CSV and NDJSON as they come (score_stream.h).
// Inside serve; the routes hold it shared, since the server keeps handlers as copies.
#pragma once

#include <memory>
#include <utility>

#include "http/server.h"
#include "serve/row_answer.h"
#include "serve/scoring_routes.h"

namespace skerry {

// Thread-safe; the handler runs on the calling thread, and blocks for CSV and NDJSON alone.
class ScoreService {
 public:
  explicit ScoreService(ScoringParts parts) : parts_(std::move(parts)) {}

  // CSV and NDJSON are streamed. Explaining a row takes far longer than scoring it: that is for the
  // workers.
  static RouteKind KindOf(const HttpRequest& request);

  void Score(HttpRequest& request, Responder responder) const;

 private:
  // By the query's `model`; without it the only one served. kNotFound, or kInvalidArgument for a
  // bare model.
  Result<std::shared_ptr<const ServedModel>> ModelToScore(const HttpRequest& request) const;
  Status ScoreWhole(HttpRequest& request, bool explain, RowAnswer& answer) const;

  ScoringParts parts_;
};

}  // namespace skerry
