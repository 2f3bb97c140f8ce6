#include "hub/join_desk.h"

#include "base/ids.h"
#include "hub/audit_log.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

constexpr std::size_t kTokenIdBytes = 8;
constexpr std::size_t kTokenSecretBytes = 32;

}  // namespace

Result<JoinToken> JoinDesk::MakeToken(std::string_view site, std::string_view hub_url) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
  JoinToken token;
  token.site = std::string(site);
  token.hub_url = std::string(hub_url);
  token.token_id = RandomHex(kTokenIdBytes);
  token.secret = RandomHex(kTokenSecretBytes);
  token.ca_pem = authority_->certificate_pem();
  token.hub_key_pem = hub_key_->public_key().ToPem();
  Status written = store_->Write([&](Database& db) -> Status {
    const std::int64_t now_us = clock_->UtcMicros();
    SKERRY_RETURN_IF_ERROR(SiteDirectory(db).AddToken(
        {token.token_id, token.site, token.secret, now_us, std::nullopt}));
    return AuditLog(db).Append(now_us, "admin", "token.create", site,
                               {{"token_id", token.token_id}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return token;
}

Result<JoinDesk::Answer> JoinDesk::Join(const JoinRequest& request, Road road) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", request.site));
  const auto token =
      store_->Read([&](Database& db) { return SiteDirectory(db).FindToken(request.token_id); });
  if (!token && token.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(token.error());
  // One answer for both, so that nobody learns which tokens exist.
  if (!token || token->site != request.site)
    return Fail(ErrorCode::kPermissionDenied,
                "no join token {} for the site {}; ask for one with POST /v1/tokens",
                request.token_id, request.site);
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, VerifyJoinRequest(request, token->secret));
  SKERRY_ASSIGN_OR_RETURN(Entry entry, Register(request, key, road));
  SKERRY_ASSIGN_OR_RETURN(std::string grant,
                          MakeGrant(request.site, std::move(entry.certificate_pem)));
  return Answer{std::move(grant), entry.repeated};
}

Result<JoinDesk::Answer> JoinDesk::Renew(std::string_view site, std::string_view csr_pem,
                                         Road road) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, VerifyCertificateRequest(csr_pem, site));
  Entry entry;
  Status written = store_->Write([&](Database& db) -> Status {
    SiteDirectory sites(db);
    SKERRY_ASSIGN_OR_RETURN(const bool known, sites.HasKey(site, key.key_id()));
    if (!known)
      return Fail(ErrorCode::kPermissionDenied,
                  "the key {} is not one of the site {}, or was revoked; join with a new token",
                  key.key_id(), site);
    const std::int64_t now_us = clock_->UtcMicros();
    SKERRY_ASSIGN_OR_RETURN(entry.certificate_pem, sites.CertificateOf(key.key_id()));
    SKERRY_ASSIGN_OR_RETURN(const CertificateFacts held, ParseCertificate(entry.certificate_pem));
    // Whoever has seen a request may send it again; it costs us nothing and gains nobody anything.
    entry.repeated = !RenewalIsDue(held, now_us);
    if (entry.repeated) return {};
    SKERRY_ASSIGN_OR_RETURN(entry.certificate_pem, authority_->IssueSite(key, site));
    SKERRY_RETURN_IF_ERROR(sites.SetCertificate(key.key_id(), entry.certificate_pem));
    return AuditLog(db).Append(now_us, fmt::format("site:{}", site), "site.renew", site,
                               {{"key_id", key.key_id()}, {"road", RoadName(road)}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  SKERRY_ASSIGN_OR_RETURN(std::string grant, MakeGrant(site, std::move(entry.certificate_pem)));
  return Answer{std::move(grant), entry.repeated};
}

Result<std::uint64_t> JoinDesk::Revoke(std::string_view site) {
  std::uint64_t keys = 0;
  Status written = store_->Write([&](Database& db) -> Status {
    SiteDirectory sites(db);
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const SiteRecord known, sites.Find(site));
    const std::int64_t now_us = clock_->UtcMicros();
    SKERRY_ASSIGN_OR_RETURN(keys, sites.RevokeKeys(site, now_us));
    return AuditLog(db).Append(now_us, "admin", "site.revoke", site, {{"keys", keys}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return keys;
}

Result<std::string> JoinDesk::GrantOf(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(std::string certificate_pem, store_->Read([&](Database& db) {
    return SiteDirectory(db).NewestCertificate(site);
  }));
  return MakeGrant(site, std::move(certificate_pem));
}

Result<std::string> JoinDesk::MakeGrant(std::string_view site, std::string certificate_pem) {
  JoinGrant grant;
  grant.site = std::string(site);
  grant.certificate_pem = std::move(certificate_pem);
  grant.ca_pem = authority_->certificate_pem();
  grant.hub_key_pems = {hub_key_->public_key().ToPem()};
  SKERRY_ASSIGN_OR_RETURN(grant.tuf_root, trust_->Root());
  grant.issued_at_us = clock_->UtcMicros();
  return SignJoinGrant(grant, *hub_key_);
}

Result<JoinDesk::Entry> JoinDesk::Register(const JoinRequest& request, const PublicKey& key,
                                           Road road) {
  Entry entry;
  SKERRY_ASSIGN_OR_RETURN(entry.certificate_pem, authority_->IssueSite(key, request.site));
  Status written = store_->Write([&](Database& db) -> Status {
    SiteDirectory sites(db);
    // Read again inside the transaction: two requests with one token may race.
    SKERRY_ASSIGN_OR_RETURN(const TokenRecord token, sites.FindToken(request.token_id));
    if (token.used_by_key_id && *token.used_by_key_id != key.key_id())
      return Fail(ErrorCode::kConflict,
                  "the join token {} has been used by another key; ask for a new one",
                  request.token_id);
    if (token.used_by_key_id) {
      entry.repeated = true;
      SKERRY_ASSIGN_OR_RETURN(const bool good, sites.HasKey(request.site, key.key_id()));
      if (!good)
        return Fail(ErrorCode::kPermissionDenied, "the keys of the site {} were revoked",
                    request.site);
      SKERRY_ASSIGN_OR_RETURN(entry.certificate_pem, sites.CertificateOf(key.key_id()));
      return {};
    }
    const std::int64_t now_us = clock_->UtcMicros();
    SKERRY_RETURN_IF_ERROR(sites.AddSite(request.site, now_us));
    SKERRY_RETURN_IF_ERROR(sites.AddKey(request.site, key, entry.certificate_pem, now_us));
    SKERRY_RETURN_IF_ERROR(sites.MarkTokenUsed(request.token_id, key.key_id(), now_us));
    SKERRY_RETURN_IF_ERROR(sites.RecordContact(request.site, road, now_us));
    return AuditLog(db).Append(now_us, fmt::format("site:{}", request.site), "site.join",
                               request.site, {{"key_id", key.key_id()}, {"road", RoadName(road)}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return entry;
}

}  // namespace skerry
