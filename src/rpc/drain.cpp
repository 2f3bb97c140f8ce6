#include "rpc/drain.h"

#include <future>

namespace skerry {

void DrainScoring(ScoringServer& server, RpcServer* rpc, RunQueue& queue,
                  std::chrono::milliseconds time) {
  queue.Flush();
  const auto until = std::chrono::steady_clock::now() + time;
  const auto rpc_drained = std::async(std::launch::async, [rpc, time] {
    if (rpc != nullptr) rpc->Drain(time);
  });
  server.Drain(time);
  rpc_drained.wait_until(until);
  queue.Stop();  // gRPC's drain ends only when no call waits any more
}

}  // namespace skerry
