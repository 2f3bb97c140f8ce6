// Models, policies and releases of skerry that the hub holds, in its own registry:
// models/<name>:<version> and releases/<name>:<version> with their signatures as referrers,
// policies/<name>:<version>.
//
// Borrows the registry and the keys; thread-safe. What Put* stored is durable on return.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/key.h"
#include "model/reference.h"
#include "model/schema.h"
#include "oci/artifact.h"
#include "oci/registry.h"
#include "trust/desired_state.h"

namespace skerry {

struct ShelvedModel {
  ModelRef model;
  std::uint64_t bytes = 0;  // of its layers
  bool is_signed = false;   // by this hub's model key
};

class ModelShelf {
 public:
  // `cache` is a directory for unpacked packages, made when needed.
  ModelShelf(Registry& registry, const PrivateKey& model_key, std::filesystem::path cache)
      : registry_(&registry), model_key_(&model_key), cache_(std::move(cache)) {}

  // "milling:1". kInvalidArgument against the grammar, kNotFound when the registry has no such tag.
  Result<ModelRef> FindModel(std::string_view text);
  Result<PolicyRef> FindPolicy(std::string_view text);
  Result<ReleaseRef> FindRelease(std::string_view text);
  Result<std::vector<ShelvedModel>> List();

  // kAlreadyExists when the version is taken.
  Status CheckFree(std::string_view name, std::string_view version);

  // The unpacked package, every file verified; stays for the life of the data directory.
  Result<std::filesystem::path> PackageDirectory(const ModelRef& model);
  Result<ModelSchema> SchemaOf(const ModelRef& model);
  Result<ModelReference> ReferenceOf(const ModelRef& model);

  // provenance.json; kNotFound for a package without one.
  Result<Json> ProvenanceOf(const ModelRef& model);
  // A model of that name whose package has the file with this digest; none where the registry does
  // not hold it (any more).
  Result<std::optional<ModelRef>> FindByFile(std::string_view name, std::string_view file,
                                             const Digest& digest);

  // Packs, stores, signs. kAlreadyExists when the version is taken by other content.
  Result<ModelRef> PutPackage(const std::filesystem::path& directory, std::string_view name,
                              std::string_view version);
  // Reads the policy's own name and version. kInvalidArgument with line and column; kAlreadyExists
  // when the version is taken by other content.
  Result<PolicyRef> PutPolicy(std::string_view yaml);

  // The artifacts as they go into a bundle.
  Result<Artifact> ModelArtifact(const ModelRef& model);
  Result<std::vector<Artifact>> Signatures(const ModelRef& model);
  Result<Artifact> PolicyArtifact(const PolicyRef& policy);
  Result<Artifact> ReleaseArtifact(const ReleaseRef& release);
  Result<std::vector<Artifact>> Signatures(const ReleaseRef& release);

 private:
  Status CheckVersionIsFree(std::string_view repository, std::string_view version,
                            const Artifact& artifact);
  Result<std::vector<Artifact>> SignaturesIn(const std::string& repository, const Digest& subject);
  Result<Json> ReadDocumentOf(const ModelRef& model, std::string_view file);

  Registry* registry_;
  const PrivateKey* model_key_;
  const std::filesystem::path cache_;
  std::mutex mutex_;  // orders unpacking
};

// "name:version" taken apart; kInvalidArgument names `what` ("model").
Result<std::pair<std::string, std::string>> ParseNameAndVersion(std::string_view what,
                                                                std::string_view text);

}  // namespace skerry
