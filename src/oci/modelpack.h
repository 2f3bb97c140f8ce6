// Model packages as CNCF ModelPack artifacts (model-spec v0.0.7): a config that its JSON Schema
// accepts and one raw layer a file, named by org.cncf.model.filepath. modctl, oras and skopeo read
// them. Pure functions on files; thread-safe.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// Packs the regular files of `package_dir` (flat; model.onnx and schema.json must be there, names
// [A-Za-z0-9._-], none starting with a dot). Reproducible: the same files, name and version give
// the same digest wherever and whenever. The artifact refers to the files, which must stay.
// kInvalidArgument names what is wrong with the directory or with `name` and `version`.
Result<Artifact> PackModel(const std::filesystem::path& package_dir, std::string_view name,
                           std::string_view version);

// What a model artifact says it is: from its config.
struct ModelPackFacts {
  std::string name;
  std::string version;
};
Result<ModelPackFacts> ReadModelPackFacts(std::string_view config_json);

// Gives the path of a file with the blob's content; it is verified afterwards.
using BlobGetter = std::function<Result<std::filesystem::path>(const Descriptor&)>;

// Writes the files into `target_dir`, which appears whole and durable or not at all (it must not
// exist: kAlreadyExists). Each is verified against its digest (kDataLoss), file names may not
// leave the directory (kPermissionDenied), only raw layers are known (kUnimplemented). Returns
// `target_dir`.
Result<std::filesystem::path> UnpackModel(const Manifest& manifest, const BlobGetter& get_blob,
                                          const std::filesystem::path& target_dir);

}  // namespace skerry
