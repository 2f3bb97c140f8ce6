// Content identity, "sha256:<64 hex>" (OCI image-spec 1.1, descriptor.md "Digests"), and keyed
// hashes. Values; everything here may be used from any thread, one DigestHasher by one at a time.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct evp_md_ctx_st;

namespace skerry {

// A well-formed digest. We write sha256; sha512 is read as well, since OCI registries may hold it.
class Digest {
 public:
  Digest() = default;  // empty: "none"
  static Digest Sha256(std::string_view bytes);
  // kInvalidArgument unless "sha256:" and 64, or "sha512:" and 128 lower-case hex digits.
  static Result<Digest> Parse(std::string_view text);

  const std::string& ToString() const { return text_; }
  std::string_view algorithm() const;  // "sha256", "sha512"; "" of the empty digest
  std::string_view hex() const;
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  friend class DigestHasher;
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Hashes a stream: Update as often as needed, then Finish once (asserted). Movable.
class DigestHasher {
 public:
  // "sha256" or "sha512" (asserted): take the name from a parsed Digest.
  explicit DigestHasher(std::string_view algorithm = "sha256");
  void Update(std::string_view bytes);
  Digest Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::string algorithm_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// Hashes a file in bounded memory. kNotFound when absent.
Result<Digest> DigestOfFile(const std::filesystem::path& path,
                            std::string_view algorithm = "sha256");

// A SHA-256 as it is, without what a Digest allocates: for the way of a request.
using Sha256Bytes = std::array<char, 32>;
Sha256Bytes RawSha256(std::string_view bytes);

// HMAC-SHA-256 (RFC 2104); 32 raw bytes. An empty key is allowed.
std::string HmacSha256(std::string_view key, std::string_view bytes);

// Takes as long whatever the contents are, so that a secret cannot be guessed byte by byte. Sizes
// are not secret.
bool ConstantTimeEqual(std::string_view a, std::string_view b);

}  // namespace skerry

template <>
struct std::hash<skerry::Digest> {
  std::size_t operator()(const skerry::Digest& digest) const noexcept {
    return std::hash<std::string>()(digest.ToString());
  }
};
