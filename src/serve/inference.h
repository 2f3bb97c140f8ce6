// What every protocol (REST, gRPC) turns a request into, and what comes back: the seam between
// protocols and scoring. A protocol finds the model, decodes its request into an InferRequest, and
// renders the InferResponse. Use:
//   SKERRY_ASSIGN_OR_RETURN(auto model, inference.Find("milling", ""));
//   inference.Infer(model, std::move(request), {}, [](Result<InferResponse> response) { ... });
//
// Errors by code: kNotFound (no such model or version), kInvalidArgument (a tensor or output that
// the model does not have or that does not fit; named), kTooLarge (a named limit),
// kDeadlineExceeded (not begun in time), kUnavailable (the client went away before it began; rows
// that capture sync could not keep), kInternal (the runtime failed).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/row_batch.h"
#include "model/tensor.h"
#include "serve/infer_request.h"
#include "serve/repository.h"
#include "serve/scoring_routes.h"

namespace skerry {

struct InferResponse {
  std::shared_ptr<const ServedModel> model;  // that answered
  std::string id;                            // the request's
  std::shared_ptr<const RowBatch> batch;     // null for a bare model; row ids come from it
  std::vector<Tensor> outputs;  // what a bare graph gave; empty for a package (see PackageOutputs)
  std::size_t rows = 1;
  InferTimes times{};       // queue, input and infer
  bool shared_run = false;  // with rows of other requests
  bool captured = true;     // false: capture `try`, and the rows could not be kept
  std::int64_t utc_us = 0;
};

struct InferContext {
  // Work not begun by then ends with kDeadlineExceeded.
  std::optional<std::chrono::steady_clock::time_point> deadline{};
  // May be empty; asked before work begins: true when the client is gone.
  std::function<bool()> cancelled{};
};

// Thread-safe. The parts are borrowed and outlive it and every answer under way.
class Inference {
 public:
  using Done = std::function<void(Result<InferResponse>)>;

  explicit Inference(ScoringParts parts);

  // "" is the default version. kNotFound says what is served instead. What else is asked about
  // models over any protocol: ModelRepository (versions, statistics), ModelLibrary (index, load,
  // unload) and model_document.h (metadata, configuration).
  Result<std::shared_ptr<const ServedModel>> Find(std::string_view name,
                                                  std::string_view version) const;

  // Decodes nothing: `request` holds typed tensors. Scores, numbers and captures the rows and
  // counts the request. `done` is called exactly once, from any thread, possibly before this
  // returns; with capture sync after the durable commit.
  // kResourceExhausted when too many requests wait for the model already (see run_queue.h).
  void Infer(std::shared_ptr<const ServedModel> model, InferRequest request, InferContext context,
             Done done) const;

  // Whether requests of the model wait for a thread of the queue. Those of the others run on the
  // caller's thread.
  bool IsQueued(const ServedModel& model) const;
  // The first half of Infer for such a model: scored and numbered, but neither captured nor
  // counted (see row_answer.h). `scored` is called once, from any thread.
  void Enqueue(const std::shared_ptr<const ServedModel>& model,
               std::shared_ptr<const InferRequest> request, InferContext context,
               const Done& scored) const;
  // The first half of Infer for the others, for a caller that answers on its own thread without a
  // callback.
  Result<InferResponse> Score(std::shared_ptr<const ServedModel> model,
                              const InferRequest& request) const;

 private:
  ScoringParts parts_;
};

// The outputs of a scored package batch as tensors, for protocols that do not render the batch
// directly: of K classes probabilities FP32 [N,K], prediction BYTES [N] and score FP32 [N]; of a
// regression value FP32 [N]; with a detector, anomaly_score FP32 [N]. `wanted` chooses and orders
// them, names that the batch does not have are left out (Infer has refused them); empty: all.
std::vector<Tensor> PackageOutputs(const RowBatch& batch, const std::vector<std::string>& wanted);

}  // namespace skerry
