// ECDSA P-256 keys with SHA-256: what cosign, TUF and TLS all take.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// Value type over a shared immutable key (shared: OpenSSL's own reference count). Thread-safe.
class PublicKey {
 public:
  // SubjectPublicKeyInfo PEM or DER; kInvalidArgument unless it is an EC key on P-256.
  static Result<PublicKey> FromPem(std::string_view pem);
  std::string ToPem() const;
  // base64(sha256(SPKI DER)): cosign's key hint, and our key id everywhere.
  std::string KeyId() const;
  // `signature` is ASN.1 DER, over SHA-256 of `message`. kPermissionDenied when it does not hold.
  Status Verify(std::string_view message, std::string_view signature) const;

  struct Impl;
  explicit PublicKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

class PrivateKey {
 public:
  static PrivateKey Generate();
  // Unencrypted PKCS#8 or SEC1 PEM on P-256.
  static Result<PrivateKey> FromPem(std::string_view pem);
  std::string ToPem() const;  // PKCS#8
  // Reads the file, refusing one that group or others may read (kFailedPrecondition).
  static Result<PrivateKey> Load(const std::filesystem::path& path);
  // Loads `path`, or generates a key and writes it there, mode 0600, synced.
  static Result<PrivateKey> LoadOrCreate(const std::filesystem::path& path);
  Status Save(const std::filesystem::path& path) const;  // 0600, durable on return

  PublicKey public_key() const;
  // ASN.1 DER ECDSA over SHA-256 of `message`.
  std::string Sign(std::string_view message) const;

  struct Impl;
  explicit PrivateKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace skerry
