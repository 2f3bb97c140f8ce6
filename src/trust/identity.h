// Who this site is and whom it trusts: its key, certificate, hub keys, floors and last desired
// state.
//
// Role: the one owner of `<data>/identity/`. Made at the first start, before any hub is known, so a
// site signs its statements with the same key from its first row on.
//   key.pem 0600            the site's signing and TLS key
//   policy.key 0600         32 bytes, HMAC key of the policy's pseudonyms; never leaves
//   policy.<n>.key 0600     those before it, 1 the first; never leave either
//   token.json 0600         the join token, kept until joined
//   site.json               the name, whence the hub is reached, the token taken last
//   grant.json 0600         the verified join grant: certificate, CA, hub keys
//   tuf/                    what is trusted of the hub's TUF repository (trust/tuf_client.h)
//   desired.json            the newest accepted desired state, a target of it
//   floors.json             per model name the highest admitted version and its digest
//   time.json               the time floor: the newest time that the hub has signed
//
// Thread-safe: exchange, bundle import and control routes call it at once. Getters return copies.
// Durability: what a call stored is synced when it returns; each file is replaced as a whole.
// Errors: kPermissionDenied (signature, foreign document, readable secret), kConflict (older
// version), kDataLoss (a damaged file, with its path), kFailedPrecondition (no token, not joined).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "crypto/certificate.h"
#include "crypto/key.h"
#include "trust/desired_state.h"
#include "trust/join.h"
#include "trust/tuf_client.h"

namespace skerry {

class SiteIdentity {
 public:
  // Creates what is missing. `directory` is `<data>/identity`. A `name` that differs from the
  // stored one is refused (kConflict): one data directory is one site for ever. Empty: the stored
  // name, or "" until TakeToken.
  static Result<std::unique_ptr<SiteIdentity>> Open(const std::filesystem::path& directory,
                                                    std::string_view name = {});
  SiteIdentity(const SiteIdentity&) = delete;
  SiteIdentity& operator=(const SiteIdentity&) = delete;

  std::string site() const;
  PrivateKey key() const;
  std::string policy_hmac_key() const;  // 32 raw bytes
  // The newest first: what a pseudonym of an earlier key stood for can be found out here alone.
  std::vector<std::string> policy_hmac_keys() const;
  // A new key, from now on.
  Status RotatePolicyKey();

  // Keeps the token until the grant comes. When joined, the token that was taken last is left
  // alone, with a log line (harmless). Another one means joining again, as after a revocation: a
  // new key is drawn, and the site has not joined until that key is granted a certificate; what it
  // runs, its floors and pseudonyms stay. Call it before anything else takes a copy of the key.
  // kConflict: a token for another site, or of a hub that has not signed this site's grant.
  Status TakeToken(const JoinToken& token);
  bool has_token() const;
  bool joined() const;
  std::string hub_url() const;  // from the token; "" when unknown
  // "" until there is a token or a grant.
  std::string ca_pem() const;
  std::string certificate_pem() const;  // "" until joined
  // kFailedPrecondition without a token.
  Result<JoinRequest> MakeRequest() const;
  enum class GrantChange { kTaken, kSame };
  // Verified against the token's pinned key (see VerifyJoinGrant). After that the token is gone.
  // When joined already it is verified by the known hub keys; then a certificate of this site's key
  // that lasts longer takes the place of the one held (a renewal), and any other changes nothing.
  Result<GrantChange> ApplyGrant(std::string_view envelope_json);
  // A request (PEM) for a new certificate of the same key: the proof of the key is its signature.
  Result<std::string> MakeRenewalRequest() const;
  // Whether the certificate has two thirds of its life behind it. False until joined.
  bool RenewalIsDue(const Clock& clock) const;
  // Keeps a gauge up to date: when the certificate expires. `metrics` outlives this.
  void ShowIn(MetricRegistry& metrics);
  // What the certificate says; none until joined.
  std::optional<CertificateFacts> certificate() const;
  // The keys that verify receipts and grants: the grant's; before it none.
  std::vector<PublicKey> hub_keys() const;

  // The time floor: the newest time in what the hub has signed. No right clock reads earlier.
  std::int64_t time_floor_us() const;
  // Never lowers it. `utc_us` comes from a document whose signature has been verified. At once in
  // memory; durable when it is an hour or more above what is stored. That it cannot be stored is
  // logged: the documents themselves are here.
  void RaiseTimeFloor(std::int64_t utc_us);
  // By which certificates and metadata are judged: the clock, or the floor where that is later.
  std::int64_t Now(const Clock& clock) const;

  std::optional<DesiredState> desired() const;
  enum class DesiredChange { kNewer, kSame, kNone };
  // Brings what is trusted of the hub's repository up to date from `source` and takes this site's
  // desired state out of it; kNone: the hub has set none. kFailedPrecondition until joined; other
  // errors as of TufClient, and what was accepted before stays in force. Metadata that has expired
  // is accepted like any other: expiry is the alarm's business. One call at a time; a second one
  // waits for the source of the first.
  Result<DesiredChange> FollowDesired(TufSource& source);
  // Whether the hub's timestamp is the one that the desired state held here was taken by: then
  // there is nothing to fetch.
  bool IsCurrent(std::string_view timestamp_json) const;
  // Which of the documents behind the desired state expires first; none before the first.
  std::optional<TufExpiry> metadata_expiry() const;
  // Of the root that is trusted; 0 until joined.
  std::uint64_t root_version() const;

  // Version order of invariant 5. Fine when `package` is not older than the highest version ever
  // admitted under its name, or is exactly the fallback that `state` names. kConflict when it is
  // older, or is the same version with another digest.
  Status CheckFloor(const ModelRef& package, const DesiredState& state) const;
  // Call after all the checks have passed. Never lowers.
  Status RaiseFloor(const ModelRef& package);

 private:
  SiteIdentity(std::filesystem::path directory, PrivateKey key, std::string policy_hmac_key,
               TufClient tuf);
  // All of these want mutex_ held, where nothing else is said.
  Status LoadOldPolicyKeys();
  Status LoadName();
  Status LoadJoining();
  Status LoadVersions();
  void LoadMetadata();
  void NoteMetadata(bool current);
  // Wants tuf_mutex_ and not mutex_. Nothing where the hub has set none.
  Result<std::optional<std::string>> FetchDesired(TufSource& source);
  void LoadTimeFloor();
  void RaiseFloorTo(std::int64_t utc_us);
  Status TakeGrant(const JoinGrant& grant);
  // Wants tuf_mutex_ as well.
  Status TrustRoot(const JoinGrant& grant);
  void ShowExpiry();
  Result<GrantChange> ApplyRenewal(std::string_view envelope_json);
  Status SaveName(const std::string& site, const std::string& hub_url, const std::string& token);
  Status CheckHubOf(const JoinToken& token) const;
  // With the token in token.json: a key of its own for the second joining.
  Status DrawNewKey();
  std::filesystem::path File(const char* name) const { return directory_ / name; }

  const std::filesystem::path directory_;
  std::mutex tuf_mutex_;  // guards tuf_; taken before mutex_, and held while files are fetched
  TufClient tuf_;
  mutable std::mutex mutex_;  // guards everything below
  PrivateKey key_;
  std::string policy_hmac_key_;
  std::vector<std::string> old_policy_keys_;  // the first one first
  std::string site_;
  std::string hub_url_;
  std::string token_id_;  // taken last; "" before the first
  std::optional<JoinToken> token_;
  std::string certificate_pem_;
  std::string ca_pem_;
  std::vector<PublicKey> hub_keys_;
  std::optional<DesiredState> desired_;
  std::string desired_text_;         // as it came; "" when there is none
  std::string current_timestamp_;    // by which all was fetched; "" when not all was
  std::optional<TufExpiry> expiry_;  // of tuf_
  std::uint64_t root_version_ = 0;   // of tuf_
  std::map<std::string, ModelRef> floors_;
  Gauge* expires_gauge_ = nullptr;
  std::int64_t time_floor_us_ = 0;
  std::int64_t stored_time_floor_us_ = 0;
};

}  // namespace skerry
