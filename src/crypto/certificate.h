// X.509 for the hub's own CA and the sites' certificates (mutual TLS).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"

namespace skerry {

struct CertificateFacts {
  std::string common_name;
  std::string serial_hex;
  std::int64_t not_before_us = 0;  // UTC
  std::int64_t not_after_us = 0;
  std::string sha256_hex;          // of the DER
};

// A self-signed CA certificate (CA:TRUE, keyCertSign), `years` long. PEM.
Result<std::string> CreateCaCertificate(const PrivateKey& key, std::string_view common_name,
                                        std::int64_t now_us, int years);

enum class CertificateUse { kServer, kClient };
struct CertificateRequest {
  std::string common_name;                    // site name, or the hub's
  std::vector<std::string> subject_alt_names; // DNS names or IP addresses, for kServer
  CertificateUse use = CertificateUse::kClient;
  std::int64_t not_before_us = 0;
  std::int64_t not_after_us = 0;
};
// Issues for `subject_key`; PEM of the leaf alone.
Result<std::string> IssueCertificate(const PrivateKey& ca_key, std::string_view ca_pem,
                                     const PublicKey& subject_key,
                                     const CertificateRequest& request);

// PKCS#10. The signature in it is the proof that the requester has the key.
Result<std::string> CreateSigningRequest(const PrivateKey& key, std::string_view common_name);
struct SigningRequestFacts {
  std::string common_name;
  PublicKey key;
};
// kPermissionDenied when its self-signature does not hold.
Result<SigningRequestFacts> ReadSigningRequest(std::string_view pem);

Result<CertificateFacts> ReadCertificate(std::string_view pem);
Result<PublicKey> CertificateKey(std::string_view pem);
// Checks the chain leaf -> ca and the key usage at `at_us` (the caller's time, floored by what it
// has already seen); kPermissionDenied with the reason. `at_us` = 0 leaves times unchecked.
Status VerifyCertificate(std::string_view leaf_pem, std::string_view ca_pem, CertificateUse use,
                         std::int64_t at_us);

}  // namespace skerry
