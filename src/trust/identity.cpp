#include "trust/identity.h"

#include <algorithm>
#include <cmath>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/random.h"
#include "codec/json.h"
#include "crypto/certificate.h"
#include "storage/file.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

constexpr std::size_t kPolicyKeyBytes = 32;
// Receipts come all the time, and a floor that is an hour too low changes nothing.
constexpr std::int64_t kTimeFloorStepUs = std::int64_t{3600} * 1'000'000;

// A file that may be absent.
Result<std::optional<std::string>> ReadIfThere(const std::filesystem::path& path) {
  auto text = ReadFile(path, limits::kJoinDocumentBytes);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().code() == ErrorCode::kNotFound) return std::optional<std::string>();
  return Propagate(std::move(text));
}

// What this program wrote itself and cannot read any more is damage, whatever the parser calls it.
tl::unexpected<Error> Damaged(const std::filesystem::path& path, const Error& error) {
  return Fail(ErrorCode::kDataLoss, "{} is damaged: {}", path.string(), error.message());
}

Result<std::string> LoadOrCreatePolicyKey(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(std::optional<std::string> held, ReadIfThere(path));
  if (held && held->size() == kPolicyKeyBytes) {
    SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
    return std::move(*held);
  }
  if (held)
    return Fail(ErrorCode::kDataLoss, "{} is damaged: {} bytes, must be {}", path.string(),
                held->size(), kPolicyKeyBytes);
  std::string made(kPolicyKeyBytes, '\0');
  FillRandom(made.data(), made.size());
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(path, made, 0600));
  return made;
}

Result<std::map<std::string, ModelRef>> ParseFloors(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  std::map<std::string, ModelRef> floors;
  for (const auto& [name, value] : json.items()) {
    const JsonObject object(value, name);
    SKERRY_ASSIGN_OR_RETURN(const std::string version, object.String("version"));
    SKERRY_ASSIGN_OR_RETURN(const std::string digest_text, object.String("digest"));
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(digest_text));
    floors.emplace(name, ModelRef{name, version, std::move(digest)});
  }
  return floors;
}

}  // namespace

SiteIdentity::SiteIdentity(std::filesystem::path directory, PrivateKey key,
                           std::string policy_hmac_key, TufClient tuf)
    : directory_(std::move(directory)),
      tuf_(std::move(tuf)),
      key_(std::move(key)),
      policy_hmac_key_(std::move(policy_hmac_key)) {}

Result<std::unique_ptr<SiteIdentity>> SiteIdentity::Open(const std::filesystem::path& directory,
                                                         std::string_view name) {
  if (!name.empty()) SKERRY_RETURN_IF_ERROR(CheckName("site name", name));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::LoadOrCreate(directory / "key.pem"));
  SKERRY_ASSIGN_OR_RETURN(std::string policy_key, LoadOrCreatePolicyKey(directory / "policy.key"));
  SKERRY_ASSIGN_OR_RETURN(TufClient tuf, TufClient::Open(directory / "tuf"));
  std::unique_ptr<SiteIdentity> identity(
      new SiteIdentity(directory, std::move(key), std::move(policy_key), std::move(tuf)));
  const std::scoped_lock lock(identity->tuf_mutex_, identity->mutex_);
  SKERRY_RETURN_IF_ERROR(identity->LoadOldPolicyKeys());
  SKERRY_RETURN_IF_ERROR(identity->LoadName());
  SKERRY_RETURN_IF_ERROR(identity->LoadJoining());
  SKERRY_RETURN_IF_ERROR(identity->LoadVersions());
  identity->LoadTimeFloor();
  if (name.empty() || name == identity->site_) return identity;
  if (!identity->site_.empty())
    return Fail(ErrorCode::kConflict, "{} belongs to site {}, not to {}", directory.string(),
                identity->site_, name);
  SKERRY_RETURN_IF_ERROR(identity->SaveName(std::string(name), "", ""));
  return identity;
}

Status SiteIdentity::LoadOldPolicyKeys() {
  for (std::size_t n = 1;; ++n) {
    const std::filesystem::path path = directory_ / fmt::format("policy.{}.key", n);
    SKERRY_ASSIGN_OR_RETURN(std::optional<std::string> held, ReadIfThere(path));
    if (!held) return {};
    SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
    if (held->size() != kPolicyKeyBytes)
      return Fail(ErrorCode::kDataLoss, "{} is damaged: {} bytes, must be {}", path.string(),
                  held->size(), kPolicyKeyBytes);
    old_policy_keys_.push_back(std::move(*held));
  }
}

std::string SiteIdentity::policy_hmac_key() const {
  const std::lock_guard lock(mutex_);
  return policy_hmac_key_;
}

std::vector<std::string> SiteIdentity::policy_hmac_keys() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys = {policy_hmac_key_};
  // A crash in the middle of a rotation leaves the key in use among the old ones.
  for (auto key = old_policy_keys_.rbegin(); key != old_policy_keys_.rend(); ++key)
    if (*key != policy_hmac_key_) keys.push_back(*key);
  return keys;
}

Status SiteIdentity::RotatePolicyKey() {
  const std::lock_guard lock(mutex_);
  std::string made(kPolicyKeyBytes, '\0');
  FillRandom(made.data(), made.size());
  const auto old = directory_ / fmt::format("policy.{}.key", old_policy_keys_.size() + 1);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(old, policy_hmac_key_, 0600));
  old_policy_keys_.push_back(policy_hmac_key_);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(File("policy.key"), made, 0600));
  policy_hmac_key_ = std::move(made);
  return {};
}

Status SiteIdentity::LoadName() {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadIfThere(File("site.json")));
  if (!text) return {};
  const auto json = ParseJson(*text);
  if (!json) return Damaged(File("site.json"), json.error());
  const JsonObject object(*json, "site");
  const auto site = object.String("site");
  const auto hub_url = object.StringOr("hub_url", "");
  const auto token_id = object.StringOr("token_id", "");
  if (!site) return Damaged(File("site.json"), site.error());
  if (!hub_url) return Damaged(File("site.json"), hub_url.error());
  if (!token_id) return Damaged(File("site.json"), token_id.error());
  site_ = *site;
  hub_url_ = *hub_url;
  token_id_ = *token_id;
  return {};
}

Status SiteIdentity::LoadJoining() {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> grant_text,
                          ReadIfThere(File("grant.json")));
  if (grant_text) {
    const auto grant = JoinGrant::FromJson(*grant_text);
    if (!grant) return Damaged(File("grant.json"), grant.error());
    SKERRY_RETURN_IF_ERROR(TakeGrant(*grant));
    SKERRY_RETURN_IF_ERROR(TrustRoot(*grant));  // a crash may have come between the two
    SKERRY_ASSIGN_OR_RETURN(const CertificateFacts held, ParseCertificate(grant->certificate_pem));
    // A crash between storing the grant and removing the token leaves both: the grant wins.
    if (held.key.key_id() == key_.public_key().key_id()) return RemoveFile(File("token.json"));
    certificate_pem_.clear();  // of the key before: this site joins again
  }
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> token_text,
                          ReadIfThere(File("token.json")));
  if (!token_text) return {};
  auto token = JoinToken::FromJson(*token_text);
  if (!token) return Damaged(File("token.json"), token.error());
  ca_pem_ = token->ca_pem;
  token_ = std::move(*token);
  return {};
}

Status SiteIdentity::LoadVersions() {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> floors_text,
                          ReadIfThere(File("floors.json")));
  if (floors_text) {
    auto floors = ParseFloors(*floors_text);
    if (!floors) return Damaged(File("floors.json"), floors.error());
    floors_ = std::move(*floors);
  }
  SKERRY_ASSIGN_OR_RETURN(std::optional<std::string> text, ReadIfThere(File("desired.json")));
  if (text) {
    auto desired = ReadDesiredState(*text, site_);
    if (!desired) return Damaged(File("desired.json"), desired.error());
    desired_ = std::move(*desired);
    desired_text_ = std::move(*text);
  }
  LoadMetadata();
  return {};
}

void SiteIdentity::LoadMetadata() {
  const auto target = tuf_.FindHeld(DesiredStatePath(site_));
  const bool none = !target && target.error().code() == ErrorCode::kNotFound && !desired_;
  NoteMetadata(none || (target && *target == TufTarget::Of(desired_text_)));
}

void SiteIdentity::NoteMetadata(bool current) {
  current_timestamp_ = current ? tuf_.timestamp_json() : std::string();
  expiry_ = tuf_.expiry();
  root_version_ = tuf_.root_version();
}

std::string SiteIdentity::site() const {
  const std::lock_guard lock(mutex_);
  return site_;
}

PrivateKey SiteIdentity::key() const {
  const std::lock_guard lock(mutex_);
  return key_;
}

bool SiteIdentity::has_token() const {
  const std::lock_guard lock(mutex_);
  return token_.has_value();
}

bool SiteIdentity::joined() const {
  const std::lock_guard lock(mutex_);
  return !certificate_pem_.empty();
}

std::string SiteIdentity::hub_url() const {
  const std::lock_guard lock(mutex_);
  return hub_url_;
}

std::string SiteIdentity::ca_pem() const {
  const std::lock_guard lock(mutex_);
  return ca_pem_;
}

std::string SiteIdentity::certificate_pem() const {
  const std::lock_guard lock(mutex_);
  return certificate_pem_;
}

std::vector<PublicKey> SiteIdentity::hub_keys() const {
  const std::lock_guard lock(mutex_);
  return hub_keys_;
}

std::optional<DesiredState> SiteIdentity::desired() const {
  const std::lock_guard lock(mutex_);
  return desired_;
}

std::optional<CertificateFacts> SiteIdentity::certificate() const {
  auto facts = ParseCertificate(certificate_pem());
  if (!facts) return std::nullopt;
  return std::move(*facts);
}

bool SiteIdentity::RenewalIsDue(const Clock& clock) const {
  const auto held = certificate();
  return held && skerry::RenewalIsDue(*held, Now(clock));
}

std::int64_t SiteIdentity::time_floor_us() const {
  const std::lock_guard lock(mutex_);
  return time_floor_us_;
}

std::int64_t SiteIdentity::Now(const Clock& clock) const {
  return std::max(clock.UtcMicros(), time_floor_us());
}

void SiteIdentity::RaiseTimeFloor(std::int64_t utc_us) {
  const std::lock_guard lock(mutex_);
  RaiseFloorTo(utc_us);
}

void SiteIdentity::RaiseFloorTo(std::int64_t utc_us) {
  time_floor_us_ = std::max(time_floor_us_, utc_us);
  if (time_floor_us_ - stored_time_floor_us_ < kTimeFloorStepUs) return;
  if (const Status stored =
          WriteFileDurably(File("time.json"), DumpJson(Json{{"utc_us", time_floor_us_}}));
      !stored) {
    LogWarning("cannot store the time floor: {}", stored.error().message());
    return;
  }
  stored_time_floor_us_ = time_floor_us_;
}

// A damaged file costs a floor that the next signed document raises again, and no start.
void SiteIdentity::LoadTimeFloor() {
  const auto text = ReadFile(File("time.json"), limits::kSmallReplyBytes);
  const auto json = text ? ParseJson(*text) : Result<Json>(tl::make_unexpected(text.error()));
  const auto utc_us = json ? JsonObject(*json, "time").Int("utc_us")
                           : Result<std::int64_t>(tl::make_unexpected(json.error()));
  if (utc_us) stored_time_floor_us_ = *utc_us;
  if (!utc_us && utc_us.error().code() != ErrorCode::kNotFound)
    LogWarning("{} is damaged and begins anew: {}", File("time.json").string(),
               utc_us.error().message());
  time_floor_us_ = std::max(stored_time_floor_us_, desired_ ? desired_->issued_at_us : 0);
  if (const auto held = ParseCertificate(certificate_pem_); held)
    time_floor_us_ = std::max(time_floor_us_, held->not_before_us);
}

void SiteIdentity::ShowIn(MetricRegistry& metrics) {
  const std::lock_guard lock(mutex_);
  expires_gauge_ = &metrics.AddGauge(
      "skerry_certificate_expiry_timestamp_seconds",
      "When this site's certificate for its hub expires, since 1970; 0 until it has joined");
  ShowExpiry();
}

void SiteIdentity::ShowExpiry() {
  if (expires_gauge_ == nullptr) return;
  if (const auto held = ParseCertificate(certificate_pem_); held)
    expires_gauge_->Set(std::floor(static_cast<double>(held->not_after_us) / 1e6));
}

Result<SiteIdentity::DesiredChange> SiteIdentity::FollowDesired(TufSource& source) {
  const std::lock_guard tuf_lock(tuf_mutex_);
  if (!tuf_.has_root())
    return Fail(ErrorCode::kFailedPrecondition,
                "this site has not joined, so no desired state can be believed");
  // Others read the identity while files are fetched; what is read here is written here alone.
  const auto followed = FetchDesired(source);
  const std::lock_guard lock(mutex_);
  NoteMetadata(followed.has_value());
  if (!followed) return tl::make_unexpected(followed.error());
  const std::optional<std::string>& text = *followed;
  if (!text) return DesiredChange::kNone;
  if (*text == desired_text_) return DesiredChange::kSame;
  auto offered = ReadDesiredState(*text, site_);
  const Status stored = offered ? WriteFileDurably(File("desired.json"), *text)
                                : Status(tl::make_unexpected(offered.error()));
  if (!stored) {
    NoteMetadata(false);
    return tl::make_unexpected(stored.error());
  }
  desired_ = std::move(*offered);
  desired_text_ = *text;
  RaiseFloorTo(desired_->issued_at_us);
  return DesiredChange::kNewer;
}

Result<std::optional<std::string>> SiteIdentity::FetchDesired(TufSource& source) {
  const std::string path = DesiredStatePath(site());
  SKERRY_RETURN_IF_ERROR(tuf_.Update(source));
  const auto target = tuf_.FindTarget(path, source);
  if (!target && target.error().code() == ErrorCode::kNotFound) return std::optional<std::string>();
  if (!target) return tl::make_unexpected(target.error());
  if (*target == TufTarget::Of(desired_text_)) return std::optional(desired_text_);
  if (target->length > limits::kDesiredStateBytes)
    return Fail(ErrorCode::kTooLarge, "the desired state has {} bytes, the limit is {}",
                target->length, limits::kDesiredStateBytes);
  SKERRY_ASSIGN_OR_RETURN(std::string text, tuf_.FetchTarget(path, *target, source));
  return std::optional(std::move(text));
}

bool SiteIdentity::IsCurrent(std::string_view timestamp_json) const {
  const std::lock_guard lock(mutex_);
  return !current_timestamp_.empty() && current_timestamp_ == timestamp_json;
}

std::optional<TufExpiry> SiteIdentity::metadata_expiry() const {
  const std::lock_guard lock(mutex_);
  return expiry_;
}

std::uint64_t SiteIdentity::root_version() const {
  const std::lock_guard lock(mutex_);
  return root_version_;
}

Status SiteIdentity::CheckFloor(const ModelRef& package, const DesiredState& state) const {
  if (state.fallback && *state.fallback == package) return {};
  const std::lock_guard lock(mutex_);
  const auto floor = floors_.find(package.name);
  if (floor == floors_.end()) return {};
  const int order = CompareVersions(package.version, floor->second.version);
  if (order > 0) return {};
  if (order < 0)
    return Fail(ErrorCode::kConflict,
                "{} is older than version {}, which this site ran, and is not the named fallback",
                package.ToString(), floor->second.version);
  if (package.digest == floor->second.digest) return {};
  return Fail(ErrorCode::kConflict, "{} is {} here; the same version with digest {} is refused",
              package.ToString(), floor->second.digest.ToString(), package.digest.ToString());
}

Status SiteIdentity::RaiseFloor(const ModelRef& package) {
  const std::lock_guard lock(mutex_);
  const auto floor = floors_.find(package.name);
  if (floor != floors_.end() && CompareVersions(package.version, floor->second.version) <= 0)
    return {};
  std::map<std::string, ModelRef> raised = floors_;
  raised.insert_or_assign(package.name, package);
  Json json = Json::object();
  for (const auto& [name, ref] : raised)
    json[name] = Json{{"version", ref.version}, {"digest", ref.digest.ToString()}};
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(File("floors.json"), DumpJson(json)));
  floors_ = std::move(raised);
  return {};
}

Status SiteIdentity::SaveName(const std::string& site, const std::string& hub_url,
                              const std::string& token) {
  SKERRY_RETURN_IF_ERROR(
      WriteFileDurably(File("site.json"),
                       DumpJson(Json{{"site", site}, {"hub_url", hub_url}, {"token_id", token}})));
  site_ = site;
  hub_url_ = hub_url;
  token_id_ = token;
  return {};
}

}  // namespace skerry
