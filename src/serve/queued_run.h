// A request that waits for its run, and the run itself: alone or shared with others of its model.
// Inside serve, behind run_queue.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "serve/inference.h"

namespace skerry {

struct QueuedRun {
  std::shared_ptr<const InferRequest> request;
  InferContext context{};
  std::function<void(Result<InferResponse>)> done;
  std::chrono::steady_clock::time_point queued_at{};
};

// Rows of the request, for the size of a batch; 1 where the model's requests have none.
std::size_t RowsOf(const ServedModel& model, const InferRequest& request);

// Scores one request; the error of its tensors or of the runtime. Blocks. Thread-safe.
Result<InferResponse> ScoreAlone(const ScoringParts& parts,
                                 std::shared_ptr<const ServedModel> model,
                                 const InferRequest& request);

// Runs what is still wanted of `runs`, together where that gives each the same answer, and calls
// every `done`. Counts the shared runs. Blocks. Thread-safe.
void ScoreQueued(const ScoringParts& parts, const std::shared_ptr<const ServedModel>& model,
                 std::vector<QueuedRun> runs);

// OK, kDeadlineExceeded or kUnavailable.
Status StillWanted(const InferContext& context);

}  // namespace skerry
