// Encryption of files to one receiver, in the format of age (age-encryption.org/v1): X25519,
// HKDF-SHA-256, and ChaCha20-Poly1305 over chunks of 64 KiB (STREAM), so that a damaged chunk costs
// itself alone and any chunk is read without those before it. `age -d -i KEYFILE` reads the same.
//
//   AgeHead head = BeginAge(recipient).value();    // write head.bytes, then head.chunks.Seal(0,
//   ...) AgeHead read = OpenAge(first_bytes, identity); // chunks stand behind read.bytes
// Values; thread-safe. Source: C2SP age specification; BIP 173 (bech32 of the keys).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

constexpr std::size_t kAgeChunkBytes = 64U << 10U;  // of plain text; the last one is shorter
constexpr std::size_t kAgeTagBytes = 16;            // that each chunk grows by
constexpr std::size_t kAgeHeadBytes = 64U << 10U;   // that OpenAge reads at most

using AgeKeyBytes = std::array<unsigned char, 32>;

// Who can read: "age1...".
class AgeRecipient {
 public:
  // kInvalidArgument says what is wrong with the text.
  static Result<AgeRecipient> Parse(std::string_view text);
  std::string ToString() const;
  const AgeKeyBytes& bytes() const { return bytes_; }
  bool operator==(const AgeRecipient&) const = default;

 private:
  friend class AgeIdentity;
  AgeKeyBytes bytes_{};
};

// The secret of a receiver: "AGE-SECRET-KEY-1...".
class AgeIdentity {
 public:
  static AgeIdentity Generate();
  static Result<AgeIdentity> Parse(std::string_view text);
  // The first line of the file that is no comment. kNotFound; kPermissionDenied when group or
  // others have any right to it; kInvalidArgument.
  static Result<AgeIdentity> Load(const std::filesystem::path& path);
  // Load, or where there is no file: generates one and writes it there, mode 0600, durably.
  static Result<AgeIdentity> LoadOrCreate(const std::filesystem::path& path);

  std::string ToString() const;
  const AgeRecipient& recipient() const { return recipient_; }
  const AgeKeyBytes& secret() const { return secret_; }

 private:
  AgeKeyBytes secret_{};
  AgeRecipient recipient_;
};

// Seals and opens the chunks of one file; chunk 0, 1, 2, ... of kAgeChunkBytes each. Only the last
// one may be shorter, and says that it is the last.
class AgeChunks {
 public:
  AgeChunks() = default;
  explicit AgeChunks(std::string_view key);
  std::string Seal(std::uint64_t number, bool last, std::string_view plain) const;
  // kDataLoss when the chunk is not what was sealed under this number.
  Result<std::string> Open(std::uint64_t number, bool last, std::string_view sealed) const;

 private:
  AgeKeyBytes key_{};
};

struct AgeHead {
  std::string bytes;  // everything before the first chunk
  AgeChunks chunks;
};

// kInvalidArgument for a receiver that is a point of low order: anybody could read what is sealed
// to it.
Result<AgeHead> BeginAge(const AgeRecipient& recipient);
// `start`: the first kAgeHeadBytes of the file, or all of it. kPermissionDenied: it is sealed to
// others; kDataLoss: damaged, or no file of age.
Result<AgeHead> OpenAge(std::string_view start, const AgeIdentity& identity);

}  // namespace skerry
