// OCI image layouts on removable media: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`
// (image-spec 1.1; docs/formats/bundle.md says what ours carry), in a directory or in one tar.
// skopeo, oras and crane read what LayoutWriter writes into a directory, up to
// limits::kLooseBlobs. The writer is not thread-safe; an open reader is immutable, and is.
//
// The reader trusts nothing: no symbolic link, device, absolute name or ".." is followed, sizes
// and counts are bounded, every byte handed out was compared with its digest. A damaged or half
// copied layout gives its whole artifacts; for each other one the reason and the blobs are named.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/artifact.h"
#include "oci/manifest.h"
#include "oci/medium.h"
#include "oci/medium_writer.h"

namespace skerry {

// Writes a layout. Blobs are synced as they are added; index.json comes last, so a layout without
// it is one that was not finished.
class LayoutWriter {
 public:
  // `path` is made, or is an empty directory, or holds a layout that was planned and not finished:
  // that is gone on with. kAlreadyExists for anything else.
  static Result<LayoutWriter> Create(const std::filesystem::path& path,
                                     MediumForm form = MediumForm::kDirectory,
                                     MediumBounds bounds = {});
  // One that `receiver` alone can read (medium.h); what an interrupted writer left of one there is
  // begun again.
  static Result<LayoutWriter> Seal(const std::filesystem::path& path, const AgeRecipient& receiver,
                                   MediumBounds bounds = {});

  // The annotations of the unfinished layout that is gone on with.
  const std::optional<Annotations>& unfinished() const { return unfinished_; }

  // Of index.json, and of the plan. Before Plan.
  void SetAnnotation(std::string key, std::string value);
  // Writes contents.json: what this layout will hold. Where the rest was not written or copied to
  // the end, it tells which parts are whole and what the others lack. Optional; before AddArtifact.
  Status Plan(const std::vector<Descriptor>& entries);
  // `annotations` go onto the manifest's descriptor in the index, beside what it has
  // (annotations::kRefName gives the name by which tools find it, kKind what it is to us). Every
  // blob of the manifest must be there, verified on the way; the same blob is written once.
  // `written` is told of every piece.
  Status AddArtifact(
      const Artifact& artifact, const Annotations& annotations,
      const std::function<void(std::uint64_t)>& written = [](std::uint64_t) {});
  // Writes index.json; the layout is complete and durable on return. Call once.
  Status Finish();
  // Blobs that an interrupted writer had left whole.
  std::uint64_t kept_blobs() const { return medium_.kept_blobs(); }

  // The manifest's descriptor as the index has it.
  static Descriptor EntryOf(const Artifact& artifact, const Annotations& annotations);

 private:
  explicit LayoutWriter(MediumWriter medium) : medium_(std::move(medium)) {}
  std::string IndexOf(const std::vector<Descriptor>& entries) const;

  MediumWriter medium_;
  std::optional<Annotations> unfinished_;
  std::vector<Descriptor> entries_;
  Annotations annotations_;
};

// A blob that is missing or not what its digest says.
struct BlobFault {
  Digest digest;
  Error error;  // its message names the blob
};

class LayoutReader {
 public:
  // Reads `oci-layout` and `index.json`, or `contents.json` where the index is missing or damaged.
  // kNotFound when there is no layout, kFailedPrecondition when it was not finished (neither),
  // kDataLoss when they are damaged, kTooLarge over limits::kIndexBytes or kBundleEntries,
  // kPermissionDenied when a link or device stands in, and for a sealed one without the `identity`
  // of its receiver.
  static Result<LayoutReader> Open(const std::filesystem::path& path,
                                   const AgeIdentity* identity = nullptr);

  // The manifests of the index, in its order, with their annotations.
  const std::vector<Descriptor>& entries() const { return entries_; }
  const Annotations& annotations() const { return annotations_; }
  // What is wrong with the medium beside its blobs, a sentence each: no index, damaged archives.
  const std::vector<std::string>& damage() const { return damage_; }
  // The one with this ref name; kNotFound lists the names there are.
  Result<Descriptor> Find(std::string_view ref_name) const;

  // The manifest alone, verified.
  Result<Artifact> ReadManifest(const Descriptor& entry) const;
  // The artifact with its blobs as files of the layout, each verified now. kDataLoss names every
  // blob that is missing or damaged; other entries are not concerned. The well-known empty blob
  // (`{}`) is never missed.
  Result<Artifact> Read(const Descriptor& entry) const;
  // The same without reading the blobs: each is there with its size. Whoever uses one verifies it.
  Result<Artifact> Locate(const Descriptor& entry) const;
  // Reads everything of one entry; what is missing or damaged, none when it is whole. `read` is
  // told of every blob's size.
  std::vector<BlobFault> Check(
      const Descriptor& entry,
      const std::function<void(std::uint64_t)>& read = [](std::uint64_t) {}) const;

 private:
  explicit LayoutReader(Medium medium) : medium_(std::move(medium)) {}
  Status ReadIndex();
  // One blob's place; kDataLoss when it is missing or has another size, kPermissionDenied.
  Result<BlobSource> Place(const Descriptor& blob) const;
  Result<Artifact> Gather(const Descriptor& entry,
                          const std::function<Status(const BlobSource&)>& check) const;

  Medium medium_;
  std::vector<Descriptor> entries_;
  Annotations annotations_;
  std::vector<std::string> damage_;
};

}  // namespace skerry
