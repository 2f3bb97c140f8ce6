// The receipts that a hub has given, in its own registry: sites/<site>/receipts, one artifact for
// each state of what it holds, tagged `<incarnation12>-<counter>`, and the newest as `latest`. So a
// site, an auditor or a stock OCI client can read what the hub said, and when.
//
// Role: makes a receipt the first time that a state is asked for; the same state is answered with
// the same bytes from then on. Borrows ingest and registry; thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "hub/ingest.h"
#include "oci/registry.h"

namespace skerry {

class ReceiptShelf {
 public:
  ReceiptShelf(Ingest& ingest, Registry& registry) : ingest_(&ingest), registry_(&registry) {}

  // The envelope of the site's receipt as of now; durable in the registry on return. kNotFound for
  // an unknown site.
  Result<std::string> Newest(std::string_view site);

 private:
  Result<std::string> Stored(std::string_view repository, std::string_view tag);

  Ingest* ingest_;
  Registry* registry_;
  std::mutex mutex_;  // a tag gets one content
};

}  // namespace skerry
