#include "sync/tuf_artifact.h"

#include "oci/media_types.h"

namespace skerry {

Result<Artifact> MakeTufArtifact(std::span<const TufFile> files) {
  std::vector<BlobSource> layers;
  for (const TufFile& file : files)
    layers.push_back(BlobSource::OfBytes(std::string(media_types::kTufLayer), file.bytes,
                                         {{std::string(annotations::kTitle), file.name}}));
  return MakeArtifact(media_types::kTufArtifact, EmptyConfig(), std::move(layers));
}

Result<ArtifactTufSource> ArtifactTufSource::Make(Artifact artifact) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  ArtifactTufSource source(std::move(artifact));
  for (const Descriptor& layer : manifest.layers) {
    const auto title = layer.annotations.find(std::string(annotations::kTitle));
    if (layer.media_type != media_types::kTufLayer || title == layer.annotations.end())
      return Fail(ErrorCode::kInvalidArgument, "the layer {} is no file of a TUF repository",
                  layer.digest.ToString());
    source.names_[title->second] = layer.digest;
  }
  return source;
}

Result<std::string> ArtifactTufSource::Fetch(const std::string& name, std::size_t max_bytes) {
  const auto digest = names_.find(name);
  const BlobSource* blob = digest == names_.end() ? nullptr : artifact_.FindBlob(digest->second);
  if (blob == nullptr) return Fail(ErrorCode::kNotFound, "the bundle has no {}", name);
  return blob->Read(max_bytes);
}

}  // namespace skerry
