// The maker's side of a TUF repository: what a hub publishes, and by which keys it signs it.
//
// Role: pure over what it was loaded from; each change signs what has to be signed again and gives
// the files to be kept (TakeFiles), which the owner stores in one transaction (hub/trust_desk.h).
//   TufRepository repository = TufRepository::Create(keys, now_us);   // or Load(keys, kept)
//   repository.Publish("sites/north/desired.json", bytes, now_us);
//   for (TufFile& file : repository.TakeFiles()) ...
//
// Roles: root (m of n, keys may be elsewhere), timestamp, snapshot, targets, and below targets one
// delegated role a group of sites; the group "sites" has every site that no other group has. A
// target of the site S, "sites/S/...", is in the role of its group.
// A new root takes effect when the old root's threshold and its own have signed it. What cannot be
// signed here stays a draft, to be signed elsewhere and brought back (TakeRoot).
// One thread at a time. Errors: kFailedPrecondition (a key is not here), kNotFound,
// kPermissionDenied (a root that is not signed by whom it takes), kInvalidArgument.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "trust/tuf_metadata.h"

namespace skerry {

// Private keys by TUF key id, one file each: `<directory>/<id>.pem`, mode 0600.
class TufKeyDirectory {
 public:
  explicit TufKeyDirectory(std::filesystem::path directory) : directory_(std::move(directory)) {}
  // kNotFound: it is not here.
  Result<PrivateKey> Find(std::string_view key_id) const;
  Result<PublicKey> Generate() const;  // durable on return

 private:
  std::filesystem::path directory_;
};

struct TufFile {
  std::string name;          // as it is fetched; "" of a draft
  std::string family;        // the role; of a target its path
  std::uint64_t number = 0;  // grows within a family
  std::string bytes;
};

// The role of all sites that no group has.
constexpr std::string_view kTufSitesRole = "sites";
// The family of a root that waits for signatures.
constexpr std::string_view kTufDraft = "root draft";
// How far versions jump with every restore of the hub from a back-up.
constexpr std::uint64_t kTufVersionsPerRestore = 1'000'000;

class TufRepository {
 public:
  static Result<TufRepository> Create(TufKeyDirectory keys, std::int64_t now_us);
  // `newest`: the newest file of each role, and the draft where there is one.
  static Result<TufRepository> Load(TufKeyDirectory keys, std::span<const TufFile> newest);

  // No version that is signed from now on is below it: sites may have seen as much of a hub that
  // was restored from a back-up since.
  void SetFloor(std::uint64_t version) { floor_ = version; }
  // Whether something has to be signed again: a version below the floor, or a document that is old.
  bool RefreshIsDue(std::int64_t now_us) const { return IsDue(timestamp_, floor_, now_us); }
  // The same by the newest timestamp alone, which says as much.
  static bool IsDue(const TufTimestamp& timestamp, std::uint64_t floor, std::int64_t now_us);
  Status Refresh(std::int64_t now_us);

  Status Publish(const std::string& path, std::string_view bytes, std::int64_t now_us);
  // The group's sites from now on, all of them. An empty list ends the group.
  Status SetGroup(const std::string& group, const std::set<std::string>& sites,
                  std::int64_t now_us);
  // A new key in place of the role's: one that is held here, of root the one that this hub holds.
  Status Rotate(const std::string& role, std::int64_t now_us);
  // Who signs roots, and how many of them it takes.
  Status SetRootKeys(std::uint64_t threshold, std::span<const PublicKey> keys, std::int64_t now_us);
  // The draft with more signatures, or a root that is signed by whom it takes already.
  Status TakeRoot(std::string_view root_json, std::int64_t now_us);

  // What to fetch for `path` beside the roots, the target last where there is one.
  std::vector<std::string> NamesFor(std::string_view path) const;
  const std::string& root_json() const { return root_json_; }
  std::optional<std::string> draft_json() const;
  // {"roles":[{"role","version","expires","threshold","keys":[{"id","here"}],"sites"?:[...]}],
  // "draft":{"version","signatures","wanted"}|null}
  Json ToJson() const;
  // Changed since Create, Load or the last call, roots first.
  std::vector<TufFile> TakeFiles();

 private:
  explicit TufRepository(TufKeyDirectory keys) : keys_(std::move(keys)) {}
  std::uint64_t Next(std::uint64_t version) const;
  Result<std::string> Sign(Json body, const TufRole& role) const;
  // Signs what is dirty_ or old, and snapshot and timestamp after it.
  Status SignDirty(std::int64_t now_us);
  Status SignTargets(const std::string& name, std::int64_t now_us);
  void MarkAll();
  void MarkOld(std::int64_t now_us);
  void Emit(const std::string& role, std::uint64_t version, std::string bytes);
  const TufDelegation* DelegationOf(std::string_view name) const;
  std::string RoleOfPath(std::string_view path) const;
  Status AddDelegation(const std::string& name, std::vector<std::string> paths);
  void SortTargets();

  // The next root as it stands: the draft, or one made of the present root.
  TufRoot NextRoot(std::int64_t now_us) const;
  Status OfferRoot(TufSigned document, std::int64_t now_us);
  Status SignRootHere(TufSigned& document, const TufRoot& root) const;
  bool IsSignedEnough(const TufSigned& document, const TufRoot& root) const;
  Status RotateDelegated(const std::string& role, std::int64_t now_us);

  TufKeyDirectory keys_;
  std::uint64_t floor_ = 0;
  TufRoot root_;
  std::string root_json_;
  std::optional<TufSigned> draft_;
  TufTimestamp timestamp_;
  TufSnapshot snapshot_;
  TufTargets top_;
  std::map<std::string, TufTargets> groups_;  // delegated roles, those that ended too
  std::set<std::string> dirty_;               // roles of targets that have to be signed
  std::vector<TufFile> files_;
};

}  // namespace skerry
