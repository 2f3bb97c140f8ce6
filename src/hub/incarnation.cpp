#include "hub/incarnation.h"

#include <algorithm>
#include <charconv>

#include "base/ids.h"

namespace skerry {
namespace {

Result<std::string> ReadMeta(Database& db, std::string_view key) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select, db.Prepare("SELECT value FROM meta WHERE key = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, key).Step());
  return found ? std::string(select.Text(0)) : std::string();
}

Status WriteMeta(Database& db, std::string_view key, const std::string& value) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement upsert,
                          db.Prepare("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)"));
  return upsert.Bind(1, key).Bind(2, value).Run();
}

}  // namespace

Result<HubIncarnation> ReadIncarnation(Database& db) {
  HubIncarnation incarnation;
  SKERRY_ASSIGN_OR_RETURN(incarnation.id, ReadMeta(db, "incarnation"));
  if (incarnation.id.empty())
    return Fail(ErrorCode::kDataLoss, "the hub's store has no incarnation");
  SKERRY_ASSIGN_OR_RETURN(const std::string restores, ReadMeta(db, "restores"));
  std::from_chars(restores.data(), restores.data() + restores.size(), incarnation.restores);
  return incarnation;
}

Status BeginIncarnation(Database& db, std::uint64_t seen) {
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation before, ReadIncarnation(db));
  SKERRY_RETURN_IF_ERROR(WriteMeta(db, "incarnation", RandomHex(16)));
  return WriteMeta(db, "restores", std::to_string(std::max(before.restores, seen) + 1));
}

}  // namespace skerry
