// Collects the registry's garbage (oci/collector.h), and with it the patches of packages that are
// gone (delta_desk.h), in the background: once some minutes after the
// start, then every few hours, on a thread of its own; and when an operator asks.
//
// Owned by Hub, which stops it before the registry goes. CollectNow on any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/metrics.h"
#include "hub/delta_desk.h"
#include "oci/registry.h"

namespace skerry {

class RegistryKeeper {
 public:
  RegistryKeeper(Registry& registry, DeltaDesk& deltas, MetricRegistry& metrics);
  RegistryKeeper(const RegistryKeeper&) = delete;
  RegistryKeeper& operator=(const RegistryKeeper&) = delete;
  ~RegistryKeeper();

  void Start();
  // Ends a collection that is under way, too; it removes what it removes whole.
  void Stop();
  Result<CollectReport> CollectNow(std::chrono::seconds grace);

 private:
  void Run();

  Registry* const registry_;
  DeltaDesk* const deltas_;
  Counter& removed_blobs_;
  Counter& removed_bytes_;
  Gauge& kept_bytes_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopping_{false};

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
