#include "oci/layout.h"

#include "base/ids.h"
#include "base/limits.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLayoutFile = "oci-layout";
constexpr std::string_view kIndexFile = "index.json";
constexpr std::string_view kLayoutText = R"({"imageLayoutVersion":"1.0.0"})";
constexpr std::size_t kLayoutFileBytes = 4096;

fs::path BlobDirectory(const fs::path& layout, const Digest& digest) {
  return layout / "blobs" / digest.algorithm();
}

// A small file of the layout that must not be a link to somewhere else.
Result<std::string> ReadPlainFile(const fs::path& path, std::size_t max_bytes) {
  std::string bytes;
  SKERRY_RETURN_IF_ERROR(ReadPieces(path, 0, [&](std::string_view piece) -> Status {
    bytes += piece;
    if (bytes.size() > max_bytes)
      return Fail(ErrorCode::kTooLarge, "{} is larger than the limit of {} bytes", path.string(),
                  max_bytes);
    return {};
  }));
  return bytes;
}

Status CheckPlainDirectory(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found)
    return Fail(ErrorCode::kNotFound, "there is no {}", path.string());
  if (status.type() != fs::file_type::directory)
    return Fail(ErrorCode::kPermissionDenied, "{} is not a plain directory", path.string());
  return {};
}

Error AsDamaged(Error error, std::string_view file) {
  if (error.code() == ErrorCode::kInvalidArgument)
    error = Error(ErrorCode::kDataLoss, error.message());
  return std::move(error).Wrap(file);
}

Status CheckLayoutFile(const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadPlainFile(directory / kLayoutFile, kLayoutFileBytes));
  const auto json = ParseJson(text, kLayoutFileBytes);
  if (!json) return tl::make_unexpected(AsDamaged(json.error(), kLayoutFile));
  const auto version = JsonObject(*json, "oci-layout").String("imageLayoutVersion");
  if (!version) return tl::make_unexpected(AsDamaged(version.error(), kLayoutFile));
  if (!version->starts_with("1."))
    return Fail(ErrorCode::kUnimplemented, "the layout has version {}, we read 1.x", *version);
  return {};
}

struct Index {
  std::vector<Descriptor> manifests;
  Annotations annotations;
};

Result<Index> ParseIndex(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kIndexBytes));
  const JsonObject object(json, "index");
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("manifests"));
  if (list->size() > limits::kBundleEntries)
    return Fail(ErrorCode::kTooLarge, "{} entries, the limit is {} (kBundleEntries)", list->size(),
                limits::kBundleEntries);
  Index index;
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(Descriptor entry,
                            Descriptor::FromJson((*list)[i], object.ElementPath("manifests", i)));
    index.manifests.push_back(std::move(entry));
  }
  if (!object.Has("annotations")) return index;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject annotations, object.Object("annotations"));
  for (const auto& [key, value] : annotations.json().items()) {
    if (!value.is_string())
      return Fail(ErrorCode::kInvalidArgument, "the annotation {} is not a text", key);
    index.annotations.emplace(key, value.get<std::string>());
  }
  return index;
}

std::vector<Descriptor> BlobsOf(const Manifest& manifest) {
  std::vector<Descriptor> blobs;
  if (manifest.config) blobs.push_back(*manifest.config);
  blobs.insert(blobs.end(), manifest.layers.begin(), manifest.layers.end());
  return blobs;
}

}  // namespace

Result<LayoutWriter> LayoutWriter::Create(fs::path directory) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  std::error_code error;
  if (!fs::is_empty(directory, error) || error)
    return Fail(ErrorCode::kAlreadyExists, "{} is not empty: give a new directory",
                directory.string());
  LayoutWriter writer(std::move(directory));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(writer.directory_ / kLayoutFile, kLayoutText));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(writer.directory_ / "blobs" / "sha256"));
  return writer;
}

Status LayoutWriter::WriteBlob(const BlobSource& blob) {
  const Digest& digest = blob.descriptor.digest;
  if (written_.contains(digest)) return {};
  const fs::path directory = BlobDirectory(directory_, digest);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  const fs::path temporary = directory / fmt::format(".{}.tmp", RandomHex(8));
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(temporary, AppendFile::Mode::kCreateNew));
  Status status;
  if (const auto* path = std::get_if<fs::path>(&blob.content))
    status = ReadPieces(*path, 0, [&](std::string_view piece) { return file.Write(piece); });
  else
    status = file.Write(std::get<std::string>(blob.content));
  // What was written is read again: the medium is what has to hold it.
  if (status) status = VerifyFile(temporary, digest, blob.descriptor.size);
  if (!status) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    return status;
  }
  SKERRY_RETURN_IF_ERROR(PublishFileDurably(temporary, directory / digest.hex()));
  written_.insert(digest);
  return {};
}

Status LayoutWriter::AddArtifact(const Artifact& artifact, const Annotations& annotations) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  for (const Descriptor& descriptor : BlobsOf(manifest)) {
    const BlobSource* blob = artifact.FindBlob(descriptor.digest);
    if (blob == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "the artifact {} lacks its blob {}",
                  artifact.manifest.digest.ToString(), descriptor.digest.ToString());
    SKERRY_RETURN_IF_ERROR(WriteBlob(*blob));
  }
  SKERRY_RETURN_IF_ERROR(WriteBlob({artifact.manifest, artifact.manifest_bytes}));
  Descriptor entry = artifact.manifest;
  for (const auto& [key, value] : annotations) entry.annotations[key] = value;
  entries_.push_back(std::move(entry));
  return {};
}

void LayoutWriter::SetAnnotation(std::string key, std::string value) {
  annotations_[std::move(key)] = std::move(value);
}

Status LayoutWriter::Finish() {
  Json manifests = Json::array();
  for (const Descriptor& entry : entries_) manifests.push_back(entry.ToJson());
  Json index = {{"schemaVersion", 2},
                {"mediaType", media_types::kImageIndex},
                {"manifests", std::move(manifests)}};
  if (!annotations_.empty()) index["annotations"] = annotations_;
  return WriteFileDurably(directory_ / kIndexFile, DumpJson(index));
}

Result<LayoutReader> LayoutReader::Open(fs::path directory) {
  SKERRY_RETURN_IF_ERROR(CheckPlainDirectory(directory));
  SKERRY_RETURN_IF_ERROR(CheckLayoutFile(directory), "no usable OCI layout");
  auto text = ReadPlainFile(directory / kIndexFile, limits::kIndexBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kFailedPrecondition,
                "{} has no index.json: it was not written or copied to the end",
                directory.string());
  if (!text) return Propagate(std::move(text));
  auto index = ParseIndex(*text);
  if (!index) return tl::make_unexpected(AsDamaged(std::move(index).error(), kIndexFile));
  LayoutReader reader(std::move(directory));
  reader.entries_ = std::move(index->manifests);
  reader.annotations_ = std::move(index->annotations);
  return reader;
}

Result<Descriptor> LayoutReader::Find(std::string_view ref_name) const {
  std::string names;
  for (const Descriptor& entry : entries_) {
    const std::string name = entry.Annotation(annotations::kRefName);
    if (name == ref_name) return entry;
    if (!name.empty()) names += (names.empty() ? "" : ", ") + name;
  }
  return Fail(ErrorCode::kNotFound, "{} has nothing named {}; it has: {}", directory_.string(),
              ref_name, names.empty() ? "no names" : names);
}

Result<fs::path> LayoutReader::BlobPath(const Descriptor& blob) const {
  const fs::path directory = BlobDirectory(directory_, blob.digest);
  const fs::path path = directory / blob.digest.hex();
  std::error_code error;
  Status status;
  for (const fs::path& part : {directory_ / "blobs", directory})
    if (status) status = CheckPlainDirectory(part);
  // The size first: a wrong one is found without reading gigabytes.
  const std::uintmax_t size = status ? fs::file_size(path, error) : 0;
  if (status && !error && size != blob.size)
    return Fail(ErrorCode::kDataLoss, "blob {} has {} bytes where {} are due",
                blob.digest.ToString(), size, blob.size);
  if (status) status = VerifyFile(path, blob.digest, blob.size);
  if (!status && status.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kDataLoss, "blob {} is missing", blob.digest.ToString());
  if (!status) return Propagate(std::move(status));
  return path;
}

Result<Artifact> LayoutReader::Read(const Descriptor& entry) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path manifest_path, BlobPath(entry),
                          fmt::format("manifest {}", entry.digest.ToString()));
  Artifact artifact;
  artifact.manifest = entry;
  SKERRY_ASSIGN_OR_RETURN(artifact.manifest_bytes,
                          ReadPlainFile(manifest_path, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest,
                          Manifest::Parse(artifact.manifest_bytes, entry.media_type));
  if (manifest.is_index())
    return Fail(ErrorCode::kUnimplemented, "{} is an image index; name one of its manifests",
                entry.digest.ToString());
  std::string damaged;
  const BlobSource empty = EmptyConfig();
  for (const Descriptor& blob : BlobsOf(manifest)) {
    if (artifact.FindBlob(blob.digest) != nullptr) continue;
    // Most artifacts of a bundle share it, and its content is known: losing it loses nothing.
    if (blob.digest == empty.descriptor.digest && blob.size == empty.descriptor.size) {
      artifact.blobs.push_back({blob, empty.content});
      continue;
    }
    auto path = BlobPath(blob);
    if (path)
      artifact.blobs.push_back({blob, std::move(*path)});
    else
      damaged += (damaged.empty() ? "" : "; ") + path.error().message();
  }
  if (!damaged.empty())
    return Fail(ErrorCode::kDataLoss, "manifest {}: {}", entry.digest.ToString(), damaged);
  return artifact;
}

}  // namespace skerry
