// OCI image layouts on removable media: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`
// (image-spec 1.1; docs/formats/bundle.md says what ours carry). skopeo, oras and crane read what
// LayoutWriter writes. Neither class is thread-safe.
//
// The reader trusts nothing: no symbolic link, device, absolute name or ".." is followed, sizes
// and counts are bounded, every byte handed out was compared with its digest. A damaged or half
// copied layout gives its whole artifacts; for each other one the reason and the blobs are named.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// Writes a new layout. Blobs are synced as they are added; index.json comes last, so a layout
// without it is one that was not finished.
class LayoutWriter {
 public:
  // `directory` is made, or must be empty (kAlreadyExists).
  static Result<LayoutWriter> Create(std::filesystem::path directory);

  // `annotations` go onto the manifest's descriptor in the index, beside what it has
  // (annotations::kRefName gives the name by which tools find it, kKind what it is to us). Every
  // blob of the manifest must be there, verified on the way; the same blob is written once.
  Status AddArtifact(const Artifact& artifact, const Annotations& annotations);
  // Of index.json.
  void SetAnnotation(std::string key, std::string value);
  // Writes index.json; the layout is complete and durable on return. Call once.
  Status Finish();

 private:
  explicit LayoutWriter(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Status WriteBlob(const BlobSource& blob);

  std::filesystem::path directory_;
  std::set<Digest> written_;
  std::vector<Descriptor> entries_;
  Annotations annotations_;
};

class LayoutReader {
 public:
  // Reads `oci-layout` and `index.json`. kNotFound when there is no layout, kFailedPrecondition
  // when it was not finished (no index.json), kDataLoss when either is damaged, kTooLarge over
  // limits::kIndexBytes or kBundleEntries, kPermissionDenied when a link or device stands in.
  static Result<LayoutReader> Open(std::filesystem::path directory);

  // The manifests of the index, in its order, with their annotations.
  const std::vector<Descriptor>& entries() const { return entries_; }
  const Annotations& annotations() const { return annotations_; }
  // The one with this ref name; kNotFound lists the names there are.
  Result<Descriptor> Find(std::string_view ref_name) const;

  // The artifact with its blobs as files of the layout, each verified now. kDataLoss names every
  // blob that is missing or damaged; other entries are not concerned. The well-known empty blob
  // (`{}`) is never missed.
  Result<Artifact> Read(const Descriptor& entry) const;
  // One verified blob's path; kDataLoss, kPermissionDenied.
  Result<std::filesystem::path> BlobPath(const Descriptor& blob) const;

 private:
  explicit LayoutReader(std::filesystem::path directory) : directory_(std::move(directory)) {}

  std::filesystem::path directory_;
  std::vector<Descriptor> entries_;
  Annotations annotations_;
};

}  // namespace skerry
