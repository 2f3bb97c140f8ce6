// Joining, joining again, and renewal: how a site gets the certificate that it calls its hub with.
#include "base/log.h"
#include "crypto/certificate.h"
#include "storage/file.h"
#include "trust/identity.h"

namespace skerry {
namespace {

Result<std::vector<PublicKey>> ParseKeys(const std::vector<std::string>& pems) {
  std::vector<PublicKey> keys;
  for (const std::string& pem : pems) {
    SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromPem(pem));
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace

Status SiteIdentity::TakeToken(const JoinToken& token) {
  const std::lock_guard lock(mutex_);
  if (!site_.empty() && token.site != site_)
    return Fail(ErrorCode::kConflict, "the token is for site {}; {} belongs to site {}", token.site,
                directory_.string(), site_);
  if (!certificate_pem_.empty() && token.token_id == token_id_) {
    LogInfo("already joined; the token is not needed site={} token={}", site_, token.token_id);
    return {};
  }
  SKERRY_RETURN_IF_ERROR(CheckHubOf(token));
  SKERRY_RETURN_IF_ERROR(token.Save(File("token.json")));
  // A crash before this leaves a site that has joined, and after it one that joins again.
  if (!certificate_pem_.empty()) SKERRY_RETURN_IF_ERROR(DrawNewKey());
  SKERRY_RETURN_IF_ERROR(SaveName(token.site, token.hub_url, token.token_id));
  ca_pem_ = token.ca_pem;
  token_ = token;
  return {};
}

// What this site holds is signed by its hub, so another one could not even be told of it.
Status SiteIdentity::CheckHubOf(const JoinToken& token) const {
  if (hub_keys_.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromPem(token.hub_key_pem));
  for (const PublicKey& known : hub_keys_)
    if (known.key_id() == key.key_id()) return {};
  return Fail(ErrorCode::kConflict,
              "the token is of another hub than the one that {} belongs to: give the site a data "
              "directory of its own there",
              directory_.string());
}

Status SiteIdentity::DrawNewKey() {
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  SKERRY_ASSIGN_OR_RETURN(const std::string pem, key.ToPem());
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(File("key.pem"), pem, 0600));
  LogInfo("joins again with a new key site={} key_id={}", site_, key.public_key().key_id());
  key_ = std::move(key);
  certificate_pem_.clear();
  return {};
}

Result<JoinRequest> SiteIdentity::MakeRequest() const {
  const std::lock_guard lock(mutex_);
  if (!token_)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site has no join token: get one from the hub and pass it with --token-file");
  return MakeJoinRequest(*token_, key_);
}

Result<SiteIdentity::GrantChange> SiteIdentity::ApplyGrant(std::string_view envelope_json) {
  const std::scoped_lock lock(tuf_mutex_, mutex_);
  if (!token_ && !certificate_pem_.empty()) return ApplyRenewal(envelope_json);
  if (!token_)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site has no join token, so nothing says which hub to believe");
  SKERRY_ASSIGN_OR_RETURN(const JoinGrant grant,
                          VerifyJoinGrant(envelope_json, *token_, key_.public_key()));
  // One file, so that a crash leaves a site that is joined or one that is not.
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(File("grant.json"), grant.ToJson(), 0600));
  SKERRY_RETURN_IF_ERROR(TakeGrant(grant));
  SKERRY_RETURN_IF_ERROR(TrustRoot(grant));
  token_.reset();
  RaiseFloorTo(grant.issued_at_us);
  LogInfo("joined site={}", site_);
  SKERRY_RETURN_IF_ERROR(RemoveFile(File("token.json")));
  return GrantChange::kTaken;
}

Result<SiteIdentity::GrantChange> SiteIdentity::ApplyRenewal(std::string_view envelope_json) {
  SKERRY_ASSIGN_OR_RETURN(const JoinGrant grant, VerifyRenewal(envelope_json, hub_keys_, site_,
                                                               ca_pem_, key_.public_key()));
  RaiseFloorTo(grant.issued_at_us);
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts offered, ParseCertificate(grant.certificate_pem));
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts held, ParseCertificate(certificate_pem_));
  if (offered.not_after_us <= held.not_after_us) return GrantChange::kSame;
  // Replaced as a whole: a crash leaves the old certificate or the new one.
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(File("grant.json"), grant.ToJson(), 0600));
  SKERRY_RETURN_IF_ERROR(TakeGrant(grant));
  LogInfo("certificate renewed site={} expires={}", site_, FormatUtc(offered.not_after_us));
  return GrantChange::kTaken;
}

Result<std::string> SiteIdentity::MakeRenewalRequest() const {
  const std::lock_guard lock(mutex_);
  return MakeCertificateRequest(key_, site_);
}

Status SiteIdentity::TakeGrant(const JoinGrant& grant) {
  SKERRY_ASSIGN_OR_RETURN(hub_keys_, ParseKeys(grant.hub_key_pems));
  certificate_pem_ = grant.certificate_pem;
  ca_pem_ = grant.ca_pem;
  ShowExpiry();
  return {};
}

// The first one for good: later roots are signed by those before them.
Status SiteIdentity::TrustRoot(const JoinGrant& grant) {
  if (Status trusted = tuf_.Trust(grant.tuf_root); !trusted)
    return Propagate(std::move(trusted), "join grant");
  root_version_ = tuf_.root_version();
  return {};
}

}  // namespace skerry
