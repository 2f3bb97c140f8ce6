// Metadata of The Update Framework (TUF specification 1.0, sections 4 and 4.3 to 4.6): what a site
// should run is a target of the hub's one repository.
//
// Role: the four kinds of documents, their signatures over canonical JSON, and the check of a
// threshold. Who is believed for what, and in which order, is the client's business
// (trust/tuf_client.h); what is published, the repository's (trust/tuf_repository.h).
//   TufSigned read = ParseTuf(bytes, "timestamp", limits::kTufTimestampBytes);
//   VerifyTuf(read, root.keys, root.roles.at("timestamp"));
//   TufTimestamp timestamp = TufTimestamp::FromJson(read.body);
// Keys are ECDSA on P-256 (keytype "ecdsa", scheme "ecdsa-sha2-nistp256"); others are read over and
// count for nothing. Values and free functions; thread-safe. Format: docs/formats/tuf.md.
// Errors: kInvalidArgument names the member that is malformed, kTooLarge a limit,
// kPermissionDenied signatures that do not reach the threshold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "crypto/key.h"

namespace skerry {

using TufKeys = std::map<std::string, PublicKey>;  // by TUF key id

// {"keytype","keyval":{"public"},"scheme"}
Json TufKeyJson(const PublicKey& key);
// SHA-256 (hex) of the canonical JSON of TufKeyJson.
std::string TufKeyId(const PublicKey& key);
// "#m of these keys".
struct TufRole {
  std::vector<std::string> key_ids;
  std::uint64_t threshold = 1;
  bool operator==(const TufRole&) const = default;
};

// A document taken apart, nothing of it verified.
struct TufSigned {
  Json body;  // what is signed
  std::string canonical;
  std::map<std::string, std::string> signatures;  // by key id; raw (DER)

  std::uint64_t version() const { return body.value("version", std::uint64_t{0}); }
  std::string ToJson() const;
};

// Checks the form, `_type`, the specification's major version, version and expiry.
Result<TufSigned> ParseTuf(std::string_view text, std::string_view type, std::size_t max_bytes);
// A document with no signature yet.
Result<TufSigned> MakeTuf(Json body);
Status SignTuf(TufSigned& document, const PrivateKey& key);
// How many of the role's keys have signed it, the same key under two ids counted once.
std::uint64_t CountSignatures(const TufSigned& document, const TufKeys& keys, const TufRole& role);
// kPermissionDenied: "`what` is signed by 1 of the 2 keys that it takes".
Status VerifyTuf(const TufSigned& document, const TufKeys& keys, const TufRole& role,
                 std::string_view what);

// Of another metadata file: its version, and where they are given its length and digest.
struct TufFileRef {
  std::uint64_t version = 1;
  std::optional<std::uint64_t> length;
  Digest sha256;

  static TufFileRef Of(std::uint64_t version, std::string_view bytes);
  // kDataLoss: `bytes` are others.
  Status Check(std::string_view what, std::string_view bytes) const;
};

struct TufRoot {
  std::uint64_t version = 0;
  std::int64_t expires_us = 0;
  TufKeys keys;
  std::map<std::string, TufRole> roles;  // root, timestamp, snapshot, targets; all are there

  const TufRole& role(const std::string& name) const { return roles.at(name); }
  Json ToJson() const;
  static Result<TufRoot> FromJson(const Json& body);
};

struct TufTimestamp {
  std::uint64_t version = 0;
  std::int64_t expires_us = 0;
  TufFileRef snapshot;

  Json ToJson() const;
  static Result<TufTimestamp> FromJson(const Json& body);
};

struct TufSnapshot {
  std::uint64_t version = 0;
  std::int64_t expires_us = 0;
  std::map<std::string, TufFileRef> files;  // "targets.json", "<role>.json"

  Json ToJson() const;
  static Result<TufSnapshot> FromJson(const Json& body);
};

struct TufTarget {
  std::uint64_t length = 0;
  Digest sha256;

  static TufTarget Of(std::string_view bytes);
  Status Check(std::string_view path, std::string_view bytes) const;  // kDataLoss
  bool operator==(const TufTarget&) const = default;
};

// "The targets whose paths match these are that role's to say."
struct TufDelegation {
  std::string name;
  TufRole role;
  bool terminating = false;
  std::vector<std::string> paths;          // shell patterns, part by part
  std::vector<std::string> hash_prefixes;  // instead of paths: of the path's SHA-256 (hex)

  bool Matches(std::string_view path) const;
};

struct TufTargets {
  std::uint64_t version = 0;
  std::int64_t expires_us = 0;
  std::map<std::string, TufTarget> targets;  // by path
  TufKeys keys;                              // of the delegations
  std::vector<TufDelegation> delegations;    // in order of precedence

  Json ToJson() const;
  static Result<TufTargets> FromJson(const Json& body);
};

// How things are named below the repository's base (consistent snapshots).
std::string TufMetadataName(std::string_view role, std::uint64_t version);
constexpr std::string_view kTufTimestampName = "metadata/timestamp.json";
std::string TufTargetName(std::string_view path, const TufTarget& target);

}  // namespace skerry
