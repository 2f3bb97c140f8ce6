// The model packages and policies that a site holds on its own disk, by manifest digest.
//
// Files below `directory` (`<data>`): packages/<algorithm>-<hex>/ (the unpacked files), beside it
// <algorithm>-<hex>.manifest (the manifest's bytes, whence the digest of every file) and
// <algorithm>-<hex>.loading (there while the process loads it); policies/<algorithm>-<hex>.manifest
// and .yaml; sync/set-aside.json (refused packages with their reasons).
// Only packages that have passed the gate get their final name; one that is being checked stands
// under a name with a dot in front and is removed at the next Open.
// One thread at a time (the Deployer's lock). What returned OK is durable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/modelpack.h"
#include "trust/desired_state.h"

namespace skerry {

// Called after so many bytes were read; waits as long as that is worth. false: stop.
using ReadPace = std::function<bool(std::size_t bytes)>;

// A package that passed the gate, ready for LoadPackage.
struct AdmittedPackage {
  ModelRef ref;
  std::filesystem::path directory;
  std::map<std::string, Digest> files;  // file name -> digest, from the manifest
};

// Directories of layers that are being made, below sync/; left ones are removed at the next Open.
inline constexpr std::string_view kRebuiltPrefix = ".layers";

// A file of a package that is here, as its manifest says; not read yet.
struct HeldFile {
  Digest digest;
  std::uint64_t size = 0;
  std::filesystem::path path;
  Digest package;
};

class PackageStore {
 public:
  static Result<PackageStore> Open(std::filesystem::path directory);

  // kNotFound; kDataLoss when the manifest is not the digest's any more.
  Result<AdmittedPackage> Find(const ModelRef& ref) const;
  // Every package that is here whole as far as its manifest tells, and the files of one.
  std::vector<Digest> Held() const;
  Result<std::vector<HeldFile>> FilesOf(const Digest& package) const;
  // Reads the manifest and every file of a package from the disk, not from memory, and compares
  // the digests. kDataLoss says what is damaged, missing or unreadable, kNotFound that there is no
  // such package, kUnavailable that `pace` stopped it. From any thread.
  Status Check(const Digest& package, const ReadPace& pace) const;
  // Unpacks under a temporary name; the caller checks it, then Keep or Drop.
  Result<std::filesystem::path> Unpack(const ModelRef& ref, std::string_view manifest_bytes,
                                       const BlobGetter& get_blob);
  Status Keep(const ModelRef& ref, std::string_view manifest_bytes);
  void Drop(const ModelRef& ref);
  // Removes the packages whose digest is not in `wanted`.
  void KeepOnly(const std::set<Digest>& wanted);
  // Forgets a damaged package, so that it can be fetched anew.
  void Remove(const Digest& digest);

  // How often a load of this package began and did not end: what kills its reader is found out.
  Result<int> BeginLoad(const Digest& digest);
  void EndLoad(const Digest& digest);
  int UnfinishedLoads(const Digest& digest) const;

  // A refused package is not fetched again under the same desired state version.
  Status SetAside(const ModelRef& ref, std::uint64_t desired_version, std::string_view reason);
  // The reason, or "" when it is not set aside.
  std::string SetAsideReason(const Digest& digest, std::uint64_t desired_version) const;

  // A policy's YAML, verified down from its manifest digest. kNotFound, kDataLoss.
  Result<std::string> FindPolicy(const PolicyRef& ref) const;
  Status KeepPolicy(const PolicyRef& ref, std::string_view manifest_bytes, std::string_view yaml);

 private:
  struct Refusal {
    std::string package;
    std::uint64_t desired_version;
    std::string reason;
  };

  explicit PackageStore(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path PackagePath(const Digest& digest, std::string_view suffix = "") const;
  std::filesystem::path PolicyPath(const Digest& digest, std::string_view suffix) const;
  std::filesystem::path IncomingPath(const Digest& digest) const;
  Status LoadRefusals();

  std::filesystem::path directory_;
  std::map<Digest, Refusal> refusals_;
};

// The policy document's descriptor in its artifact: exactly one layer of kPolicyLayer.
Result<Descriptor> PolicyLayerOf(std::string_view manifest_bytes);

}  // namespace skerry
