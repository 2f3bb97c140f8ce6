// Files of a TUF repository as one artifact: a layer each, its name the title. So a bundle carries
// a desired state with all the metadata behind it, every root included (docs/formats/bundle.md).
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "base/error.h"
#include "oci/artifact.h"
#include "trust/tuf_client.h"
#include "trust/tuf_repository.h"

namespace skerry {

// kTooLarge: more files than an artifact has layers.
Result<Artifact> MakeTufArtifact(std::span<const TufFile> files);

// The artifact's layers by name. Owns a copy of it.
class ArtifactTufSource final : public TufSource {
 public:
  // kInvalidArgument: it is no such artifact.
  static Result<ArtifactTufSource> Make(Artifact artifact);
  Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) override;

 private:
  explicit ArtifactTufSource(Artifact artifact) : artifact_(std::move(artifact)) {}
  Artifact artifact_;
  std::map<std::string, Digest> names_;
};

}  // namespace skerry
