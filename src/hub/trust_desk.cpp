#include "hub/trust_desk.h"

#include "base/limits.h"
#include "base/tuf_limits.h"
#include "hub/audit_log.h"
#include "hub/incarnation.h"

namespace skerry {
namespace {

Result<std::string> FileNamed(Database& db, std::string_view name) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db.Prepare("SELECT bytes FROM tuf_files WHERE name = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, name).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "the TUF repository has no {}", name);
  return std::string(select.Text(0));
}

// The files that stand for what repositories are loaded from are not targets.
constexpr std::string_view kNewest =
    "SELECT name, family, number, bytes FROM tuf_files AS f WHERE name NOT LIKE 'targets/%' AND "
    "number = (SELECT max(number) FROM tuf_files WHERE family = f.family)";

Result<std::vector<TufFile>> ReadFiles(Database& db, std::string_view query) {
  std::vector<TufFile> files;
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select, db.Prepare(query));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return files;
    files.push_back({std::string(select.Text(0)), std::string(select.Text(1)),
                     static_cast<std::uint64_t>(select.Int(2)), std::string(select.Text(3))});
  }
}

}  // namespace

Result<std::unique_ptr<TrustDesk>> TrustDesk::Open(HubStore& store, std::filesystem::path keys,
                                                   const Clock& clock) {
  std::unique_ptr<TrustDesk> desk(new TrustDesk(store, std::move(keys), clock));
  Status made = store.Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(SqlStatement any, db.Prepare("SELECT 1 FROM tuf_files LIMIT 1"));
    SKERRY_ASSIGN_OR_RETURN(const bool there, any.Step());
    if (there) return {};
    SKERRY_ASSIGN_OR_RETURN(TufRepository repository,
                            TufRepository::Create(desk->keys_, clock.UtcMicros()));
    return Keep(db, repository);
  });
  SKERRY_RETURN_IF_ERROR(std::move(made));
  return desk;
}

Result<std::uint64_t> TrustDesk::VersionFloor(Database& db) {
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation incarnation, ReadIncarnation(db));
  return incarnation.restores * kTufVersionsPerRestore;
}

Result<TufRepository> TrustDesk::Load(Database& db) const {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<TufFile> newest, ReadFiles(db, kNewest));
  SKERRY_ASSIGN_OR_RETURN(TufRepository repository, TufRepository::Load(keys_, newest));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t floor, VersionFloor(db));
  repository.SetFloor(floor);
  return repository;
}

// Roots are kept for ever, and of everything else enough for those who are in the middle of it.
Status TrustDesk::Keep(Database& db, TufRepository& repository) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement put, db.Prepare("INSERT OR REPLACE INTO tuf_files(name, family, number, bytes) "
                                   "VALUES(?, ?, ?, ?)"));
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement prune,
      db.Prepare("DELETE FROM tuf_files WHERE family = ?1 AND family <> 'root' AND number < "
                 "(SELECT number FROM tuf_files WHERE family = ?1 ORDER BY number DESC "
                 "LIMIT 1 OFFSET ?2)"));
  for (const TufFile& file : repository.TakeFiles()) {
    const std::string name = file.name.empty() ? file.family : file.name;
    put.Bind(1, name).Bind(2, file.family).Bind(3, file.number).Bind(4, file.bytes);
    SKERRY_RETURN_IF_ERROR(put.Run());
    prune.Bind(1, file.family).Bind(2, std::uint64_t{limits::kTufVersionsKept - 1});
    SKERRY_RETURN_IF_ERROR(prune.Run());
  }
  return {};
}

Status TrustDesk::Publish(Database& db, const std::string& path, std::string_view bytes) {
  SKERRY_ASSIGN_OR_RETURN(TufRepository repository, Load(db));
  SKERRY_RETURN_IF_ERROR(repository.Publish(path, bytes, clock_->UtcMicros()));
  return Keep(db, repository);
}

Status TrustDesk::Refresh() {
  const std::int64_t now_us = clock_->UtcMicros();
  // Asked by every site in every round: without the rest of the repository.
  SKERRY_ASSIGN_OR_RETURN(const bool due, store_->Read([&](Database& db) -> Result<bool> {
    SKERRY_ASSIGN_OR_RETURN(const std::string bytes, FileNamed(db, kTufTimestampName));
    SKERRY_ASSIGN_OR_RETURN(const TufSigned document,
                            ParseTuf(bytes, "timestamp", limits::kTufTimestampBytes));
    SKERRY_ASSIGN_OR_RETURN(const TufTimestamp timestamp, TufTimestamp::FromJson(document.body));
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t floor, VersionFloor(db));
    return TufRepository::IsDue(timestamp, floor, now_us);
  }));
  if (!due) return {};
  return store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(TufRepository repository, Load(db));
    if (!repository.RefreshIsDue(now_us)) return {};
    SKERRY_RETURN_IF_ERROR(repository.Refresh(now_us));
    return Keep(db, repository);
  });
}

Result<std::string> TrustDesk::File(const std::string& name) {
  if (name == kTufTimestampName) SKERRY_RETURN_IF_ERROR(Refresh());
  return store_->Read([&](Database& db) { return FileNamed(db, name); });
}

Result<std::string> TrustDesk::Root() {
  return store_->Read([&](Database& db) -> Result<std::string> {
    SKERRY_ASSIGN_OR_RETURN(const TufRepository repository, Load(db));
    return repository.root_json();
  });
}

Result<std::vector<TufFile>> TrustDesk::FilesFor(const std::string& path) {
  SKERRY_RETURN_IF_ERROR(Refresh());
  return store_->Read([&](Database& db) -> Result<std::vector<TufFile>> {
    SKERRY_ASSIGN_OR_RETURN(
        std::vector<TufFile> files,
        ReadFiles(db,
                  "SELECT name, family, number, bytes FROM tuf_files WHERE family = 'root' "
                  "ORDER BY number"));
    SKERRY_ASSIGN_OR_RETURN(const TufRepository repository, Load(db));
    for (const std::string& name : repository.NamesFor(path)) {
      SKERRY_ASSIGN_OR_RETURN(std::string bytes, FileNamed(db, name));
      files.push_back({name, "", 0, std::move(bytes)});
    }
    return files;
  });
}

Result<Json> TrustDesk::Facts() {
  SKERRY_RETURN_IF_ERROR(Refresh());
  return store_->Read([&](Database& db) -> Result<Json> {
    SKERRY_ASSIGN_OR_RETURN(const TufRepository repository, Load(db));
    return repository.ToJson();
  });
}

Result<std::string> TrustDesk::Draft() {
  return store_->Read([&](Database& db) -> Result<std::string> {
    SKERRY_ASSIGN_OR_RETURN(const TufRepository repository, Load(db));
    if (auto draft = repository.draft_json()) return std::move(*draft);
    return Fail(ErrorCode::kNotFound, "no root waits for signatures");
  });
}

Status TrustDesk::Change(std::string_view action, const std::string& subject, Json details,
                         const std::function<Status(TufRepository&)>& change) {
  return store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(TufRepository repository, Load(db));
    SKERRY_RETURN_IF_ERROR(change(repository));
    SKERRY_RETURN_IF_ERROR(Keep(db, repository));
    details["draft"] = repository.draft_json().has_value();
    return AuditLog(db).Append(clock_->UtcMicros(), "admin", action, subject, details);
  });
}

Status TrustDesk::Rotate(const std::string& role) {
  return Change("trust.rotate", role, Json::object(), [&](TufRepository& repository) {
    return repository.Rotate(role, clock_->UtcMicros());
  });
}

Status TrustDesk::SetRootKeys(std::uint64_t threshold, const std::vector<std::string>& key_pems) {
  std::vector<PublicKey> keys;
  Json ids = Json::array();
  for (const std::string& pem : key_pems) {
    SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromPem(pem));
    ids.push_back(TufKeyId(key));
    keys.push_back(std::move(key));
  }
  return Change("trust.root_keys", "root", Json{{"threshold", threshold}, {"keys", ids}},
                [&](TufRepository& repository) {
                  return repository.SetRootKeys(threshold, keys, clock_->UtcMicros());
                });
}

Status TrustDesk::TakeRoot(std::string_view root_json) {
  return Change("trust.root", "root", Json::object(), [&](TufRepository& repository) {
    return repository.TakeRoot(root_json, clock_->UtcMicros());
  });
}

Status TrustDesk::SetGroup(const std::string& group, const std::set<std::string>& sites) {
  return Change("trust.group", group, Json{{"sites", sites}}, [&](TufRepository& repository) {
    return repository.SetGroup(group, sites, clock_->UtcMicros());
  });
}

}  // namespace skerry
