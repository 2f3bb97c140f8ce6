// The layers of one package, by as few bytes as may be: from a package that is here, as a patch
// against a layer that is here, or whole (docs/formats/delta.md, ADR 0027).
//
// Role: between the Deployer and a source. Trusts neither: what is here may be damaged and a patch
// may be anything, so a layer is handed out only when its digest is the one asked for, which the
// caller has from a signed manifest. Whatever is wrong with a patch or its base, the layer is
// fetched whole, and the reason is kept.
// Owned by the Deployer for one package; one thread at a time. Memory: twice
// limits::kDeltaLayerBytes while a patch is applied. Files that it makes go with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/manifest.h"
#include "storage/file.h"
#include "sync/artifact_source.h"
#include "sync/package_store.h"

namespace skerry {

// How layers (and configs) came to this site, in bytes.
struct LayerTraffic {
  std::uint64_t whole_bytes = 0;    // fetched as they are
  std::uint64_t patch_bytes = 0;    // fetched as patches
  std::uint64_t patched_bytes = 0;  // the layers that these made
  std::uint64_t held_bytes = 0;     // not fetched: they were here
  std::uint64_t refused_patches = 0;
  std::string refusal;  // why, of the last one

  void Add(const LayerTraffic& other);
  // "310 of 4,200 bytes fetched: ..."; empty when everything came whole.
  std::string Text() const;
};

class LayerFetcher {
 public:
  struct Parts {
    ArtifactSource* source = nullptr;  // borrowed
    std::filesystem::path scratch;     // a directory for what is made, below which it may make one
    std::vector<HeldFile> held;
    // Patches that were refused before: not fetched again. Grows here, to kRefusedPatches.
    std::set<Digest> refused;
  };
  explicit LayerFetcher(Parts parts) : parts_(std::move(parts)) {}

  // Asks the source once for what patches it has, unless everything is here; `holds`: the packages
  // that it is told of.
  void LookForPatches(const Digest& package, const Manifest& manifest,
                      const std::vector<Digest>& holds);
  // A file with the layer, as ArtifactSource::Blob; stays until this object and the source go.
  Result<std::filesystem::path> Fetch(const std::string& repository, const Descriptor& layer);

  const LayerTraffic& traffic() const { return traffic_; }
  const std::set<Digest>& refused() const { return parts_.refused; }
  // Packages of which a file was found damaged or gone.
  const std::set<Digest>& damaged() const { return damaged_; }

 private:
  const HeldFile* FindHeld(const Digest& digest) const;
  std::optional<std::filesystem::path> FromHeld(const Descriptor& layer);
  // The layer by the patch, or what is wrong with that.
  Result<std::filesystem::path> FromPatch(const Descriptor& layer, const LayerDelta& delta);
  Result<std::filesystem::path> FetchPatch(const Descriptor& layer, const LayerDelta& delta);
  Result<std::filesystem::path> Apply(const std::filesystem::path& patch, const Descriptor& layer,
                                      const LayerDelta& delta);
  Result<std::string> ReadBase(const LayerDelta& delta);
  void NoteBad(const HeldFile& held);
  void NoteRefusal(const LayerDelta& delta, const Error& reason);

  Parts parts_;
  std::vector<LayerDelta> deltas_;
  LayerTraffic traffic_;
  std::set<std::filesystem::path> bad_files_;
  std::set<Digest> damaged_;
  std::optional<TemporaryDirectory> made_;
};

}  // namespace skerry
