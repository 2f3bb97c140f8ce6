// The client of a TUF repository (specification 1.0, section 5, "Detailed client workflow"): what
// of it is trusted, kept in a directory, and brought up to date from wherever the files come.
//
// Role: pure verification over "fetch by name" (TufSource), so that a link and a bundle are judged
// by the same code. The one deviation (docs/adr/0025-tuf-expiry.md): metadata that has expired is
// applied like any other, if it is newer and validly signed; expiry() is there to be told of.
//   TufClient client = TufClient::Open(directory);
//   client.Trust(first_root);                          // once, by a road that is trusted
//   client.Update(source);                             // root, timestamp, snapshot, targets
//   TufTarget target = client.FindTarget("sites/north/desired.json", source);
//   std::string bytes = client.FetchTarget(path, target, source);
//
// The directory: root.json, timestamp.json, snapshot.json, targets.json, roles/<name>.json, each
// replaced as a whole and synced as soon as it is verified, so that a crash or a cut leaves
// something that was trusted. One thread at a time.
// Errors: kConflict (rollback: older than what is held), kPermissionDenied (signatures),
// kDataLoss (not what is referred to: mixed or damaged), kNotFound, kTooLarge; whatever else the
// source says. What was verified before an error stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "trust/tuf_metadata.h"

namespace skerry {

// A repository's files by name: "metadata/2.root.json", "targets/sites/north/<digest>.desired.json"
// (trust/tuf_metadata.h, the end).
class TufSource {
 public:
  virtual ~TufSource() = default;
  // kNotFound: there is none of this name. kTooLarge over `max_bytes`.
  virtual Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) = 0;
};

// Which of the documents that hold now expires first.
struct TufExpiry {
  std::string role;
  std::int64_t expires_us = 0;
};

class TufClient {
 public:
  // Made when absent. What is damaged, or not signed by whom the root names now, is fetched again;
  // a damaged root is kDataLoss.
  static Result<TufClient> Open(std::filesystem::path directory);

  bool has_root() const { return root_.has_value(); }
  // The first root, signed by itself. One that is held already stays.
  Status Trust(std::string_view root_json);

  // 5.3 to 5.6: root by root, timestamp, snapshot, top-level targets.
  Status Update(TufSource& source);
  // 5.7: through the delegations, whose metadata it fetches where it is not held. kNotFound: no
  // role that may say anything of this path does.
  Result<TufTarget> FindTarget(std::string_view path, TufSource& source);
  Result<std::string> FetchTarget(std::string_view path, const TufTarget& target,
                                  TufSource& source) const;

  // FindTarget in what is held alone: kUnavailable when that is not all of it.
  Result<TufTarget> FindHeld(std::string_view path);
  // The timestamp as it came; "" when there is none.
  std::string timestamp_json() const { return timestamp_ ? timestamp_->bytes : std::string(); }
  std::uint64_t root_version() const { return root_ ? root_->value.version : 0; }
  // Of what the last FindTarget was decided by. Nothing before the first update.
  std::optional<TufExpiry> expiry() const;

 private:
  template <typename T>
  struct Held {
    std::string bytes;
    TufSigned document;
    T value;
  };
  explicit TufClient(std::filesystem::path directory) : directory_(std::move(directory)) {}

  Status UpdateRoot(TufSource& source);
  Status UpdateTimestamp(TufSource& source);
  Status UpdateSnapshot(TufSource& source);
  Status CheckSnapshotOrder(const TufSnapshot& offered) const;
  // The targets metadata of a role, as the snapshot names it, signed by `role` of `keys`.
  Result<const TufTargets*> EnsureTargets(const std::string& name, const TufKeys& keys,
                                          const TufRole& role, TufSource& source);
  bool HoldsTargets(const std::string& name, const TufKeys& keys, const TufRole& role,
                    const TufFileRef& ref) const;
  void DropUnverified();
  Status Save(const std::string& name, std::string_view bytes) const;
  std::filesystem::path FileOf(const std::string& role) const;

  std::filesystem::path directory_;
  std::optional<Held<TufRoot>> root_;
  std::optional<Held<TufTimestamp>> timestamp_;
  std::optional<Held<TufSnapshot>> snapshot_;
  std::map<std::string, Held<TufTargets>> targets_;  // "targets" and the delegated roles
  std::set<std::string> visited_;                    // of these, by the last FindTarget
};

}  // namespace skerry
