#include "sync/artifact_source.h"

#include <system_error>
#include <variant>

#include "base/limits.h"
#include "base/log.h"
#include "oci/append_file.h"
#include "oci/cosign.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

std::string FileNameOf(const Digest& digest) {
  return fmt::format("{}-{}", digest.algorithm(), digest.hex());
}

}  // namespace

Result<std::string> RegistrySource::ManifestBytes(const std::string& repository,
                                                  const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(FetchedManifest manifest,
                          client_->GetManifest(repository, digest.ToString()));
  return std::move(manifest.bytes);
}

Result<std::vector<std::string>> RegistrySource::SignatureBundles(const std::string& repository,
                                                                  const Digest& subject) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Descriptor> referrers,
                          client_->Referrers(repository, subject, media_types::kSigstoreBundle));
  std::vector<std::string> bundles;
  for (const Descriptor& referrer : referrers) {
    if (bundles.size() == limits::kSignaturesPerPackage) break;
    if (!MayBeSignature(referrer)) continue;
    SKERRY_ASSIGN_OR_RETURN(const FetchedManifest fetched,
                            client_->GetManifest(repository, referrer.digest.ToString()));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(fetched.bytes));
    if (manifest.layers.size() != 1) continue;
    SKERRY_ASSIGN_OR_RETURN(std::string bundle, client_->PullBytes(repository, manifest.layers[0],
                                                                   limits::kSignatureBundleBytes));
    bundles.push_back(std::move(bundle));
  }
  return bundles;
}

Result<std::filesystem::path> RegistrySource::Blob(const std::string& repository,
                                                   const Descriptor& blob) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory_));
  const std::filesystem::path target = directory_ / FileNameOf(blob.digest);
  SKERRY_RETURN_IF_ERROR(client_->PullBlob(repository, blob, target, progress_));
  return target;
}

std::vector<LayerDelta> RegistrySource::Deltas(const Digest& target,
                                               const std::vector<Digest>& holds) {
  if (!ask_for_delta_) return {};
  const std::optional<std::string> bytes = ask_for_delta_(target, holds);
  if (!bytes) return {};
  const auto manifest = Manifest::Parse(*bytes);
  const auto deltas = manifest
                          ? ReadDelta(*manifest, target)
                          : Result<std::vector<LayerDelta>>(tl::make_unexpected(manifest.error()));
  if (deltas) return *deltas;
  LogWarning("the hub's delta is not taken: {}", deltas.error().message());
  return {};
}

Result<std::filesystem::path> RegistrySource::Patch(const Descriptor& patch) {
  return Blob(std::string(kDeltaRepository), patch);
}

void RegistrySource::Discard() {
  // What stays behind for whatever reason is taken up or overwritten by the next pull.
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Result<std::string> BundleSource::TakeIn(const BundlePart& part, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(Artifact artifact, reader_->ReadArtifact(part));
  std::string manifest = std::move(artifact.manifest_bytes);
  if (part.kind == BundleKind::kDelta) {
    SKERRY_ASSIGN_OR_RETURN(Manifest delta, Manifest::Parse(manifest));
    SKERRY_ASSIGN_OR_RETURN(manifest, ReadCarriedManifest(artifact, digest));
    deltas_.insert_or_assign(digest, std::move(delta));
  }
  for (BlobSource& blob : artifact.blobs)
    blobs_.insert_or_assign(blob.descriptor.digest, std::move(blob));
  return manifest;
}

Result<std::string> BundleSource::ManifestBytes(const std::string& /*repository*/,
                                                const Digest& digest) {
  for (const BundlePart& part : reader_->parts())
    if (part.manifest == digest) return TakeIn(part, digest);
  return Fail(ErrorCode::kNotFound, "the bundle does not carry {}", digest.ToString());
}

std::vector<LayerDelta> BundleSource::Deltas(const Digest& target,
                                             const std::vector<Digest>& /*holds*/) {
  const auto delta = deltas_.find(target);
  if (delta == deltas_.end()) return {};
  const auto patches = ReadDelta(delta->second, target);
  if (patches) return *patches;
  LogWarning("the bundle's delta is not taken: {}", patches.error().message());
  return {};
}

Result<std::vector<std::string>> BundleSource::SignatureBundles(const std::string& /*repository*/,
                                                                const Digest& subject) {
  std::vector<std::string> bundles;
  for (const BundlePart& part : reader_->parts()) {
    if (part.kind != BundleKind::kSignature) continue;
    // A damaged signature is reported as a part of its own; another one may do.
    const auto artifact = reader_->ReadArtifact(part);
    if (!artifact) continue;
    const auto manifest = Manifest::Parse(artifact->manifest_bytes);
    if (!manifest || !manifest->subject || manifest->subject->digest != subject) continue;
    auto bundle =
        ReadDocument(*artifact, media_types::kSigstoreBundle, limits::kSignatureBundleBytes);
    if (bundle) bundles.push_back(std::move(*bundle));
    if (bundles.size() == limits::kSignaturesPerPackage) break;
  }
  return bundles;
}

Result<std::filesystem::path> BundleSource::Blob(const std::string& /*repository*/,
                                                 const Descriptor& blob) {
  const auto found = blobs_.find(blob.digest);
  if (found == blobs_.end() && deltas_.empty())
    return Fail(ErrorCode::kNotFound, "the bundle does not carry blob {}", blob.digest.ToString());
  if (found == blobs_.end())
    return Fail(
        ErrorCode::kNotFound,
        "the bundle does not carry blob {}, since the hub had heard that this site holds it "
        "or what it is made from; it comes by the link, with the next bundle, or with one "
        "made by `skerry bundle export --whole`",
        blob.digest.ToString());
  if (const auto* path = std::get_if<std::filesystem::path>(&found->second.content)) return *path;
  if (!copies_) {
    SKERRY_ASSIGN_OR_RETURN(copies_, TemporaryDirectory::Create("bundle", scratch_));
  }
  const std::filesystem::path copy = copies_->path() / FileNameOf(blob.digest);
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(copy, AppendFile::Mode::kCreateOrExisting));
  if (file.size() == 0)
    SKERRY_RETURN_IF_ERROR(found->second.ReadPieces(
        [&](std::string_view piece) -> Status { return file.Write(piece); }));
  SKERRY_RETURN_IF_ERROR(VerifyFile(copy, blob.digest, blob.size));
  return copy;
}

}  // namespace skerry
