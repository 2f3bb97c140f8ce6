// Which life of the hub its receipts belong to. Another one begins when the hub was restored from a
// back-up: it knows less than it has signed for then, and its sites have to hear of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/sqlite.h"

namespace skerry {

struct HubIncarnation {
  std::string id;              // random
  std::uint64_t restores = 0;  // how often another one has begun; orders them
};

Result<HubIncarnation> ReadIncarnation(Database& db);
// Draws another one, that counts as later than the present one and than `seen` restores. Part of
// the caller's transaction; no receipt is signed in between.
Status BeginIncarnation(Database& db, std::uint64_t seen);

// Whether the registry may hold shipments of the site that the store forgot with the incarnation
// before, and nobody has looked yet (shipment_replay.h). Not of a site that is not known.
Result<bool> ReplayIsDue(Database& db, std::string_view site);
Result<std::vector<std::string>> SitesToReplay(Database& db);  // by name
Status MarkReplayed(Database& db, std::string_view site, const std::string& incarnation);

}  // namespace skerry
