// Where the artifacts that a desired state names come from: the hub's registry or a bundle.
//
// Role: the one difference between link and media for the Deployer. Manifests and signature bundles
// come as bytes, blobs as verified files. Nothing that a source gives is trusted: the Deployer
// compares digests and asks the package gate.
// One thread at a time. Errors: kNotFound (this source does not have it), kDataLoss (a damaged or
// half-copied medium; names the blobs), kUnavailable and kDeadlineExceeded (the link).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
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
  // The blobs fetched so far are not needed any more.
  virtual void Discard() = 0;
  // Whether asking costs bytes of a link, so that what was refused is not asked for at every round.
  virtual bool costly() const = 0;
};

// Over the link. Blobs are kept in `directory` while they come, so that a cut goes on at the byte,
// also after a restart.
class RegistrySource final : public ArtifactSource {
 public:
  // Borrowed: the client. `progress` runs after every chunk of every blob.
  RegistrySource(RegistryClient& client, std::filesystem::path directory, TransferProgress progress)
      : client_(&client), directory_(std::move(directory)), progress_(std::move(progress)) {}

  Result<std::string> ManifestBytes(const std::string& repository, const Digest& digest) override;
  Result<std::vector<std::string>> SignatureBundles(const std::string& repository,
                                                    const Digest& subject) override;
  Result<std::filesystem::path> Blob(const std::string& repository,
                                     const Descriptor& blob) override;
  void Discard() override;
  bool costly() const override { return true; }

 private:
  RegistryClient* client_;
  std::filesystem::path directory_;
  TransferProgress progress_;
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
  void Discard() override { copies_.reset(); }
  bool costly() const override { return false; }

 private:
  const BundleReader* reader_;
  std::filesystem::path scratch_;
  std::map<Digest, BlobSource> blobs_;  // of the artifacts read so far
  std::optional<TemporaryDirectory> copies_;
};

}  // namespace skerry
