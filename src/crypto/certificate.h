// X.509 (RFC 5280) for mutual TLS: the hub's own certificate authority, server and site
// certificates, and certificate requests (PKCS#10, RFC 2986). All keys are P-256.
//
// Values; thread-safe. Times are UTC; checking them against the clock is the caller's business,
// since a site's clock may be wrong (its time floor is in trust/).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/key.h"

namespace skerry {

struct CertificateFacts {
  std::string common_name;
  std::string serial;  // lower-case hex
  std::int64_t not_before_us = 0;
  std::int64_t not_after_us = 0;
  PublicKey key;
  std::string pem;  // this one certificate, as written by us
};

// The first certificate of `pem`; nothing of it is verified. kInvalidArgument when there is none
// or its key is not on P-256.
Result<CertificateFacts> ParseCertificate(std::string_view pem);

// A request signed by `key`, which proves that the requester holds it. PEM.
Result<std::string> MakeCertificateRequest(const PrivateKey& key, std::string_view common_name);

// The request's key, once its own signature holds and it asks for `expected_common_name`.
// kInvalidArgument: no request; kPermissionDenied: the signature or the name is wrong.
Result<PublicKey> VerifyCertificateRequest(std::string_view csr_pem,
                                           std::string_view expected_common_name);

// A certificate authority in a directory: ca.key (0600) and ca.pem. Valid for ten years; what it
// issues, for one. Serial numbers are random, 127 bits. Holds the clock, which outlives it.
class CertificateAuthority {
 public:
  // Opens the authority in `directory` (which exists), or makes one there, durably.
  // kFailedPrecondition when only ca.pem is there or the two do not belong together.
  static Result<CertificateAuthority> LoadOrCreate(const std::filesystem::path& directory,
                                                   std::string_view common_name,
                                                   const Clock& clock);

  const std::string& certificate_pem() const { return certificate_pem_; }

  // For a TLS server: serverAuth; every name is a DNS name or an IP address (v4, v6) and becomes a
  // subject alternative name, the first also the common name. kInvalidArgument without names or
  // for one that is neither. It lasts a year, or until `at_least_until_us` where that is later.
  // PEM.
  Result<std::string> IssueServer(const PublicKey& key, std::span<const std::string> dns_or_ip,
                                  std::int64_t at_least_until_us = 0) const;
  // For a site: clientAuth, common name = the site's name. PEM.
  Result<std::string> IssueSite(const PublicKey& key, std::string_view site) const;

 private:
  CertificateAuthority(PrivateKey key, std::string certificate_pem, const Clock* clock)
      : key_(std::move(key)), certificate_pem_(std::move(certificate_pem)), clock_(clock) {}

  PrivateKey key_;
  std::string certificate_pem_;
  const Clock* clock_;
};

enum class CertificateUse { kAny, kServer, kSite };

// Checks that `ca_pem` is a certificate authority and signed `certificate_pem`, and that the latter
// is a leaf with the extended key usage asked for (kAny: one of the two). Times are not checked.
// kInvalidArgument: no certificate; kPermissionDenied with the reason.
Status VerifyIssuedBy(std::string_view certificate_pem, std::string_view ca_pem,
                      CertificateUse use = CertificateUse::kAny);

}  // namespace skerry
