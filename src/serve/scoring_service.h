// What the scoring routes do: find the model, decode, score, number, capture, answer. Inside serve;
// the routes hold it shared, since the server keeps handlers as copies.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "http/server.h"
#include "serve/infer_request.h"
#include "serve/scoring_routes.h"

namespace skerry {

// Thread-safe; every handler runs on the calling event loop and never blocks.
class ScoringService {
 public:
  explicit ScoringService(ScoringParts parts);

  void Infer(HttpRequest& request, Responder responder) const;
  void Score(HttpRequest& request, Responder responder) const;
  void Live(HttpRequest& request, Responder responder) const;
  void Ready(HttpRequest& request, Responder responder) const;
  void ServerMetadata(HttpRequest& request, Responder responder) const;
  void ModelMetadata(HttpRequest& request, Responder responder) const;
  void ModelReady(HttpRequest& request, Responder responder) const;
  void ListModels(HttpRequest& request, Responder responder) const;

 private:
  using Model = std::shared_ptr<const ServedModel>;
  struct Answered;  // one request's way to its answer
  // By the route's {model} and {version}. kNotFound names what is served instead.
  Result<Model> FindModel(const HttpRequest& request) const;
  Result<Model> ModelToScore(const HttpRequest& request) const;
  Status InferInto(HttpRequest& request, Answered& answered) const;
  Status ScoreInto(HttpRequest& request, Answered& answered) const;
  // Scores, then numbers the rows and dates them.
  Status Complete(RowBatch& batch) const;
  void Finish(Status status, Answered answered) const;
  void FinishCaptured(Answered answered) const;

  ScoringParts parts_;
};

}  // namespace skerry
