// Takes again what the registry holds of sites' outboxes and the store does not know. A registry in
// S3 is newer than a data directory that was restored from a back-up, as is one in files that was
// not put back with the rest: records that sites have deleted on this hub's receipts may be there
// and nowhere else.
//
// Role: one thread, which reads the outbox of each site once in every incarnation but the first
// (incarnation.h) and notes durably that it has. What it takes goes the way of every shipment
// (ingest.h); what cannot be taken is set aside or left, and the next is taken. Receipts wait for
// it: by one that says less, a site would give up as lost what is here.
// Owned by Hub, which stops it before the registry goes. Await on any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "hub/ingest.h"
#include "hub/store.h"
#include "oci/registry.h"

namespace skerry {

class ShipmentReplay {
 public:
  ShipmentReplay(HubStore& store, Registry& registry, Ingest& ingest, const Clock& clock)
      : store_(&store), registry_(&registry), ingest_(&ingest), clock_(&clock) {}
  ShipmentReplay(const ShipmentReplay&) = delete;
  ShipmentReplay& operator=(const ShipmentReplay&) = delete;
  ~ShipmentReplay() { Stop(); }

  void Start();
  // Ends after the shipment that is being taken; the next start goes on.
  void Stop();

  // Until nothing of the site's is to be taken any more, its turn coming before others'.
  // kUnavailable after some seconds: ask again later.
  Status Await(std::string_view site);

 private:
  struct Report {
    std::uint64_t taken = 0;
    std::uint64_t rows = 0;  // that the store did not have
    std::uint64_t left = 0;  // could not be taken
  };
  void Run();
  bool IsStopping();
  // Every site whose turn it is.
  Status Pass();
  Status Replay(const std::string& site);
  Status TakeOne(const std::string& site, const std::string& repository, const std::string& tag,
                 Report& report);
  // Tags of shipments of which the store has all.
  Result<std::set<std::string>> SettledTags(const std::string& site);

  HubStore* const store_;
  Registry* const registry_;
  Ingest* const ingest_;
  const Clock* const clock_;

  std::mutex mutex_;  // guards what follows; never waited for with the store's held
  std::condition_variable changed_;
  std::set<std::string> awaited_;
  bool woken_ = true;  // what a start before has left
  bool stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
