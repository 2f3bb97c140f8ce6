// The hub's TUF repository: kept in the store, signed with the keys in `keys/tuf`, and given out by
// name. What it is made of is trust/tuf_repository.h.
//
// Life: made at the hub's first start. The timestamp is signed again when somebody asks for it a
// day later, and everything when another incarnation of the hub has begun (incarnation.h): versions
// jump then past all that sites can have seen. Each change is one transaction with its entry in the
// audit log. Borrows the store and the clock; thread-safe; durable on return.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "hub/store.h"
#include "trust/tuf_client.h"
#include "trust/tuf_repository.h"

namespace skerry {

class TrustDesk {
 public:
  static Result<std::unique_ptr<TrustDesk>> Open(HubStore& store, std::filesystem::path keys,
                                                 const Clock& clock);

  // In the caller's transaction: `bytes` are the target `path` from now on.
  Status Publish(Database& db, const std::string& path, std::string_view bytes);
  // The least that versions of desired states have to be above: see kTufVersionsPerRestore.
  static Result<std::uint64_t> VersionFloor(Database& db);

  // "metadata/timestamp.json", ...: kNotFound. The timestamp is signed again when that is due.
  Result<std::string> File(const std::string& name);
  // The newest root.
  Result<std::string> Root();
  // All that a site needs to follow `path`, whatever it holds: every root, the newest metadata of
  // the roles on the way, the target.
  Result<std::vector<TufFile>> FilesFor(const std::string& path);

  Result<Json> Facts();
  // The root that waits for signatures; kNotFound.
  Result<std::string> Draft();
  Status Rotate(const std::string& role);
  Status SetRootKeys(std::uint64_t threshold, const std::vector<std::string>& key_pems);
  Status TakeRoot(std::string_view root_json);
  Status SetGroup(const std::string& group, const std::set<std::string>& sites);

 private:
  TrustDesk(HubStore& store, std::filesystem::path keys, const Clock& clock)
      : store_(&store), keys_(std::move(keys)), clock_(&clock) {}

  Result<TufRepository> Load(Database& db) const;
  static Status Keep(Database& db, TufRepository& repository);
  Status Refresh();
  Status Change(std::string_view action, const std::string& subject, Json details,
                const std::function<Status(TufRepository&)>& change);

  HubStore* store_;
  const TufKeyDirectory keys_;
  const Clock* clock_;
};

}  // namespace skerry
