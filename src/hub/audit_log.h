// The hub's append-only, hash-chained log of changes: who did what to which thing, and when.
//
// Each entry's hash covers its fields and the hash of the entry before it, so an entry that was
// changed, removed or put in between is found by Verify. A view on an open connection (store.h);
// one thread at a time; appended in the transaction of the change that it speaks of.
// Form of the hash: docs/formats/audit-log.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "storage/sqlite.h"

namespace skerry {

struct AuditEntry {
  std::uint64_t n = 0;  // 1, 2, 3, ...
  std::int64_t at_us = 0;
  std::string actor;    // "admin", "site:north", "hub"
  std::string action;   // "token.create", "site.join", "desired.set", ...
  std::string subject;  // a site, "milling:2", a run's id
  std::string detail;   // JSON object, small; no secret
  std::string previous;
  std::string hash;

  Json ToJson() const;
};

class AuditLog {
 public:
  explicit AuditLog(Database& database) : db_(&database) {}

  Status Append(std::int64_t at_us, std::string_view actor, std::string_view action,
                std::string_view subject, const Json& detail = Json::object());
  // Those after `after`, oldest first.
  Result<std::vector<AuditEntry>> List(std::uint64_t after, std::uint64_t limit);
  // Walks the whole chain. kDataLoss names the first entry that does not fit.
  Status Verify();

 private:
  Database* db_;
};

}  // namespace skerry
