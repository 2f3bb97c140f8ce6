#include "hub/site_directory.h"

namespace skerry {
namespace {

constexpr std::string_view kSiteColumns =
    "SELECT site, created_us, receipt_counter, last_link_us, last_media_us, status_counter, "
    "status_us, status_json, duplicate_rows FROM sites";

SiteRecord ReadSite(const SqlStatement& row) {
  SiteRecord record;
  record.site = std::string(row.Text(0));
  record.created_us = row.Int(1);
  record.receipt_counter = static_cast<std::uint64_t>(row.Int(2));
  record.last_link_us = row.Int(3);
  record.last_media_us = row.Int(4);
  record.status_counter = static_cast<std::uint64_t>(row.Int(5));
  record.status_us = row.Int(6);
  record.status_json = std::string(row.Text(7));
  record.duplicate_rows = static_cast<std::uint64_t>(row.Int(8));
  return record;
}

}  // namespace

std::string_view RoadName(Road road) {
  switch (road) {
    case Road::kLink: return "link";
    case Road::kMedia: return "media";
    case Road::kRegistry: break;
  }
  return "registry";
}

Status SiteDirectory::AddToken(const TokenRecord& token) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT INTO tokens(token_id, site, secret, created_us) VALUES(?, ?, ?, ?)"));
  return insert.Bind(1, token.token_id)
      .Bind(2, token.site)
      .Bind(3, token.secret)
      .Bind(4, token.created_us)
      .Run();
}

Result<TokenRecord> SiteDirectory::FindToken(std::string_view token_id) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT token_id, site, secret, created_us, used_us IS NOT NULL, "
                   "used_by_key_id FROM tokens WHERE token_id = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, token_id).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "no such join token");
  TokenRecord token;
  token.token_id = std::string(select.Text(0));
  token.site = std::string(select.Text(1));
  token.secret = std::string(select.Text(2));
  token.created_us = select.Int(3);
  if (select.Int(4) != 0) token.used_by_key_id = std::string(select.Text(5));
  return token;
}

Status SiteDirectory::MarkTokenUsed(std::string_view token_id, std::string_view key_id,
                                    std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE tokens SET used_us = ?, used_by_key_id = ? WHERE token_id = ?"));
  return update.Bind(1, now_us).Bind(2, key_id).Bind(3, token_id).Run();
}

Status SiteDirectory::AddSite(std::string_view site, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR IGNORE INTO sites(site, created_us) VALUES(?, ?)"));
  return insert.Bind(1, site).Bind(2, now_us).Run();
}

Status SiteDirectory::AddKey(std::string_view site, const PublicKey& key,
                             std::string_view certificate_pem, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement owner,
                          db_->Prepare("SELECT site FROM site_keys WHERE key_id = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool known, owner.Bind(1, key.key_id()).Step());
  if (known && owner.Text(0) != site)
    return Fail(ErrorCode::kConflict, "this key belongs to the site {}", owner.Text(0));
  owner.Reset();
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR REPLACE INTO site_keys(key_id, site, pem, certificate_pem, added_us) "
                   "VALUES(?, ?, ?, ?, ?)"));
  return insert.Bind(1, key.key_id())
      .Bind(2, site)
      .Bind(3, key.ToPem())
      .Bind(4, certificate_pem)
      .Bind(5, now_us)
      .Run();
}

Result<std::vector<PublicKey>> SiteDirectory::Keys(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT pem FROM site_keys WHERE site = ?"));
  select.Bind(1, site);
  std::vector<PublicKey> keys;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return keys;
    SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromPem(select.Text(0)));
    keys.push_back(std::move(key));
  }
}

Result<std::string> SiteDirectory::CertificateOf(std::string_view key_id) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT certificate_pem FROM site_keys WHERE key_id = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, key_id).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "no site has the key {}", key_id);
  return std::string(select.Text(0));
}

Result<std::string> SiteDirectory::NewestCertificate(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT certificate_pem FROM site_keys WHERE site = ? AND revoked_us = 0 "
                   "ORDER BY added_us DESC LIMIT 1"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, site).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "no key has joined for the site {}", site);
  return std::string(select.Text(0));
}

Result<std::int64_t> SiteDirectory::NewestKeyUs(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT coalesce(max(added_us), 0) FROM site_keys WHERE site = ?"));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const bool found, select.Bind(1, site).Step());
  return select.Int(0);
}

Status SiteDirectory::SetCertificate(std::string_view key_id, std::string_view certificate_pem) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE site_keys SET certificate_pem = ? WHERE key_id = ?"));
  return update.Bind(1, certificate_pem).Bind(2, key_id).Run();
}

Result<bool> SiteDirectory::HasKey(std::string_view site, std::string_view key_id) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT 1 FROM site_keys WHERE key_id = ? AND site = ? AND revoked_us = 0"));
  return select.Bind(1, key_id).Bind(2, site).Step();
}

Result<std::uint64_t> SiteDirectory::RevokeKeys(std::string_view site, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE site_keys SET revoked_us = ? WHERE site = ? AND revoked_us = 0"));
  SKERRY_RETURN_IF_ERROR(update.Bind(1, now_us).Bind(2, site).Run());
  return static_cast<std::uint64_t>(db_->changes());
}

Result<SiteRecord> SiteDirectory::Find(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} WHERE site = ?", kSiteColumns)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, site).Step());
  if (!found)
    return Fail(
        ErrorCode::kNotFound,
        "no site named {} has joined; 'skerry token' (POST /v1/tokens) makes the token with "
        "which it does",
        site);
  return ReadSite(select);
}

Result<std::vector<SiteRecord>> SiteDirectory::List() {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} ORDER BY site", kSiteColumns)));
  std::vector<SiteRecord> sites;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return sites;
    sites.push_back(ReadSite(select));
  }
}

Status SiteDirectory::RecordContact(std::string_view site, Road road, std::int64_t now_us) {
  if (road == Road::kRegistry) return {};
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare(road == Road::kLink ? "UPDATE sites SET last_link_us = ? WHERE site = ?"
                                       : "UPDATE sites SET last_media_us = ? WHERE site = ?"));
  return update.Bind(1, now_us).Bind(2, site).Run();
}

Status SiteDirectory::StoreStatus(std::string_view site, std::uint64_t counter,
                                  std::string_view json, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE sites SET status_counter = ?, status_json = ?, status_us = ? "
                   "WHERE site = ?"));
  return update.Bind(1, counter).Bind(2, json).Bind(3, now_us).Bind(4, site).Run();
}

Status SiteDirectory::AddDuplicateRows(std::string_view site, std::uint64_t rows) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE sites SET duplicate_rows = duplicate_rows + ? WHERE site = ?"));
  return update.Bind(1, rows).Bind(2, site).Run();
}

Status SiteDirectory::RaiseReceiptCounter(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE sites SET receipt_counter = receipt_counter + 1 WHERE site = ?"));
  return update.Bind(1, site).Run();
}

}  // namespace skerry
