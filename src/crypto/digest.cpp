#include "crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "codec/text.h"
#include "crypto/openssl.h"

namespace skerry {
namespace {

constexpr std::size_t kFileChunkBytes = 256U << 10U;

const EVP_MD* AlgorithmOf(std::string_view name) {
  if (name == "sha256") return EVP_sha256();
  if (name == "sha512") return EVP_sha512();
  return nullptr;
}

// Fetched once: looking it up anew for each hash takes locks that all threads share.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CheckOpenSsl(algorithm != nullptr, "SHA-256");
  return algorithm;
}

std::string_view View(const unsigned char* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

struct FileClose {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

Digest Digest::Sha256(std::string_view bytes) {
  const Sha256Bytes raw = RawSha256(bytes);
  return Digest("sha256:" + EncodeHex({raw.data(), raw.size()}));
}

Result<Digest> Digest::Parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view algorithm = text.substr(0, colon);
  const EVP_MD* known = AlgorithmOf(algorithm);
  if (colon == std::string_view::npos || known == nullptr)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no digest: it has to begin with 'sha256:' or 'sha512:'",
                text.substr(0, 140));
  const std::string_view hex = text.substr(colon + 1);
  const auto digits = static_cast<std::size_t>(EVP_MD_get_size(known)) * 2;
  if (hex.size() != digits || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no digest: {} needs {} lower-case hex digits after the colon",
                text.substr(0, 140), algorithm, digits);
  return Digest(std::string(text));
}

std::string_view Digest::algorithm() const {
  return std::string_view(text_).substr(0, text_.empty() ? 0 : text_.find(':'));
}

std::string_view Digest::hex() const {
  return std::string_view(text_).substr(text_.empty() ? 0 : text_.find(':') + 1);
}

void DigestHasher::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

DigestHasher::DigestHasher(std::string_view algorithm)
    : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  const EVP_MD* known = AlgorithmOf(algorithm);
  assert(known != nullptr);
  CheckOpenSsl(context_ != nullptr && EVP_DigestInit_ex(context_.get(), known, nullptr) == 1,
               "starting a hash");
}

void DigestHasher::Update(std::string_view bytes) {
  assert(context_ != nullptr);
  CheckOpenSsl(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "hashing");
}

Digest DigestHasher::Finish() {
  assert(context_ != nullptr);
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  CheckOpenSsl(EVP_DigestFinal_ex(context_.get(), out, &size) == 1, "finishing a hash");
  context_.reset();
  return Digest(fmt::format("{}:{}", algorithm_, EncodeHex(View(out, size))));
}

Result<Digest> DigestOfFile(const std::filesystem::path& path, std::string_view algorithm) {
  const std::unique_ptr<std::FILE, FileClose> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr)
    return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInternal, "opening {}: {}",
                path.string(), std::strerror(errno));
  DigestHasher hasher(algorithm);
  std::string chunk(kFileChunkBytes, '\0');
  while (std::feof(file.get()) == 0 && std::ferror(file.get()) == 0) {
    const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get());
    hasher.Update(std::string_view(chunk).substr(0, got));
  }
  if (std::ferror(file.get()) != 0)
    return Fail(ErrorCode::kInternal, "reading {}: {}", path.string(), std::strerror(errno));
  return hasher.Finish();
}

Sha256Bytes RawSha256(std::string_view bytes) {
  Sha256Bytes out;
  CheckOpenSsl(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()),
                          nullptr, Sha256Algorithm(), nullptr) == 1,
               "SHA-256");
  return out;
}

std::string HmacSha256(std::string_view key, std::string_view bytes) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  // OpenSSL takes a null key for "the previous one", so an empty key needs an address.
  const char* key_data = key.empty() ? "" : key.data();
  CheckOpenSsl(HMAC(EVP_sha256(), key_data, static_cast<int>(key.size()),
                    reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out,
                    &size) != nullptr,
               "HMAC-SHA-256");
  return std::string(View(out, size));
}

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace skerry
