#include "crypto/key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "crypto/digest.h"
#include "crypto/openssl.h"
#include "storage/file.h"

namespace skerry {
namespace {

// SubjectPublicKeyInfo of P-256 with the curve by name and the point uncompressed: the one form
// that is taken, so that a key has one key id.
constexpr int kSpkiBytes = 91;

const unsigned char* Bytes(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Status CheckP256(const EVP_PKEY* key, std::string_view what) {
  char group[32] = "";
  if (EVP_PKEY_is_a(key, "EC") != 1 ||
      EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1 ||
      std::string_view(group) != SN_X9_62_prime256v1) {
    TakeOpenSslErrors();
    return Fail(ErrorCode::kInvalidArgument,
                "the {} key is not on the curve P-256 (ECDSA, prime256v1), the only kind taken",
                what);
  }
  return {};
}

}  // namespace

Result<PublicKey> PublicKey::FromHandle(const evp_pkey_st* handle) {
  unsigned char* der = nullptr;
  const int size = handle == nullptr ? -1 : i2d_PUBKEY(handle, &der);
  if (size < 0)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading the public half of a key");
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(
      der, [](unsigned char* bytes) { OPENSSL_free(bytes); });
  return FromDer({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
}

Result<PublicKey> PublicKey::FromDer(std::string_view der) {
  if (der.size() > limits::kKeyFileBytes)
    return Fail(ErrorCode::kTooLarge, "a public key of {} bytes is over the limit of {} bytes",
                der.size(), limits::kKeyFileBytes);
  const unsigned char* at = Bytes(der);
  KeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a public key");
  SKERRY_RETURN_IF_ERROR(CheckP256(key.get(), "public"));
  if (der.size() != kSpkiBytes || at != Bytes(der) + der.size())
    return Fail(ErrorCode::kInvalidArgument,
                "the public key is not in the plain form: curve by name, point uncompressed");
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "checking a public key");
  PublicKey made;
  made.key_id_ = Digest::Sha256(der).hex();
  made.handle_ = std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free);
  return made;
}

Result<PublicKey> PublicKey::FromPem(std::string_view pem) {
  if (pem.size() > limits::kKeyFileBytes)
    return Fail(ErrorCode::kTooLarge, "a public key of {} bytes is over the limit of {} bytes",
                pem.size(), limits::kKeyFileBytes);
  const BioPtr bio = ReadingBio(pem);
  const KeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, RefusePassword, nullptr));
  if (key == nullptr)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a public key (PEM)");
  return FromHandle(key.get());
}

std::string PublicKey::ToPem() const {
  if (empty()) return "";
  const BioPtr bio = WritingBio();
  CheckOpenSsl(PEM_write_bio_PUBKEY(bio.get(), handle_.get()) == 1, "writing a public key");
  return BytesOf(bio);
}

std::string PublicKey::ToDer() const {
  if (empty()) return "";
  const BioPtr bio = WritingBio();
  CheckOpenSsl(i2d_PUBKEY_bio(bio.get(), handle_.get()) == 1, "writing a public key");
  return BytesOf(bio);
}

Status PublicKey::Verify(std::string_view bytes, std::string_view der_signature) const {
  if (empty()) return Fail(ErrorCode::kPermissionDenied, "there is no key to verify with");
  const HashContextPtr context(EVP_MD_CTX_new());
  CheckOpenSsl(context != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(),
                                                          nullptr, handle_.get()) == 1,
               "starting to verify");
  if (EVP_DigestVerify(context.get(), Bytes(der_signature), der_signature.size(), Bytes(bytes),
                       bytes.size()) == 1)
    return {};
  TakeOpenSslErrors();
  return Fail(ErrorCode::kPermissionDenied, "the signature is not one of key {} over these bytes",
              key_id_.substr(0, 12));
}

Result<PrivateKey> PrivateKey::Generate() {
  PrivateKey made;
  made.handle_ = std::shared_ptr<EVP_PKEY>(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (made.empty()) return OpenSslFailure(ErrorCode::kInternal, "generating a key");
  SKERRY_ASSIGN_OR_RETURN(made.public_key_, PublicKey::FromHandle(made.handle_.get()));
  return made;
}

Result<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  if (pem.size() > limits::kKeyFileBytes)
    return Fail(ErrorCode::kTooLarge, "a private key of {} bytes is over the limit of {} bytes",
                pem.size(), limits::kKeyFileBytes);
  const BioPtr bio = ReadingBio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, RefusePassword, nullptr));
  if (key == nullptr)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a private key (unencrypted PEM)");
  SKERRY_RETURN_IF_ERROR(CheckP256(key.get(), "private"));
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_check(context.get()) != 1)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "checking a private key");
  PrivateKey made;
  SKERRY_ASSIGN_OR_RETURN(made.public_key_, PublicKey::FromHandle(key.get()));
  made.handle_ = std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free);
  return made;
}

Result<PrivateKey> PrivateKey::Load(const std::filesystem::path& path) {
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
  SKERRY_ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, limits::kKeyFileBytes));
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, FromPem(pem), path.string());
  return key;
}

Result<PrivateKey> PrivateKey::LoadOrCreate(const std::filesystem::path& path) {
  auto loaded = Load(path);
  if (loaded || loaded.error().code() != ErrorCode::kNotFound) return loaded;
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, Generate());
  SKERRY_ASSIGN_OR_RETURN(const std::string pem, key.ToPem());
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(path, pem, 0600));
  return key;
}

Result<std::string> PrivateKey::ToPem() const {
  if (empty()) return Fail(ErrorCode::kFailedPrecondition, "there is no private key to write");
  const BioPtr bio = WritingBio();
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), handle_.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "writing a private key");
  return BytesOf(bio);
}

Result<std::string> PrivateKey::Sign(std::string_view bytes) const {
  if (empty()) return Fail(ErrorCode::kFailedPrecondition, "there is no private key to sign with");
  const HashContextPtr context(EVP_MD_CTX_new());
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, handle_.get()) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "starting to sign");
  std::string signature(static_cast<std::size_t>(EVP_PKEY_get_size(handle_.get())), '\0');
  std::size_t size = signature.size();
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     Bytes(bytes), bytes.size()) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "signing");
  signature.resize(size);
  return signature;
}

}  // namespace skerry
