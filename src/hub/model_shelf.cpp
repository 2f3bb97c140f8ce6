#include "hub/model_shelf.h"

#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "oci/cosign.h"
#include "oci/media_types.h"
#include "oci/model_statements.h"
#include "oci/modelpack.h"
#include "policy/document.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string ModelRepository(std::string_view name) { return fmt::format("models/{}", name); }
std::string PolicyRepository(std::string_view name) { return fmt::format("policies/{}", name); }

std::string ReleaseRepository(std::string_view name) { return fmt::format("releases/{}", name); }

}  // namespace

Result<std::pair<std::string, std::string>> ParseNameAndVersion(std::string_view what,
                                                                std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return Fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is not of the form name:version", what,
                text);
  const std::string_view name = text.substr(0, colon);
  const std::string_view version = text.substr(colon + 1);
  SKERRY_RETURN_IF_ERROR(CheckName(fmt::format("{} name", what), name));
  SKERRY_RETURN_IF_ERROR(CheckVersion(fmt::format("{} version", what), version));
  return std::pair(std::string(name), std::string(version));
}

Result<ModelRef> ModelShelf::FindModel(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(auto parts, ParseNameAndVersion("model", text));
  SKERRY_ASSIGN_OR_RETURN(Digest digest,
                          registry_->Resolve(ModelRepository(parts.first), parts.second));
  return ModelRef{std::move(parts.first), std::move(parts.second), std::move(digest)};
}

Result<PolicyRef> ModelShelf::FindPolicy(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(auto parts, ParseNameAndVersion("policy", text));
  SKERRY_ASSIGN_OR_RETURN(Digest digest,
                          registry_->Resolve(PolicyRepository(parts.first), parts.second));
  return PolicyRef{std::move(parts.first), std::move(parts.second), std::move(digest)};
}

Result<ReleaseRef> ModelShelf::FindRelease(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(auto parts, ParseNameAndVersion("release", text));
  SKERRY_ASSIGN_OR_RETURN(Digest digest,
                          registry_->Resolve(ReleaseRepository(parts.first), parts.second));
  return ReleaseRef{std::move(parts.first), std::move(parts.second), std::move(digest), false, 0};
}

Result<std::vector<ShelvedModel>> ModelShelf::List() {
  constexpr std::string_view kPrefix = "models/";
  std::vector<ShelvedModel> models;
  SKERRY_ASSIGN_OR_RETURN(const auto repositories, registry_->Repositories());
  for (const std::string& repository : repositories) {
    if (!repository.starts_with(kPrefix)) continue;
    SKERRY_ASSIGN_OR_RETURN(const auto tags, registry_->Tags(repository));
    for (const std::string& tag : tags) {
      ShelvedModel model;
      model.model.name = repository.substr(kPrefix.size());
      model.model.version = tag;
      SKERRY_ASSIGN_OR_RETURN(model.model.digest, registry_->Resolve(repository, tag));
      SKERRY_ASSIGN_OR_RETURN(const std::string bytes, registry_->ManifestBytes(repository, tag));
      SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(bytes));
      if (manifest.EffectiveArtifactType() != media_types::kModelArtifact) continue;
      for (const Descriptor& layer : manifest.layers) model.bytes += layer.size;
      SKERRY_ASSIGN_OR_RETURN(const auto signatures, Signatures(model.model));
      const PublicKey key = model_key_->public_key();
      for (const Artifact& signature : signatures) {
        const auto bundle =
            ReadDocument(signature, media_types::kSigstoreBundle, limits::kManifestBytes);
        if (bundle && VerifyCosignBundle(*bundle, model.model.digest, std::span(&key, 1)))
          model.is_signed = true;
      }
      models.push_back(std::move(model));
    }
  }
  return models;
}

Status ModelShelf::CheckFree(std::string_view name, std::string_view version) {
  const auto taken = registry_->Resolve(ModelRepository(name), version);
  if (taken)
    return Fail(ErrorCode::kAlreadyExists, "models/{} has a version {} already", name, version);
  if (taken.error().code() == ErrorCode::kNotFound) return {};
  return tl::make_unexpected(taken.error());
}

Result<fs::path> ModelShelf::PackageDirectory(const ModelRef& model) {
  const std::lock_guard lock(mutex_);
  const fs::path directory =
      cache_ / fmt::format("{}-{}", model.digest.algorithm(), model.digest.hex());
  std::error_code ignored;  // an unreadable directory fails in what follows
  if (fs::is_directory(directory, ignored)) return directory;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(cache_));
  SKERRY_ASSIGN_OR_RETURN(
      const std::string bytes,
      registry_->ManifestBytes(ModelRepository(model.name), model.digest.ToString()));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(bytes));
  std::vector<LocalBlob> held;
  return UnpackModel(
      manifest,
      [&](const Descriptor& blob) -> Result<fs::path> {
        SKERRY_ASSIGN_OR_RETURN(LocalBlob local, registry_->blobs().Local(blob.digest));
        held.push_back(local);
        return std::move(local.path);
      },
      directory);
}

Result<Json> ModelShelf::ReadDocumentOf(const ModelRef& model, std::string_view file) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path directory, PackageDirectory(model));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / file, limits::kJsonBytes));
  return ParseJson(text);
}

Result<ModelSchema> ModelShelf::SchemaOf(const ModelRef& model) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ReadDocumentOf(model, "schema.json"));
  return ModelSchema::FromJson(json);
}

Result<ModelReference> ModelShelf::ReferenceOf(const ModelRef& model) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ReadDocumentOf(model, "reference.json"));
  return ModelReference::FromJson(json);
}

Result<Json> ModelShelf::ProvenanceOf(const ModelRef& model) {
  return ReadDocumentOf(model, "provenance.json");
}

Result<std::optional<ModelRef>> ModelShelf::FindByFile(std::string_view name, std::string_view file,
                                                       const Digest& digest) {
  const std::string repository = ModelRepository(name);
  SKERRY_ASSIGN_OR_RETURN(const auto tags, registry_->Tags(repository));
  for (const std::string& tag : tags) {
    SKERRY_ASSIGN_OR_RETURN(const std::string bytes, registry_->ManifestBytes(repository, tag));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(bytes));
    for (const Descriptor& layer : manifest.layers) {
      if (layer.digest != digest || layer.Annotation(annotations::kModelFilePath) != file) continue;
      SKERRY_ASSIGN_OR_RETURN(Digest found, registry_->Resolve(repository, tag));
      return ModelRef{std::string(name), tag, std::move(found)};
    }
  }
  return std::nullopt;
}

Status ModelShelf::CheckVersionIsFree(std::string_view repository, std::string_view version,
                                      const Artifact& artifact) {
  const auto taken = registry_->Resolve(repository, version);
  if (!taken) {
    if (taken.error().code() == ErrorCode::kNotFound) return {};
    return tl::make_unexpected(taken.error());
  }
  if (*taken == artifact.manifest.digest) return {};
  return Fail(ErrorCode::kAlreadyExists, "{}:{} exists with other content; choose another version",
              repository, version);
}

Result<ModelRef> ModelShelf::PutPackage(const fs::path& directory, std::string_view name,
                                        std::string_view version) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, PackModel(directory, name, version));
  const std::string repository = ModelRepository(name);
  SKERRY_RETURN_IF_ERROR(CheckVersionIsFree(repository, version, artifact));
  // The signature first: a model that can be found is one that can be verified.
  SKERRY_ASSIGN_OR_RETURN(const Artifact signature,
                          MakeCosignBundle(artifact.manifest, *model_key_));
  SKERRY_ASSIGN_OR_RETURN(std::vector<Artifact> referrers, AttestModel(artifact, *model_key_));
  referrers.push_back(signature);
  for (const Artifact& referrer : referrers)
    SKERRY_RETURN_IF_ERROR(registry_->PutArtifact(repository, "", referrer));
  SKERRY_ASSIGN_OR_RETURN(Digest digest, registry_->PutArtifact(repository, version, artifact));
  return ModelRef{std::string(name), std::string(version), std::move(digest)};
}

Result<PolicyRef> ModelShelf::PutPolicy(std::string_view yaml) {
  SKERRY_ASSIGN_OR_RETURN(const PolicyDocument document, PolicyDocument::Parse(yaml));
  SKERRY_RETURN_IF_ERROR(CheckName("policy name", document.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("policy version", document.version));
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact,
                          MakeDocumentArtifact(media_types::kPolicyArtifact,
                                               media_types::kPolicyLayer, std::string(yaml)));
  const std::string repository = PolicyRepository(document.name);
  SKERRY_RETURN_IF_ERROR(CheckVersionIsFree(repository, document.version, artifact));
  SKERRY_ASSIGN_OR_RETURN(Digest digest,
                          registry_->PutArtifact(repository, document.version, artifact));
  return PolicyRef{document.name, document.version, std::move(digest)};
}

Result<Artifact> ModelShelf::ModelArtifact(const ModelRef& model) {
  return registry_->GetArtifact(ModelRepository(model.name), model.digest.ToString());
}

Result<std::vector<Artifact>> ModelShelf::Signatures(const ModelRef& model) {
  return SignaturesIn(ModelRepository(model.name), model.digest);
}

Result<std::vector<Artifact>> ModelShelf::Signatures(const ReleaseRef& release) {
  return SignaturesIn(ReleaseRepository(release.name), release.digest);
}

Result<Artifact> ModelShelf::ReleaseArtifact(const ReleaseRef& release) {
  return registry_->GetArtifact(ReleaseRepository(release.name), release.digest.ToString());
}

Result<std::vector<Artifact>> ModelShelf::SignaturesIn(const std::string& repository,
                                                       const Digest& subject) {
  SKERRY_ASSIGN_OR_RETURN(const auto referrers,
                          registry_->Referrers(repository, subject, media_types::kSigstoreBundle));
  std::vector<Artifact> signatures;
  for (const Descriptor& referrer : referrers) {
    if (!MayBeSignature(referrer)) continue;
    SKERRY_ASSIGN_OR_RETURN(Artifact signature,
                            registry_->GetArtifact(repository, referrer.digest.ToString()));
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

Result<Artifact> ModelShelf::PolicyArtifact(const PolicyRef& policy) {
  return registry_->GetArtifact(PolicyRepository(policy.name), policy.digest.ToString());
}

}  // namespace skerry
