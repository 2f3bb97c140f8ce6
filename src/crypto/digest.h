// Content identity: "sha256:<64 hex>" (OCI image-spec 1.1, descriptor.md "Digests").
#pragma once

#include <compare>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// A parsed, well-formed digest. Only sha256 is written; sha512 is read.
class Digest {
 public:
  Digest() = default;  // empty: "none"
  // kInvalidArgument unless "sha256:" + 64 or "sha512:" + 128 lower-case hex digits.
  static Result<Digest> Parse(std::string_view text);
  static Digest OfBytes(std::string_view bytes);

  const std::string& ToString() const { return text_; }
  std::string_view algorithm() const;  // "sha256"
  std::string_view hex() const;
  std::string Short() const { return std::string(hex().substr(0, 12)); }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  std::string text_;
};

// Streaming hash. One use; not thread-safe.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");  // "sha256" or "sha512"
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void Update(std::string_view bytes);
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Hashes a file in bounded memory.
Result<Digest> DigestOfFile(const std::filesystem::path& path,
                            std::string_view algorithm = "sha256");

// HMAC-SHA-256 (RFC 2104); 32 raw bytes.
std::string HmacSha256(std::string_view key, std::string_view message);
// Compares in constant time.
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace skerry

template <>
struct std::hash<skerry::Digest> {
  std::size_t operator()(const skerry::Digest& digest) const noexcept {
    return std::hash<std::string>()(digest.ToString());
  }
};
