// The hub's routes that a site calls beside the registry: joining, the TUF repository, status,
// receipt.
//
// Borrowed: one HttpClient, so one thread at a time. What comes back is an envelope that the caller
// verifies; here only what is plainly not a hub's answer is told apart (a captive portal's page),
// so that the status can say so. Errors: http/client.h for the link, http/status.h for refusals.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "http/client.h"
#include "trust/join.h"
#include "trust/tuf_client.h"

namespace skerry {

// How far the hub's receipts for a site are, as far as the hub knows.
struct ReceiptPosition {
  std::string incarnation;
  std::uint64_t counter = 0;
};

class HubClient {
 public:
  HubClient(std::string base_url, HttpClient& client)
      : base_url_(std::move(base_url)), client_(&client) {}

  // POST /v1/join -> the grant's envelope. kConflict: the token was used already.
  Result<std::string> Join(const JoinRequest& request);
  // POST /v1/sites/{site}/certificate -> the grant's envelope, with a new certificate.
  Result<std::string> Renew(std::string_view site, std::string_view csr_pem);
  // GET /tuf/metadata/timestamp.json, the first question of a round.
  Result<std::string> TufTimestamp(std::string_view site);
  // GET /tuf/<name>; kNotFound.
  Result<std::string> TufFile(const std::string& name, std::size_t max_bytes);
  // POST /v1/sites/{site}/status
  Status PostStatus(std::string_view site, std::string_view envelope);
  // GET /v1/sites/{site}/receipt -> the envelope; none while nothing was received.
  Result<std::optional<std::string>> Receipt(std::string_view site);
  // POST /v1/sites/{site}/receipt: one that the hub has given, so that a hub that was restored from
  // a back-up finds out -> the envelope of the newest, of another incarnation then.
  Result<std::string> ShowReceipt(std::string_view site, std::string_view envelope);
  // POST /v1/sites/{site}/deltas -> the manifest of the patches that make `package` out of what the
  // site holds; none while the hub makes them. Any error: there are none (older hubs: kNotFound).
  Result<std::optional<std::string>> Delta(std::string_view site, const Digest& package,
                                           const std::vector<Digest>& holds);
  // As the latest answer to TufTimestamp or PostStatus said it; none where it did not.
  const std::optional<ReceiptPosition>& position() const { return position_; }

 private:
  Result<HttpReply> Send(std::string method, const std::string& path, std::string body,
                         std::uint64_t max_reply_bytes);
  Result<std::optional<std::string>> GetDocument(const std::string& path,
                                                 std::uint64_t max_reply_bytes);

  std::string base_url_;
  HttpClient* client_;
  std::optional<ReceiptPosition> position_;
};

// The hub's TUF repository over the link, with a timestamp that has been fetched already. Borrows
// the client.
class LinkTufSource final : public TufSource {
 public:
  LinkTufSource(HubClient& hub, std::string timestamp)
      : hub_(&hub), timestamp_(std::move(timestamp)) {}
  Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) override {
    return name == kTufTimestampName ? timestamp_ : hub_->TufFile(name, max_bytes);
  }

 private:
  HubClient* hub_;
  std::string timestamp_;
};

}  // namespace skerry
