// The receipts that a hub has given, in its own registry: sites/<site>/receipts, one artifact for
// each state of what it holds, tagged `<incarnation12>-<counter>`, and the newest as `latest`. So a
// site, an auditor or a stock OCI client can read what the hub said, and when.
//
// Role: makes a receipt the first time that a state is asked for; the same state is answered with
// the same bytes from then on. Where the registry's newest receipt says more than the store knows,
// the store was restored from a back-up and the registry was not: another incarnation begins, and
// what the registry has is taken again (shipment_replay.h) before a receipt is given. Borrows
// ingest, registry and replay; thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "hub/ingest.h"
#include "hub/shipment_replay.h"
#include "oci/registry.h"

namespace skerry {

class ReceiptShelf {
 public:
  ReceiptShelf(Ingest& ingest, Registry& registry, ShipmentReplay& replay)
      : ingest_(&ingest), registry_(&registry), replay_(&replay) {}

  // The envelope of the site's receipt as of now; durable in the registry on return. kNotFound for
  // an unknown site, kUnavailable while what the registry has of it is taken again.
  Result<std::string> Newest(std::string_view site);

 private:
  // Nothing where the store turns out to have been restored.
  Result<std::optional<std::string>> Make(std::string_view site);
  Result<std::string> Stored(std::string_view repository, std::string_view tag);
  Result<bool> KnowsMore(std::string_view site, std::string_view repository);

  Ingest* ingest_;
  Registry* registry_;
  ShipmentReplay* replay_;
  std::mutex mutex_;  // a tag gets one content; guards what follows
  // Sites whose newest receipt was compared with the store: once a process, since nobody else
  // writes.
  std::set<std::string, std::less<>> compared_;
};

}  // namespace skerry
