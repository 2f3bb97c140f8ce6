// A hub for the tests of the exchange: the real registry, the real trust functions and documents,
// over real TLS, with a ledger that refuses to take a record twice. (The product's hub is in hub/.)
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "crypto/certificate.h"
#include "crypto/key.h"
#include "http/server.h"
#include "oci/registry.h"
#include "outbox/receipt.h"
#include "outbox/site_status.h"
#include "outbox/statement.h"
#include "trust/desired_state.h"
#include "trust/join.h"
#include "trust/tuf_repository.h"

namespace skerry {

// For what a test cannot go on without: throws the error's message.
inline void Must(const Status& status) {
  if (!status) throw std::runtime_error(status.error().ToString());
}
template <typename T>
T Must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().ToString());
  return *std::move(result);
}

class TestHub {
 public:
  enum class Transport { kTls, kPlain };
  TestHub(const std::filesystem::path& directory, Transport transport, const Clock& clock);
  ~TestHub();

  std::string url() const;
  std::uint16_t port() const { return server_->port(); }
  const PrivateKey& key() const { return key_; }
  const PrivateKey& model_key() const { return model_key_; }
  const CertificateAuthority& ca() const { return ca_; }
  Registry& registry() { return *registry_; }

  JoinToken MakeToken(const std::string& site, const std::string& hub_url);
  Result<std::string> Grant(const JoinRequest& request);
  // Packs, signs and stores a package directory; the same for a policy.
  enum class Signing { kSigned, kUnsigned, kByAnotherKey };
  ModelRef Publish(const std::filesystem::path& package, const std::string& name,
                   const std::string& version, Signing signing = Signing::kSigned);
  PolicyRef PublishPolicy(const std::string& name, const std::string& version,
                          const std::string& yaml);
  // Fills in site, time and keys, and publishes it: all that a site needs to follow it.
  Artifact SetDesired(DesiredState state);
  // The TUF repository as it is now is what it will be after RestoreTuf, as by a back-up.
  void BackUpTuf();
  void RestoreTuf();
  std::string CurrentReceipt();

  // Becomes what it was before it had received anything, and does not know that.
  void GoBack();

  // Refuses the manifest when it returns an error; called before anything is taken.
  using Refusal = std::function<Status(const ShipmentStatement&)>;
  void Refuse(Refusal refusal);
  // Runs after the shipment is taken and before the answer: an error loses the answer.
  void BeforeAnswer(std::function<Status()> hook);

  // From now on every site hears 401 until it has a new certificate.
  void ExpireCertificates();
  std::uint64_t renewals() const;
  // Every site's key; what they sign and ask for is refused from then on.
  void ForgetKeys();

  // HTTP requests that were answered.
  std::uint64_t requests() const;
  // What was taken.
  std::uint64_t primary_rows() const;
  std::uint64_t taken_segments() const;
  std::uint64_t repeated_segments() const;  // offered again, with the same content: ignored
  std::uint64_t conflicts() const;          // the same range with other content
  std::optional<SiteStatus> status() const;

 private:
  using Stream = std::pair<InstanceId, RecordClass>;
  Result<std::optional<std::string>> Take(std::string_view repository, const Manifest& manifest);
  void TakeSegment(const SegmentEntry& segment);
  std::string SignedReceipt();
  void TakeTufFiles();
  Result<HttpResponse> Tuf(const std::string& name);
  std::vector<Route> Routes();
  Result<HttpResponse> Join(const HttpRequest& request);
  Result<HttpResponse> Renew(const HttpRequest& request);
  Result<HttpResponse> PostStatus(const HttpRequest& request);
  Result<HttpResponse> PostReceipt(const HttpRequest& request);

  SystemClock system_clock_;  // what TLS judges certificates by
  const Clock* clock_;        // what documents carry
  Transport transport_;
  MetricRegistry metrics_;
  PrivateKey key_;
  PrivateKey model_key_;
  CertificateAuthority ca_;
  std::unique_ptr<Registry> registry_;

  mutable std::mutex mutex_;
  Refusal refusal_;
  std::function<Status()> before_answer_;
  std::map<std::string, std::string> secrets_;  // of unused tokens
  std::set<std::string> used_tokens_;
  std::vector<PublicKey> site_keys_;
  std::string site_;
  std::unique_ptr<TufRepository> tuf_, tuf_backup_;
  std::map<std::string, std::string> tuf_files_, tuf_files_backup_;
  bool expired_ = false;
  std::uint64_t renewals_ = 0;
  std::map<Stream, StreamReceipt> streams_;
  std::map<std::pair<Stream, std::uint64_t>, Digest> segments_;  // by first seq
  std::string incarnation_ = "test";
  std::uint64_t restores_ = 0;
  std::uint64_t receipt_counter_ = 0;
  std::uint64_t primary_rows_ = 0;
  std::uint64_t repeated_ = 0;
  std::uint64_t conflicts_ = 0;
  std::optional<SiteStatus> status_;

  std::unique_ptr<HttpServer> server_;  // last: its handlers use all of the above
};

}  // namespace skerry
