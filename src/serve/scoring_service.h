// What the routes of the Open Inference Protocol do, and the list of models. Inside serve;
// the routes hold it shared, since the server keeps handlers as copies.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "serve/inference.h"
#include "serve/row_answer.h"
#include "serve/scoring_routes.h"

namespace skerry {

// Thread-safe; every handler runs on the calling event loop and never blocks.
class ScoringService {
 public:
  explicit ScoringService(ScoringParts parts);

  void Infer(HttpRequest& request, Responder responder) const;
  void Live(HttpRequest& request, Responder responder) const;
  void Ready(HttpRequest& request, Responder responder) const;
  void ServerMetadata(HttpRequest& request, Responder responder) const;
  void ModelMetadata(HttpRequest& request, Responder responder) const;
  void ModelReady(HttpRequest& request, Responder responder) const;
  void ListModels(HttpRequest& request, Responder responder) const;

 private:
  using Model = std::shared_ptr<const ServedModel>;
  // By the route's {model} and {version}. kNotFound names what is served instead.
  Result<Model> FindModel(const HttpRequest& request) const;
  Result<InferRequest> Decode(HttpRequest& request, RowAnswer& answer) const;
  void Enqueue(InferRequest infer, RowAnswer answer) const;

  ScoringParts parts_;
  Inference inference_;
};

}  // namespace skerry
