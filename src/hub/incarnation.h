// Which life of the hub its receipts belong to. Another one begins when the hub was restored from a
// back-up: it knows less than it has signed for then, and its sites have to hear of it.
#pragma once

#include <cstdint>
#include <string>

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

}  // namespace skerry
