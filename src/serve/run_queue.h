// The requests that do not run on an event loop: those of models that are slow, and of all models
// when requests are batched.
//
// Role: a lane for each served version, in order of arrival; a few threads take turns among the
// lanes, so that one model's backlog does not starve another. A request whose deadline has passed
// or whose client has gone when its turn comes is not run. With a batch size, a turn takes requests
// of one lane until their rows reach it; a lane is due when they do, or when its oldest request has
// waited for the delay. Requests that cannot share a run (bare graphs without free first
// dimensions, other shapes or outputs) run alone in the same turn; where a shared run fails, each
// runs alone, so that no request suffers from its neighbour.
// Bounds: `requests_per_model` wait in a lane, then Push says kResourceExhausted; the metric is
// nv_inference_pending_request_count.
// Threads: Push and Takes from anywhere. Owned by the composition root; made after what
// `parts` points to and ended after the servers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/cores.h"
#include "serve/queued_run.h"
#include "serve/repository.h"

namespace skerry {

constexpr std::size_t kDefaultQueueLimit = 1'000;
constexpr std::chrono::microseconds kDefaultInlineLimit{1'000};

struct RunQueueOptions {
  int threads = Cores();
  std::size_t requests_per_model = kDefaultQueueLimit;
  std::size_t batch_rows = 1;  // 1: requests are not batched
  std::chrono::microseconds batch_delay{0};
  // Models whose warm-up took longer go through the queue; the rest run on the event loops.
  std::chrono::microseconds inline_limit{kDefaultInlineLimit};
};

class RunQueue {
 public:
  using Model = std::shared_ptr<const ServedModel>;

  // Starts its threads. `parts.queue` is not looked at.
  RunQueue(const ScoringParts& parts, const RunQueueOptions& options);
  ~RunQueue();  // Stop()
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  // Whether the model's requests belong here.
  bool Takes(const ServedModel& model) const;
  // kResourceExhausted when the model's lane is full, kUnavailable when this is ending; `run.done`
  // is not called then, else once, on one of the threads.
  Status Push(const Model& model, QueuedRun run);

  // A server that drains calls Flush first: from now on nothing waits for others to fill its batch.
  // When its time is up it calls Stop: what still waits ends with kUnavailable, what runs is
  // finished before this returns. Repeats are harmless.
  void Flush();
  void Stop();

 private:
  struct Lane {
    Model model;
    std::deque<QueuedRun> waiting;
    std::size_t rows = 0;
  };
  using Time = std::chrono::steady_clock::time_point;

  void Work();
  Time DueAt(const Lane& lane) const;
  std::vector<QueuedRun> TakeTurn(Lane& lane);

  const ScoringParts parts_;
  const RunQueueOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Lane> lanes_;  // none is empty; the next turn is the front's
  bool flushing_ = false;
  bool ending_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace skerry
