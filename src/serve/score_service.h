// POST /v1/score: rows of named fields or CSV in; label, probability, anomaly score and reasons
// out. Inside serve; the routes hold it shared, since the server keeps handlers as copies.
#pragma once

#include <memory>
#include <utility>

#include "http/server.h"
#include "serve/row_answer.h"
#include "serve/scoring_routes.h"

namespace skerry {

// Thread-safe; the handler runs on the calling event loop and never blocks.
class ScoreService {
 public:
  explicit ScoreService(ScoringParts parts) : parts_(std::move(parts)) {}

  void Score(HttpRequest& request, Responder responder) const;

 private:
  // By the query's `model`; without it the only one served. kNotFound, or kInvalidArgument for a
  // bare model.
  Result<std::shared_ptr<const ServedModel>> ModelToScore(const HttpRequest& request) const;
  Status ScoreInto(HttpRequest& request, RowAnswer& answer) const;

  ScoringParts parts_;
};

}  // namespace skerry
