#include "oci/delta_artifact.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

Annotations PatchAnnotations(const MadePatch& patch) {
  Annotations annotations{{std::string(annotations::kPatchLayerDigest), patch.layer.ToString()}};
  if (patch.base) annotations.emplace(annotations::kPatchBaseDigest, patch.base->ToString());
  return annotations;
}

Result<LayerDelta> ReadPatch(const Descriptor& patch) {
  LayerDelta delta{.layer = {}, .base = {}, .patch = patch};
  SKERRY_ASSIGN_OR_RETURN(delta.layer,
                          Digest::Parse(patch.Annotation(annotations::kPatchLayerDigest)));
  const std::string base = patch.Annotation(annotations::kPatchBaseDigest);
  if (base.empty()) return delta;
  SKERRY_ASSIGN_OR_RETURN(delta.base, Digest::Parse(base));
  return delta;
}

}  // namespace

Result<Artifact> MakeDelta(const Digest& target, const std::optional<Digest>& base,
                           std::vector<MadePatch> patches, std::string_view created) {
  std::vector<BlobSource> layers;
  for (MadePatch& patch : patches)
    layers.push_back(BlobSource::OfBytes(std::string(media_types::kPatchLayer),
                                         std::move(patch.bytes), PatchAnnotations(patch)));
  if (layers.empty()) layers.push_back(EmptyConfig());
  Annotations about{{std::string(annotations::kDeltaTarget), target.ToString()},
                    {std::string(annotations::kCreated), std::string(created)}};
  if (base) about.emplace(annotations::kDeltaBase, base->ToString());
  return MakeArtifact(media_types::kDeltaArtifact, EmptyConfig(), std::move(layers),
                      std::move(about));
}

Result<Digest> TargetOf(const Manifest& delta) {
  const auto target = delta.annotations.find(std::string(annotations::kDeltaTarget));
  if (delta.EffectiveArtifactType() != media_types::kDeltaArtifact ||
      target == delta.annotations.end())
    return Fail(ErrorCode::kInvalidArgument, "it is no delta");
  return Digest::Parse(target->second);
}

Result<std::vector<LayerDelta>> ReadDelta(const Manifest& delta, const Digest& target) {
  SKERRY_ASSIGN_OR_RETURN(const Digest made, TargetOf(delta));
  if (made != target)
    return Fail(ErrorCode::kInvalidArgument, "it is a delta for {}, not for {}", made.ToString(),
                target.ToString());
  std::vector<LayerDelta> deltas;
  for (const Descriptor& layer : delta.layers) {
    if (layer.media_type != media_types::kPatchLayer) continue;
    SKERRY_ASSIGN_OR_RETURN(LayerDelta patch, ReadPatch(layer));
    deltas.push_back(std::move(patch));
  }
  return deltas;
}

Result<Artifact> MakeCarriedDelta(const Artifact& delta, const Artifact& package,
                                  const std::set<Digest>& held) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(delta.manifest_bytes));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<LayerDelta> patches,
                          ReadDelta(manifest, package.manifest.digest));
  std::vector<BlobSource> layers{
      BlobSource::OfBytes(std::string(media_types::kDeltaManifestLayer), package.manifest_bytes)};
  for (const BlobSource& blob : package.blobs) {
    const Digest& digest = blob.descriptor.digest;
    const bool patched = std::ranges::find(patches, digest, &LayerDelta::layer) != patches.end();
    if (!patched && !held.contains(digest)) layers.push_back(blob);
  }
  for (const LayerDelta& patch : patches) {
    const BlobSource* blob = delta.FindBlob(patch.patch.digest);
    if (blob == nullptr)
      return Fail(ErrorCode::kInternal, "the delta lacks its patch {}",
                  patch.patch.digest.ToString());
    layers.push_back({patch.patch, blob->content});
  }
  return MakeArtifact(media_types::kDeltaArtifact, EmptyConfig(), std::move(layers),
                      manifest.annotations);
}

Result<std::string> ReadCarriedManifest(const Artifact& carried, const Digest& target) {
  for (const BlobSource& blob : carried.blobs) {
    if (blob.descriptor.media_type != media_types::kDeltaManifestLayer) continue;
    SKERRY_ASSIGN_OR_RETURN(std::string bytes, blob.Read(limits::kManifestBytes));
    SKERRY_RETURN_IF_ERROR(VerifyBytes(bytes, target, bytes.size()));
    return bytes;
  }
  return Fail(ErrorCode::kInvalidArgument, "the delta does not carry the manifest of {}",
              target.ToString());
}

const Descriptor* BaseLayerOf(const Manifest& base, const Descriptor& layer) {
  const std::string file = layer.Annotation(annotations::kModelFilePath);
  const auto found = std::ranges::find_if(base.layers, [&](const Descriptor& one) {
    return one.Annotation(annotations::kModelFilePath) == file;
  });
  return found == base.layers.end() ? nullptr : &*found;
}

}  // namespace skerry
