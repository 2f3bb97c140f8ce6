// Where the artifacts that a desired state names come from: the hub's registry or a bundle.
//
// Role: the one difference between link and media for the Deployer. Manifests and signature bundles
// come as bytes, blobs as verified files. Nothing that a source gives is trusted: the Deployer
// compares digests and asks the package gate.
// One thread at a time. Errors: kNotFound (this source does not have it), kDataLoss (a damaged or
// half-copied medium; names the blobs), kUnavailable and kDeadlineExceeded (the link).
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/delta_artifact.h"
#include "oci/manifest.h"
#include "oci/registry_client.h"
#include "storage/file.h"
#include "sync/bundle.h"

namespace skerry {

class ArtifactSource {
 public:
  virtual ~ArtifactSource() = default;
  virtual Result<std::string> ManifestBytes(const std::string& repository,
                                            const Digest& digest) = 0;
  // Every cosign bundle (JSON) that this source has for the manifest; may be none.
  virtual Result<std::vector<std::string>> SignatureBundles(const std::string& repository,
                                                            const Digest& subject) = 0;
  // A file with the blob's content, verified; stays as long as the source, or until Discard.
  virtual Result<std::filesystem::path> Blob(const std::string& repository,
                                             const Descriptor& blob) = 0;
  // The patches by which this source can give layers of the package `target` to a site that holds
  // the packages `holds` (manifest digests, the likeliest base first); after ManifestBytes of it.
  // May be none, whatever the reason: layers then come whole. Nothing that they say is trusted.
  virtual std::vector<LayerDelta> Deltas(const Digest& target,
                                         const std::vector<Digest>& holds) = 0;
  // As Blob, of such a patch.
  virtual Result<std::filesystem::path> Patch(const Descriptor& patch) = 0;
  // The blobs fetched so far are not needed any more.
  virtual void Discard() = 0;
  // Whether asking costs bytes of a link, so that what was refused is not asked for at every round.
  virtual bool costly() const = 0;
};

// Over the link. Blobs are kept in `directory` while they come, so that a cut goes on at the byte,
// also after a restart.
class RegistrySource final : public ArtifactSource {
 public:
  // Asks the hub for a delta's manifest; none where it has none.
  using AskForDelta = std::function<std::optional<std::string>(const Digest& target,
                                                               const std::vector<Digest>& holds)>;

  // Borrowed: the client. `progress` runs after every chunk of every blob. Without `ask_for_delta`
  // there are no patches.
  RegistrySource(RegistryClient& client, std::filesystem::path directory, TransferProgress progress,
                 AskForDelta ask_for_delta = {})
      : client_(&client),
        directory_(std::move(directory)),
        progress_(std::move(progress)),
        ask_for_delta_(std::move(ask_for_delta)) {}

  Result<std::string> ManifestBytes(const std::string& repository, const Digest& digest) override;
  Result<std::vector<std::string>> SignatureBundles(const std::string& repository,
                                                    const Digest& subject) override;
  Result<std::filesystem::path> Blob(const std::string& repository,
                                     const Descriptor& blob) override;
  std::vector<LayerDelta> Deltas(const Digest& target, const std::vector<Digest>& holds) override;
  Result<std::filesystem::path> Patch(const Descriptor& patch) override;
  void Discard() override;
  bool costly() const override { return true; }

 private:
  RegistryClient* client_;
  std::filesystem::path directory_;
  TransferProgress progress_;
  AskForDelta ask_for_delta_;
};

// Out of a bundle; blobs stay where they are on the medium, and those that stand in archives are
// copied into a directory below `scratch`, which goes with the source. Borrowed: the reader.
class BundleSource final : public ArtifactSource {
 public:
  BundleSource(const BundleReader& reader, std::filesystem::path scratch)
      : reader_(&reader), scratch_(std::move(scratch)) {}

  Result<std::string> ManifestBytes(const std::string& repository, const Digest& digest) override;
  Result<std::vector<std::string>> SignatureBundles(const std::string& repository,
                                                    const Digest& subject) override;
  Result<std::filesystem::path> Blob(const std::string& repository,
                                     const Descriptor& blob) override;
  std::vector<LayerDelta> Deltas(const Digest& target, const std::vector<Digest>& holds) override;
  Result<std::filesystem::path> Patch(const Descriptor& patch) override { return Blob("", patch); }
  void Discard() override { copies_.reset(); }
  bool costly() const override { return false; }

 private:
  Result<std::string> TakeIn(const BundlePart& part, const Digest& digest);

  const BundleReader* reader_;
  std::filesystem::path scratch_;
  std::map<Digest, BlobSource> blobs_;  // of the artifacts read so far
  std::map<Digest, Manifest> deltas_;   // of these, by the package that they make
  std::optional<TemporaryDirectory> copies_;
};

}  // namespace skerry
