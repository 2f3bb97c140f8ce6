// The end of a scoring process that speaks both protocols.
#pragma once

#include <chrono>

#include "rpc/server.h"
#include "serve/run_queue.h"
#include "serve/scoring_server.h"

namespace skerry {

// Takes no more connections and calls, lets those under way end within `time`, and ends the queue.
// What still waits then is answered with kUnavailable. `rpc` may be null.
void DrainScoring(ScoringServer& server, RpcServer* rpc, RunQueue& queue,
                  std::chrono::milliseconds time);

}  // namespace skerry
