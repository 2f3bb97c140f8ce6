// ECDSA keys on P-256 with SHA-256 and DER signatures (FIPS 186-5): what cosign, DSSE, TUF and TLS
// all take.
//
// Values that are cheap to copy: the copies share one immutable OpenSSL key, which the last of them
// frees. Thread-safe. A default-constructed key is "none": it verifies nothing and signs nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct evp_pkey_st;

namespace skerry {

class PublicKey {
 public:
  PublicKey() = default;
  // SubjectPublicKeyInfo (RFC 5280), as `openssl pkey -pubout` writes it. kInvalidArgument unless
  // it is one valid key on P-256.
  static Result<PublicKey> FromPem(std::string_view pem);
  static Result<PublicKey> FromDer(std::string_view der);

  bool empty() const { return handle_ == nullptr; }
  std::string ToPem() const;
  std::string ToDer() const;
  // Lower-case hex SHA-256 of the SubjectPublicKeyInfo DER; "" of the empty key.
  const std::string& key_id() const { return key_id_; }
  // kPermissionDenied when `der_signature` is not this key's over SHA-256 of `bytes`.
  Status Verify(std::string_view bytes, std::string_view der_signature) const;

  bool operator==(const PublicKey& other) const { return key_id_ == other.key_id_; }

  // For the adapters of OpenSSL only. FromHandle copies the public half of any OpenSSL key; errors
  // as FromDer.
  static Result<PublicKey> FromHandle(const evp_pkey_st* handle);
  evp_pkey_st* handle() const { return handle_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> handle_;
  std::string key_id_;
};

class PrivateKey {
 public:
  PrivateKey() = default;
  static Result<PrivateKey> Generate();
  // Unencrypted PKCS#8 or SEC1 PEM. kInvalidArgument unless it is one key on P-256.
  static Result<PrivateKey> FromPem(std::string_view pem);
  // Reads a PEM file. kNotFound; kPermissionDenied when group or others have any right to it,
  // saying how to mend that.
  static Result<PrivateKey> Load(const std::filesystem::path& path);
  // Load, or where there is no file: generates a key and writes it there, mode 0600, durably.
  static Result<PrivateKey> LoadOrCreate(const std::filesystem::path& path);

  bool empty() const { return handle_ == nullptr; }
  Result<std::string> ToPem() const;  // PKCS#8
  const PublicKey& public_key() const { return public_key_; }
  // DER ECDSA over SHA-256 of `bytes`; another signature each time. kFailedPrecondition without a
  // key.
  Result<std::string> Sign(std::string_view bytes) const;

  // For the adapters of OpenSSL only.
  evp_pkey_st* handle() const { return handle_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> handle_;
  PublicKey public_key_;
};

}  // namespace skerry
