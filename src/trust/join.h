// How a site becomes known to its hub: a one-time token file out, a request in, a signed grant
// back.
//
// Role: the documents of joining and the checks on them, used by both sides. They travel as bodies
// of POST /v1/join, or as parts of bundles where there is no link; the checks are the same on both
// roads.
//   hub:  JoinToken token = {...}; token.Save(path);           // carried to the site by a person
//   site: MakeJoinRequest(token, site_key) -> JoinRequest      // CSR, proof of the token's secret
//   hub:  VerifyJoinRequest(request, secret) -> PublicKey;     // then issues the certificate
//         SignJoinGrant(grant, hub_key) -> envelope
//   site: VerifyJoinGrant(envelope, token, site key)           // against the key that the token
//   pins
// The token's secret never travels; only an HMAC made with it does. That a token is used once is
// the hub's business (its store answers kConflict -> 409). Values and free functions; thread-safe.
// Formats: docs/formats/join.md. Errors: kInvalidArgument for a malformed document (the path of the
// member is named), kPermissionDenied for a proof or signature that does not hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/key.h"

namespace skerry {

// DSSE payload type of a grant.
constexpr std::string_view kJoinGrantType = "application/vnd.skerry.join-grant.v1+json";

// The one-time token. `secret` is hex text (RandomHex(32)); `hub_url` is empty for a site that only
// ever meets its hub by media. Pins the hub: `ca_pem` for TLS, `hub_key_pem` for signed documents.
struct JoinToken {
  std::string site;
  std::string hub_url;
  std::string token_id;
  std::string secret;
  std::string ca_pem;
  std::string hub_key_pem;

  // {"format":"skerry-token/1", ...}
  std::string ToJson() const;
  // Checks the format's version, the site name's grammar and that both PEMs parse.
  static Result<JoinToken> FromJson(std::string_view text);
  // Refuses a file that others may read (kPermissionDenied, says chmod 600).
  static Result<JoinToken> Load(const std::filesystem::path& path);
  // Durable, mode 0600.
  Status Save(const std::filesystem::path& path) const;
};

// `mac` is hex HMAC-SHA256(key = the bytes of the secret's text, message = the bytes of csr_pem).
// The CSR's common name is the site, so the proof covers the name too.
struct JoinRequest {
  std::string site;
  std::string csr_pem;
  std::string token_id;
  std::string mac;

  std::string ToJson() const;
  static Result<JoinRequest> FromJson(std::string_view text);
};

Result<JoinRequest> MakeJoinRequest(const JoinToken& token, const PrivateKey& site_key);

// The hub's check: the proof (constant time), then the CSR's own signature and its common name.
// Gives the site's public key.
Result<PublicKey> VerifyJoinRequest(const JoinRequest& request, std::string_view secret);

// What the hub answers. `hub_key_pems` verify receipts and grants from then on; the first is the
// one in use. `tuf_root` is the root of its TUF repository (trust/tuf_metadata.h), as it is now.
struct JoinGrant {
  std::string site;
  std::string certificate_pem;
  std::string ca_pem;
  std::vector<std::string> hub_key_pems;
  std::string tuf_root;
  std::int64_t issued_at_us = 0;

  std::string ToJson() const;
  static Result<JoinGrant> FromJson(std::string_view text);
};

// A DSSE envelope (JSON text) of kJoinGrantType.
Result<std::string> SignJoinGrant(const JoinGrant& grant, const PrivateKey& hub_key);

// The site's check: signed by the hub key that the token pins; for this site; the certificate is of
// `site_key`, names the site and is issued by the grant's CA, which is the token's. Times are not
// checked: a site's clock may be wrong.
Result<JoinGrant> VerifyJoinGrant(std::string_view envelope_json, const JoinToken& token,
                                  const PublicKey& site_key);
// The same of a grant that comes later: by the hub keys and the CA that are known.
Result<JoinGrant> VerifyRenewal(std::string_view envelope_json, std::span<const PublicKey> hub_keys,
                                std::string_view site, std::string_view ca_pem,
                                const PublicKey& site_key);

}  // namespace skerry
