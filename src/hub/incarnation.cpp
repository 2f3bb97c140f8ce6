#include "hub/incarnation.h"

#include <algorithm>
#include <charconv>

#include "base/ids.h"

namespace skerry {
namespace {

// Of keys in `meta`: the incarnation in which the site's outbox was read again.
constexpr std::string_view kReplayPrefix = "replayed/";

std::string ReplayKey(std::string_view site) { return fmt::format("{}{}", kReplayPrefix, site); }

Result<std::string> ReadMeta(Database& db, std::string_view key) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select, db.Prepare("SELECT value FROM meta WHERE key = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, key).Step());
  return found ? std::string(select.Text(0)) : std::string();
}

Status WriteMeta(Database& db, std::string_view key, std::string_view value) {
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

Result<bool> ReplayIsDue(Database& db, std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation incarnation, ReadIncarnation(db));
  if (incarnation.restores == 0) return false;
  SKERRY_ASSIGN_OR_RETURN(const std::string replayed, ReadMeta(db, ReplayKey(site)));
  if (replayed == incarnation.id) return false;
  SKERRY_ASSIGN_OR_RETURN(SqlStatement known, db.Prepare("SELECT 1 FROM sites WHERE site = ?"));
  return known.Bind(1, site).Step();
}

Result<std::vector<std::string>> SitesToReplay(Database& db) {
  std::vector<std::string> sites;
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation incarnation, ReadIncarnation(db));
  if (incarnation.restores == 0) return sites;
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db.Prepare("SELECT site FROM sites WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = ?1 || "
                 "sites.site AND value = ?2) ORDER BY site"));
  select.Bind(1, kReplayPrefix).Bind(2, incarnation.id);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return sites;
    sites.emplace_back(select.Text(0));
  }
}

Status MarkReplayed(Database& db, std::string_view site, const std::string& incarnation) {
  return WriteMeta(db, ReplayKey(site), incarnation);
}

}  // namespace skerry
