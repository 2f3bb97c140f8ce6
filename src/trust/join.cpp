#include "trust/join.h"

#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"
#include "codec/text.h"
#include "crypto/certificate.h"
#include "crypto/digest.h"
#include "crypto/dsse.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kTokenFormat = "skerry-token/1";

Result<std::vector<std::string>> KeyPems(const JsonObject& object, const char* member) {
  SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> pems, object.Strings(member));
  if (pems.empty() || pems.size() > limits::kTrustedKeys)
    return Fail(ErrorCode::kInvalidArgument, "{}.{}: {} keys, must be 1 to {}", object.path(),
                member, pems.size(), limits::kTrustedKeys);
  for (const std::string& pem : pems)
    SKERRY_RETURN_IF_ERROR(PublicKey::FromPem(pem), object.path() + "." + member);
  return pems;
}

}  // namespace

std::string JoinToken::ToJson() const {
  return DumpJsonPretty(Json{{"format", kTokenFormat},
                             {"site", site},
                             {"hub_url", hub_url},
                             {"token_id", token_id},
                             {"secret", secret},
                             {"ca_pem", ca_pem},
                             {"hub_key_pem", hub_key_pem}});
}

Result<JoinToken> JoinToken::FromJson(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kJoinDocumentBytes), "token");
  const JsonObject object(json, "token");
  SKERRY_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  if (format != kTokenFormat)
    return Fail(ErrorCode::kInvalidArgument, "token.format is \"{}\"; this version reads \"{}\"",
                format, kTokenFormat);
  JoinToken token;
  SKERRY_ASSIGN_OR_RETURN(token.site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(token.hub_url, object.String("hub_url"));
  SKERRY_ASSIGN_OR_RETURN(token.token_id, object.String("token_id"));
  SKERRY_ASSIGN_OR_RETURN(token.secret, object.String("secret"));
  SKERRY_ASSIGN_OR_RETURN(token.ca_pem, object.String("ca_pem"));
  SKERRY_ASSIGN_OR_RETURN(token.hub_key_pem, object.String("hub_key_pem"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", token.site));
  if (token.secret.empty()) return Fail(ErrorCode::kInvalidArgument, "token.secret is empty");
  SKERRY_RETURN_IF_ERROR(ParseCertificate(token.ca_pem), "token.ca_pem");
  SKERRY_RETURN_IF_ERROR(PublicKey::FromPem(token.hub_key_pem), "token.hub_key_pem");
  return token;
}

Result<JoinToken> JoinToken::Load(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits::kJoinDocumentBytes));
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
  auto token = FromJson(text);
  if (!token) return Propagate(std::move(token), path.string());
  return token;
}

Status JoinToken::Save(const std::filesystem::path& path) const {
  return WriteFileDurably(path, ToJson(), 0600);
}

std::string JoinRequest::ToJson() const {
  return DumpJson(Json{{"site", site}, {"csr_pem", csr_pem}, {"token_id", token_id}, {"mac", mac}});
}

Result<JoinRequest> JoinRequest::FromJson(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kJoinDocumentBytes),
                          "join request");
  const JsonObject object(json, "join_request");
  JoinRequest request;
  SKERRY_ASSIGN_OR_RETURN(request.site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(request.csr_pem, object.String("csr_pem"));
  SKERRY_ASSIGN_OR_RETURN(request.token_id, object.String("token_id"));
  SKERRY_ASSIGN_OR_RETURN(request.mac, object.String("mac"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", request.site));
  return request;
}

Result<JoinRequest> MakeJoinRequest(const JoinToken& token, const PrivateKey& site_key) {
  JoinRequest request;
  request.site = token.site;
  request.token_id = token.token_id;
  SKERRY_ASSIGN_OR_RETURN(request.csr_pem, MakeCertificateRequest(site_key, token.site));
  request.mac = EncodeHex(HmacSha256(token.secret, request.csr_pem));
  return request;
}

Result<PublicKey> VerifyJoinRequest(const JoinRequest& request, std::string_view secret) {
  // The proof comes first: nothing that a stranger sent is parsed as a certificate request.
  if (!ConstantTimeEqual(EncodeHex(HmacSha256(secret, request.csr_pem)), request.mac))
    return Fail(ErrorCode::kPermissionDenied,
                "the join request of {} does not prove the secret of token {}", request.site,
                request.token_id);
  return VerifyCertificateRequest(request.csr_pem, request.site);
}

std::string JoinGrant::ToJson() const {
  return DumpJson(Json{{"site", site},
                       {"certificate_pem", certificate_pem},
                       {"ca_pem", ca_pem},
                       {"hub_key_pems", hub_key_pems},
                       {"tuf_root", tuf_root},
                       {"issued_at_us", issued_at_us}});
}

Result<JoinGrant> JoinGrant::FromJson(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kJoinDocumentBytes),
                          "join grant");
  const JsonObject object(json, "join_grant");
  JoinGrant grant;
  SKERRY_ASSIGN_OR_RETURN(grant.site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(grant.certificate_pem, object.String("certificate_pem"));
  SKERRY_ASSIGN_OR_RETURN(grant.ca_pem, object.String("ca_pem"));
  SKERRY_ASSIGN_OR_RETURN(grant.hub_key_pems, KeyPems(object, "hub_key_pems"));
  SKERRY_ASSIGN_OR_RETURN(grant.tuf_root, object.String("tuf_root"));
  SKERRY_ASSIGN_OR_RETURN(grant.issued_at_us, object.Int("issued_at_us"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", grant.site));
  return grant;
}

Result<std::string> SignJoinGrant(const JoinGrant& grant, const PrivateKey& hub_key) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope,
                          SignDsse(kJoinGrantType, grant.ToJson(), hub_key));
  return envelope.ToJson();
}

Result<JoinGrant> VerifyJoinGrant(std::string_view envelope_json, const JoinToken& token,
                                  const PublicKey& site_key) {
  SKERRY_ASSIGN_OR_RETURN(const PublicKey pinned, PublicKey::FromPem(token.hub_key_pem));
  return VerifyRenewal(envelope_json, {&pinned, 1}, token.site, token.ca_pem, site_key);
}

Result<JoinGrant> VerifyRenewal(std::string_view envelope_json, std::span<const PublicKey> hub_keys,
                                std::string_view site, std::string_view ca_pem,
                                const PublicKey& site_key) {
  SKERRY_ASSIGN_OR_RETURN(
      const std::string payload,
      VerifyDsse(envelope_json, kJoinGrantType, hub_keys, limits::kJoinDocumentBytes),
      "join grant");
  SKERRY_ASSIGN_OR_RETURN(JoinGrant grant, JoinGrant::FromJson(payload));
  if (grant.site != site)
    return Fail(ErrorCode::kPermissionDenied, "the join grant is for site {}, this site is {}",
                grant.site, site);
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts facts, ParseCertificate(grant.certificate_pem),
                          "join grant's certificate");
  if (facts.common_name != site || facts.key.key_id() != site_key.key_id())
    return Fail(ErrorCode::kPermissionDenied,
                "the join grant's certificate is of {}, not of this site's key", facts.common_name);
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts ca, ParseCertificate(grant.ca_pem));
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts pinned_ca, ParseCertificate(ca_pem));
  if (ca.key.key_id() != pinned_ca.key.key_id())
    return Fail(ErrorCode::kPermissionDenied, "the join grant's CA is not the one that is pinned");
  SKERRY_RETURN_IF_ERROR(VerifyIssuedBy(grant.certificate_pem, grant.ca_pem, CertificateUse::kSite),
                         "join grant's certificate");
  return grant;
}

}  // namespace skerry
