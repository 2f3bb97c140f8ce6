#include "oci/modelpack.h"

#include <algorithm>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

bool IsPackageFileName(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::string_view LayerTypeOf(std::string_view name) {
  if (name.ends_with(".onnx")) return media_types::kModelWeightRaw;
  if (name == "schema.json" || name == "reference.json") return media_types::kModelWeightConfigRaw;
  return media_types::kModelDocRaw;
}

// A package of task anomaly has no predictor.
bool IsDetector(const fs::path& directory) {
  const Result<std::string> text = ReadFile(directory / "schema.json", limits::kSchemaBytes);
  if (!text) return false;
  const Result<Json> schema = ParseJson(*text, limits::kSchemaBytes);
  return schema && schema->is_object() && schema->value("task", Json()) == "anomaly";
}

Result<std::vector<std::string>> ListPackage(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    std::string name = entry.path().filename().string();
    if (entry.symlink_status(error).type() != fs::file_type::regular)
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: a package holds plain files only, \"{}\" is none", directory.string(), name);
    if (!IsPackageFileName(name))
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: the file name \"{}\" is not allowed: letters, digits, . _ -",
                  directory.string(), name);
    names.push_back(std::move(name));
  }
  if (error)
    return Fail(ErrorCode::kNotFound, "listing {}: {}", directory.string(), error.message());
  if (names.size() > limits::kModelPackFiles)
    return Fail(ErrorCode::kTooLarge, "{} has {} files, the limit is {} (kModelPackFiles)",
                directory.string(), names.size(), limits::kModelPackFiles);
  std::sort(names.begin(), names.end());
  const bool detects = IsDetector(directory);
  for (const std::string_view needed : {detects ? "detector.onnx" : "model.onnx", "schema.json"})
    if (!std::binary_search(names.begin(), names.end(), needed))
      return Fail(ErrorCode::kInvalidArgument, "{} has no {}: it is no model package",
                  directory.string(), needed);
  return names;
}

std::string ConfigOf(std::string_view name, std::string_view version,
                     const std::vector<BlobSource>& layers) {
  Json diff_ids = Json::array();
  for (const BlobSource& layer : layers) diff_ids.push_back(layer.descriptor.digest.ToString());
  return DumpJson({{"descriptor", {{"name", name}, {"version", version}}},
                   {"config", {{"format", "onnx"}}},
                   {"modelfs", {{"type", "layers"}, {"diffIds", std::move(diff_ids)}}}});
}

Status UnpackLayer(const Descriptor& layer, const BlobGetter& get_blob, const fs::path& directory) {
  const std::string name = layer.Annotation(annotations::kModelFilePath);
  if (!IsPackageFileName(name))
    return Fail(ErrorCode::kPermissionDenied,
                "layer {} wants to be the file \"{}\", which is no plain file name",
                layer.digest.ToString(), name);
  if (!layer.media_type.ends_with(".raw"))
    return Fail(ErrorCode::kUnimplemented, "{} is of type {}; only raw layers are read", name,
                layer.media_type);
  SKERRY_ASSIGN_OR_RETURN(const fs::path source, get_blob(layer), name);
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(directory / name, AppendFile::Mode::kCreateNew));
  SKERRY_RETURN_IF_ERROR(ReadPieces(source, 0,
                                    [&](std::string_view piece) -> Status {
                                      if (file.size() + piece.size() > layer.size)
                                        return Fail(
                                            ErrorCode::kDataLoss,
                                            "blob {} has more than the {} bytes that are due",
                                            layer.digest.ToString(), layer.size);
                                      return file.Write(piece);
                                    }),
                         name);
  SKERRY_RETURN_IF_ERROR(VerifyFile(directory / name, layer.digest, layer.size), name);
  return file.Sync();
}

Status UnpackInto(const Manifest& manifest, const BlobGetter& get_blob, const fs::path& directory) {
  for (const Descriptor& layer : manifest.layers)
    SKERRY_RETURN_IF_ERROR(UnpackLayer(layer, get_blob, directory));
  return SyncDirectory(directory);
}

}  // namespace

Result<Artifact> PackModel(const fs::path& package_dir, std::string_view name,
                           std::string_view version) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", version));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListPackage(package_dir));
  std::vector<BlobSource> layers;
  for (const std::string& file : files) {
    // The title is what oras names a pulled file by, the file path what modctl does.
    Annotations annotations = {{std::string(annotations::kModelFilePath), file},
                               {std::string(annotations::kTitle), file}};
    SKERRY_ASSIGN_OR_RETURN(BlobSource layer,
                            BlobSource::OfFile(std::string(LayerTypeOf(file)), package_dir / file,
                                               std::move(annotations)));
    layers.push_back(std::move(layer));
  }
  BlobSource config =
      BlobSource::OfBytes(std::string(media_types::kModelConfig), ConfigOf(name, version, layers));
  return MakeArtifact(media_types::kModelArtifact, std::move(config), std::move(layers),
                      {{std::string(annotations::kTitle), std::string(name)},
                       {std::string(annotations::kVersion), std::string(version)}});
}

Result<ModelPackFacts> ReadModelPackFacts(std::string_view config_json) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(config_json), "model config");
  SKERRY_ASSIGN_OR_RETURN(const JsonObject descriptor,
                          JsonObject(json, "model config").Object("descriptor"));
  ModelPackFacts facts;
  SKERRY_ASSIGN_OR_RETURN(facts.name, descriptor.String("name"));
  SKERRY_ASSIGN_OR_RETURN(facts.version, descriptor.String("version"));
  SKERRY_RETURN_IF_ERROR(CheckName("model name", facts.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", facts.version));
  return facts;
}

Result<fs::path> UnpackModel(const Manifest& manifest, const BlobGetter& get_blob,
                             const fs::path& target_dir) {
  if (manifest.EffectiveArtifactType() != media_types::kModelArtifact)
    return Fail(ErrorCode::kInvalidArgument, "an artifact of type {} is no model package",
                manifest.EffectiveArtifactType());
  if (manifest.layers.size() > limits::kModelPackFiles)
    return Fail(ErrorCode::kTooLarge, "the package has {} files, the limit is {} (kModelPackFiles)",
                manifest.layers.size(), limits::kModelPackFiles);
  std::error_code error;
  if (fs::exists(fs::symlink_status(target_dir, error)))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already", target_dir.string());
  const fs::path parent = target_dir.has_parent_path() ? target_dir.parent_path() : ".";
  SKERRY_RETURN_IF_ERROR(CreateDirectories(parent));
  SKERRY_ASSIGN_OR_RETURN(TemporaryDirectory unpacked,
                          TemporaryDirectory::Create(".unpack", parent));
  SKERRY_RETURN_IF_ERROR(UnpackInto(manifest, get_blob, unpacked.path()));
  // 0755
  fs::permissions(unpacked.path(),
                  fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                      fs::perms::others_read | fs::perms::others_exec,
                  error);
  if (!error) fs::rename(unpacked.path(), target_dir, error);
  if (error)
    return Fail(ErrorCode::kInternal, "renaming to {}: {}", target_dir.string(), error.message());
  SKERRY_RETURN_IF_ERROR(SyncDirectory(parent));
  return target_dir;
}

}  // namespace skerry
