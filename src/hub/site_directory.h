// Who the hub knows: sites, their keys and certificates, join tokens, last contacts, last status.
//
// A view on an open connection (store.h); one thread at a time. Old keys are kept for ever, since
// shipments that they signed may still arrive by a courier.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/key.h"
#include "storage/sqlite.h"

namespace skerry {

// By which road something came.
enum class Road : std::uint8_t {
  kLink,
  kMedia,
  kRegistry,  // it had come before, and was forgotten (shipment_replay.h): no contact with the site
};
std::string_view RoadName(Road road);  // "link", "media", "registry"

struct SiteRecord {
  std::string site;
  std::int64_t created_us = 0;
  std::uint64_t receipt_counter = 0;
  std::int64_t last_link_us = 0;   // 0: never
  std::int64_t last_media_us = 0;  // 0: never
  std::uint64_t status_counter = 0;
  std::int64_t status_us = 0;  // when it arrived; 0: none yet
  std::string status_json;     // the payload of the newest status; empty: none yet
  std::uint64_t duplicate_rows = 0;
};

struct TokenRecord {
  std::string token_id;
  std::string site;
  std::string secret;
  std::int64_t created_us = 0;
  std::optional<std::string> used_by_key_id;
};

class SiteDirectory {
 public:
  explicit SiteDirectory(Database& database) : db_(&database) {}

  Status AddToken(const TokenRecord& token);
  Result<TokenRecord> FindToken(std::string_view token_id);  // kNotFound
  Status MarkTokenUsed(std::string_view token_id, std::string_view key_id, std::int64_t now_us);

  // A site that is there already stays as it is.
  Status AddSite(std::string_view site, std::int64_t now_us);
  // kConflict when the key is another site's. A key that is there already gets the certificate.
  Status AddKey(std::string_view site, const PublicKey& key, std::string_view certificate_pem,
                std::int64_t now_us);
  // All that the site ever had.
  Result<std::vector<PublicKey>> Keys(std::string_view site);
  Result<std::string> CertificateOf(std::string_view key_id);  // kNotFound
  // Of the key that joined last and is not revoked; kNotFound.
  Result<std::string> NewestCertificate(std::string_view site);
  // When the newest of its keys came, revoked or not; 0 when none has.
  Result<std::int64_t> NewestKeyUs(std::string_view site);
  Status SetCertificate(std::string_view key_id, std::string_view certificate_pem);
  // Whether it is the site's and not revoked: with such a one it may call.
  Result<bool> HasKey(std::string_view site, std::string_view key_id);
  // Every key that the site has now, which stay what old shipments are verified with. How many.
  Result<std::uint64_t> RevokeKeys(std::string_view site, std::int64_t now_us);

  Result<SiteRecord> Find(std::string_view site);  // kNotFound
  Result<std::vector<SiteRecord>> List();          // by name

  Status RecordContact(std::string_view site, Road road, std::int64_t now_us);
  Status StoreStatus(std::string_view site, std::uint64_t counter, std::string_view json,
                     std::int64_t now_us);
  Status AddDuplicateRows(std::string_view site, std::uint64_t rows);
  // The next number of the site's receipts: what the hub holds has changed.
  Status RaiseReceiptCounter(std::string_view site);

 private:
  Database* db_;
};

}  // namespace skerry
