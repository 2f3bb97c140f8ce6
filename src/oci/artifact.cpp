#include "oci/artifact.h"

#include <algorithm>

#include "base/limits.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

Descriptor Describe(std::string media_type, std::string_view bytes, Annotations annotations) {
  Descriptor descriptor;
  descriptor.media_type = std::move(media_type);
  descriptor.digest = Digest::Sha256(bytes);
  descriptor.size = bytes.size();
  descriptor.annotations = std::move(annotations);
  return descriptor;
}

}  // namespace

BlobSource BlobSource::OfBytes(std::string media_type, std::string bytes, Annotations annotations) {
  Descriptor descriptor = Describe(std::move(media_type), bytes, std::move(annotations));
  return {std::move(descriptor), std::move(bytes)};
}

Result<BlobSource> BlobSource::OfFile(std::string media_type, const std::filesystem::path& path,
                                      Annotations annotations) {
  SKERRY_ASSIGN_OR_RETURN(const FileDigest facts, DigestFile(path, "sha256"));
  Descriptor descriptor;
  descriptor.media_type = std::move(media_type);
  descriptor.digest = facts.digest;
  descriptor.size = facts.size;
  descriptor.annotations = std::move(annotations);
  return BlobSource{std::move(descriptor), path};
}

Status BlobSource::ReadPieces(const std::function<Status(std::string_view)>& sink) const {
  if (const auto* path = std::get_if<std::filesystem::path>(&content))
    return skerry::ReadPieces(*path, 0, sink);
  if (const auto* extents = std::get_if<Extents>(&content)) return ReadExtents(*extents, sink);
  return sink(std::get<std::string>(content));
}

Result<std::string> BlobSource::Read(std::uint64_t max_bytes) const {
  std::string bytes;
  SKERRY_RETURN_IF_ERROR(ReadPieces([&](std::string_view piece) -> Status {
    if (bytes.size() + piece.size() > max_bytes)
      return Fail(ErrorCode::kTooLarge, "blob {} has more than the {} bytes that are read",
                  descriptor.digest.ToString(), max_bytes);
    bytes += piece;
    return {};
  }));
  return bytes;
}

Status BlobSource::Verify() const {
  if (const auto* path = std::get_if<std::filesystem::path>(&content))
    return VerifyFile(*path, descriptor.digest, descriptor.size);
  if (const auto* extents = std::get_if<Extents>(&content))
    return VerifyExtents(*extents, descriptor.digest, descriptor.size);
  return VerifyBytes(std::get<std::string>(content), descriptor.digest, descriptor.size);
}

const BlobSource* Artifact::FindBlob(const Digest& digest) const {
  const auto found = std::find_if(blobs.begin(), blobs.end(), [&](const BlobSource& blob) {
    return blob.descriptor.digest == digest;
  });
  return found == blobs.end() ? nullptr : &*found;
}

BlobSource EmptyConfig() {
  return BlobSource::OfBytes(std::string(media_types::kEmptyConfig), "{}");
}

Result<Artifact> MakeArtifact(std::string_view artifact_type, BlobSource config,
                              std::vector<BlobSource> layers, Annotations annotations,
                              std::optional<Descriptor> subject) {
  if (artifact_type.empty())
    return Fail(ErrorCode::kInvalidArgument, "an artifact needs an artifact type");
  if (layers.size() > limits::kLayersPerManifest)
    return Fail(ErrorCode::kTooLarge,
                "an artifact of {} layers is over the limit of {} (kLayersPerManifest)",
                layers.size(), limits::kLayersPerManifest);
  Manifest manifest;
  manifest.media_type = media_types::kImageManifest;
  manifest.artifact_type = artifact_type;
  manifest.config = config.descriptor;
  for (const BlobSource& layer : layers) manifest.layers.push_back(layer.descriptor);
  manifest.annotations = annotations;
  manifest.subject = std::move(subject);

  Artifact artifact;
  artifact.manifest_bytes = manifest.ToJson();
  if (artifact.manifest_bytes.size() > limits::kManifestBytes)
    return Fail(ErrorCode::kTooLarge, "the manifest has {} bytes, the limit is {} (kManifestBytes)",
                artifact.manifest_bytes.size(), limits::kManifestBytes);
  artifact.manifest =
      Describe(manifest.media_type, artifact.manifest_bytes, std::move(annotations));
  artifact.manifest.artifact_type = artifact_type;
  artifact.blobs.push_back(std::move(config));
  for (BlobSource& layer : layers)
    if (artifact.FindBlob(layer.descriptor.digest) == nullptr)
      artifact.blobs.push_back(std::move(layer));
  return artifact;
}

Result<Artifact> MakeDocumentArtifact(std::string_view artifact_type, std::string_view layer_type,
                                      std::string document, Annotations annotations,
                                      std::optional<Descriptor> subject) {
  std::vector<BlobSource> layers;
  layers.push_back(BlobSource::OfBytes(std::string(layer_type), std::move(document)));
  return MakeArtifact(artifact_type, EmptyConfig(), std::move(layers), std::move(annotations),
                      std::move(subject));
}

Result<std::string> ReadDocument(const Artifact& artifact, std::string_view layer_type,
                                 std::uint64_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  if (manifest.layers.size() != 1 || manifest.layers[0].media_type != layer_type)
    return Fail(ErrorCode::kInvalidArgument, "the artifact {} has not just one layer of type {}",
                artifact.manifest.digest.ToString(), layer_type);
  const Descriptor& layer = manifest.layers[0];
  const BlobSource* blob = artifact.FindBlob(layer.digest);
  if (blob == nullptr)
    return Fail(ErrorCode::kDataLoss, "the artifact {} lacks its layer {}",
                artifact.manifest.digest.ToString(), layer.digest.ToString());
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, blob->Read(max_bytes));
  SKERRY_RETURN_IF_ERROR(VerifyBytes(bytes, layer.digest, layer.size));
  return bytes;
}

}  // namespace skerry
