#include "hub/store.h"

#include <array>
#include <string_view>

#include "base/ids.h"

namespace skerry {
namespace {

// Each step is one version of the schema; steps are only ever appended.
constexpr std::string_view kFirstSchema = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Who may talk to us.
CREATE TABLE sites(
  site TEXT PRIMARY KEY, created_us INTEGER NOT NULL,
  receipt_counter INTEGER NOT NULL DEFAULT 0,
  last_link_us INTEGER NOT NULL DEFAULT 0, last_media_us INTEGER NOT NULL DEFAULT 0,
  status_counter INTEGER NOT NULL DEFAULT 0, status_us INTEGER NOT NULL DEFAULT 0,
  status_json TEXT NOT NULL DEFAULT '',
  duplicate_rows INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE site_keys(
  key_id TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites(site), pem TEXT NOT NULL,
  certificate_pem TEXT NOT NULL, added_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX site_keys_by_site ON site_keys(site);
CREATE TABLE tokens(
  token_id TEXT PRIMARY KEY, site TEXT NOT NULL, secret TEXT NOT NULL,
  created_us INTEGER NOT NULL, used_us INTEGER, used_by_key_id TEXT) WITHOUT ROWID;

-- What was received.
CREATE TABLE statements(
  site TEXT NOT NULL, digest TEXT NOT NULL, epoch TEXT NOT NULL, number INTEGER NOT NULL,
  previous TEXT, sealed_us INTEGER NOT NULL, received_us INTEGER NOT NULL,
  manifest TEXT NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY(site, digest)) WITHOUT ROWID;
CREATE TABLE segments(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, class TEXT NOT NULL, epoch TEXT NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, digest TEXT NOT NULL,
  state TEXT NOT NULL,          -- 'lake', 'quarantined' (not in the lake), 'conflict' (all known)
  rows INTEGER NOT NULL, primary_rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  received_us INTEGER NOT NULL);
CREATE INDEX segments_by_stream ON segments(site, epoch, class, first_seq);
CREATE INDEX segments_by_digest ON segments(site, digest);
CREATE TABLE lake_files(
  path TEXT PRIMARY KEY, segment INTEGER NOT NULL REFERENCES segments(id), site TEXT NOT NULL,
  class TEXT NOT NULL, model_name TEXT NOT NULL, rows INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX lake_files_by_class ON lake_files(class, site, segment);
CREATE TABLE streams(           -- the highest seq that a statement spoke of
  site TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, sealed_through INTEGER NOT NULL,
  PRIMARY KEY(site, epoch, class)) WITHOUT ROWID;
CREATE TABLE intervals(         -- of each stream, merged: state 'held' or 'gap'
  site TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, state TEXT NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  PRIMARY KEY(site, epoch, class, state, first_seq)) WITHOUT ROWID;
CREATE TABLE gaps(
  site TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, primary_rows INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(site, epoch, class, first_seq, last_seq, reason)) WITHOUT ROWID;
CREATE TABLE counts(            -- released rows by event time
  site TEXT NOT NULL, class TEXT NOT NULL, bucket_us INTEGER NOT NULL, rows INTEGER NOT NULL,
  PRIMARY KEY(site, class, bucket_us)) WITHOUT ROWID;
CREATE TABLE set_aside(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
  name TEXT NOT NULL, reason TEXT NOT NULL, rows INTEGER NOT NULL, at_us INTEGER NOT NULL,
  UNIQUE(site, kind, digest, name));
CREATE TABLE reading(           -- items being read now; left behind by a process that died of one
  digest TEXT PRIMARY KEY, attempts INTEGER NOT NULL) WITHOUT ROWID;

-- What people and runs say.
CREATE TABLE desired(
  site TEXT PRIMARY KEY, version INTEGER NOT NULL, json TEXT NOT NULL,
  envelope TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE labels(
  set_name TEXT NOT NULL, instance TEXT NOT NULL, n INTEGER NOT NULL, label TEXT NOT NULL,
  at_us INTEGER NOT NULL, PRIMARY KEY(set_name, instance, n)) WITHOUT ROWID;
CREATE TABLE runs(
  id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, kind TEXT NOT NULL, spec TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '',
  model TEXT NOT NULL DEFAULT '', created_us INTEGER NOT NULL,
  started_us INTEGER NOT NULL DEFAULT 0, finished_us INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE audit(
  n INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER audit_is_append_only_1 BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_2 BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
)sql";

// hub/clock_ledger.h
constexpr std::string_view kClockSchema = R"sql(
ALTER TABLE statements ADD COLUMN trusted_us INTEGER NOT NULL DEFAULT 0;  -- UTC, by its own anchor
CREATE INDEX statements_by_epoch ON statements(site, epoch, number);
CREATE TABLE clock_anchors(
  site TEXT NOT NULL, instance TEXT NOT NULL, mono_us INTEGER NOT NULL, utc_us INTEGER NOT NULL,
  PRIMARY KEY(site, instance, mono_us, utc_us)) WITHOUT ROWID;
CREATE TABLE clock_files(       -- lake files that have times
  path TEXT PRIMARY KEY, site TEXT NOT NULL, epoch TEXT NOT NULL, received_us INTEGER NOT NULL,
  asks INTEGER NOT NULL,        -- 0: not on the list
  attempts INTEGER NOT NULL DEFAULT 0,             -- begun and not ended
  rows INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;  -- of its correction
CREATE INDEX clock_files_due ON clock_files(received_us) WHERE asks > 0;
CREATE INDEX clock_files_corrected ON clock_files(path) WHERE rows > 0;
CREATE TABLE clock_spans(       -- whose rows are in a file
  site TEXT NOT NULL, instance TEXT NOT NULL, path TEXT NOT NULL, first_mono_us INTEGER NOT NULL,
  last_mono_us INTEGER NOT NULL, PRIMARY KEY(site, instance, path)) WITHOUT ROWID;
CREATE INDEX clock_spans_by_path ON clock_spans(path);
CREATE TABLE clock_moves(       -- what a file's correction changed in `counts`
  path TEXT NOT NULL, bucket_us INTEGER NOT NULL, rows INTEGER NOT NULL,
  PRIMARY KEY(path, bucket_us)) WITHOUT ROWID;
)sql";

// A site whose keys were revoked; 0: they are good.
constexpr std::string_view kRevokedKeys =
    "ALTER TABLE site_keys ADD COLUMN revoked_us INTEGER NOT NULL DEFAULT 0;";

// hub/registry_accounts.h
constexpr std::string_view kRegistryAccountsSchema = R"sql(
CREATE TABLE registry_accounts(
  name TEXT PRIMARY KEY, secret_sha256 TEXT NOT NULL, rights TEXT NOT NULL,  -- JSON
  created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL) WITHOUT ROWID;
)sql";

// hub/registry_rulebook.h
constexpr std::string_view kRegistryRulesSchema = R"sql(
CREATE TABLE registry_rules(
  prefix TEXT PRIMARY KEY, immutable_tags INTEGER NOT NULL, quota_bytes INTEGER NOT NULL)
  WITHOUT ROWID;
)sql";

// When a person took note of what was set aside; 0: not yet.
constexpr std::string_view kAcknowledged =
    "ALTER TABLE set_aside ADD COLUMN acknowledged_us INTEGER NOT NULL DEFAULT 0;";

// trust_desk.h
constexpr std::string_view kTufSchema = R"sql(
CREATE TABLE tuf_files(         -- of the repository, and the root that waits for signatures
  name TEXT PRIMARY KEY,        -- as it is fetched
  family TEXT NOT NULL,         -- the role; of a target its path
  number INTEGER NOT NULL, bytes TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX tuf_files_by_family ON tuf_files(family, number);
ALTER TABLE desired DROP COLUMN envelope;
)sql";

constexpr std::array<std::string_view, 7> kSchema = {
    kFirstSchema,         kClockSchema,  kRevokedKeys, kRegistryAccountsSchema,
    kRegistryRulesSchema, kAcknowledged, kTufSchema};

}  // namespace

Result<std::unique_ptr<HubStore>> HubStore::Open(const std::filesystem::path& file) {
  SKERRY_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(file));
  SKERRY_RETURN_IF_ERROR(database->Migrate(kSchema));
  std::unique_ptr<HubStore> store(new HubStore(std::move(database)));
  SKERRY_RETURN_IF_ERROR(store->KeepIncarnation());
  return store;
}

Status HubStore::KeepIncarnation() {
  return Write([](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(
        SqlStatement insert,
        db.Prepare("INSERT OR IGNORE INTO meta(key, value) VALUES('incarnation', ?)"));
    return insert.Bind(1, RandomHex(16)).Run();
  });
}

}  // namespace skerry
