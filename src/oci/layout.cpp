#include "oci/layout.h"

#include <algorithm>

#include "base/limits.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLayoutFile = "oci-layout";
constexpr std::string_view kIndexFile = "index.json";
constexpr std::string_view kPlanFile = "contents.json";
constexpr std::string_view kLayoutText = R"({"imageLayoutVersion":"1.0.0"})";
constexpr std::size_t kLayoutFileBytes = 4096;

Error AsDamaged(Error error, std::string_view file) {
  if (error.code() == ErrorCode::kInvalidArgument)
    error = Error(ErrorCode::kDataLoss, error.message());
  return std::move(error).Wrap(file);
}

Status CheckLayoutFile(const Medium& medium) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, medium.Read(kLayoutFile, kLayoutFileBytes));
  const auto json = ParseJson(text, kLayoutFileBytes);
  if (!json) return tl::make_unexpected(AsDamaged(json.error(), kLayoutFile));
  const auto version = JsonObject(*json, "oci-layout").String("imageLayoutVersion");
  if (!version) return tl::make_unexpected(AsDamaged(version.error(), kLayoutFile));
  const bool number = !version->empty() && version->front() >= '0' && version->front() <= '9';
  if (!number)
    return Fail(ErrorCode::kDataLoss, "oci-layout is damaged: its version is \"{}\"", *version);
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

Result<Index> ReadIndexFile(const Medium& medium, std::string_view name) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, medium.Read(name, limits::kIndexBytes));
  auto index = ParseIndex(text);
  if (!index) return tl::make_unexpected(AsDamaged(std::move(index).error(), name));
  return index;
}

bool IsDamageOrAbsence(const Error& error) {
  return error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kNotFound;
}

}  // namespace

Result<LayoutWriter> LayoutWriter::Create(const fs::path& path, MediumForm form,
                                          MediumBounds bounds) {
  SKERRY_ASSIGN_OR_RETURN(MediumWriter medium,
                          MediumWriter::Open(path, form, kPlanFile, kIndexFile, bounds));
  LayoutWriter writer(std::move(medium));
  if (writer.medium_.unfinished_plan()) {
    SKERRY_ASSIGN_OR_RETURN(const Index plan, ParseIndex(*writer.medium_.unfinished_plan()),
                            fmt::format("the plan of what stands in {}", path.string()));
    writer.unfinished_ = plan.annotations;
  }
  return writer;
}

Result<LayoutWriter> LayoutWriter::Seal(const fs::path& path, const AgeRecipient& receiver,
                                        MediumBounds bounds) {
  SKERRY_ASSIGN_OR_RETURN(MediumWriter medium, MediumWriter::Seal(path, receiver, bounds));
  return LayoutWriter(std::move(medium));
}

void LayoutWriter::SetAnnotation(std::string key, std::string value) {
  annotations_[std::move(key)] = std::move(value);
}

std::string LayoutWriter::IndexOf(const std::vector<Descriptor>& entries) const {
  Json manifests = Json::array();
  for (const Descriptor& entry : entries) manifests.push_back(entry.ToJson());
  Json index = {{"schemaVersion", 2},
                {"mediaType", media_types::kImageIndex},
                {"manifests", std::move(manifests)}};
  if (!annotations_.empty()) index["annotations"] = annotations_;
  return DumpJson(index);
}

Descriptor LayoutWriter::EntryOf(const Artifact& artifact, const Annotations& annotations) {
  Descriptor entry = artifact.manifest;
  for (const auto& [key, value] : annotations) entry.annotations[key] = value;
  return entry;
}

Status LayoutWriter::Plan(const std::vector<Descriptor>& entries) {
  return medium_.WriteFile(kPlanFile, IndexOf(entries));
}

Status LayoutWriter::AddArtifact(const Artifact& artifact, const Annotations& annotations,
                                 const std::function<void(std::uint64_t)>& written) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  for (const Descriptor& descriptor : BlobsOf(manifest)) {
    const BlobSource* blob = artifact.FindBlob(descriptor.digest);
    if (blob == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "the artifact {} lacks its blob {}",
                  artifact.manifest.digest.ToString(), descriptor.digest.ToString());
    SKERRY_RETURN_IF_ERROR(medium_.AddBlob(*blob, written));
  }
  SKERRY_RETURN_IF_ERROR(medium_.AddBlob({artifact.manifest, artifact.manifest_bytes}, written));
  entries_.push_back(EntryOf(artifact, annotations));
  return {};
}

Status LayoutWriter::Finish() {
  SKERRY_RETURN_IF_ERROR(medium_.WriteFile(kLayoutFile, kLayoutText));
  return medium_.Finish(kIndexFile, IndexOf(entries_));
}

Result<LayoutReader> LayoutReader::Open(const fs::path& path, const AgeIdentity* identity) {
  SKERRY_ASSIGN_OR_RETURN(Medium medium, Medium::Open(path, identity));
  LayoutReader reader(std::move(medium));
  SKERRY_RETURN_IF_ERROR(reader.ReadIndex());
  return reader;
}

Status LayoutReader::ReadIndex() {
  damage_ = medium_.damage();
  const Status layout = CheckLayoutFile(medium_);
  if (!layout && !IsDamageOrAbsence(layout.error())) return layout;
  auto index = ReadIndexFile(medium_, kIndexFile);
  if (!index && !IsDamageOrAbsence(index.error())) return tl::make_unexpected(index.error());
  if (!index) {
    const bool absent = index.error().code() == ErrorCode::kNotFound;
    std::string sentence = absent
                               ? "there is no index.json: it was not written or copied to the end"
                               : index.error().message();
    auto plan = ReadIndexFile(medium_, kPlanFile);
    if (!plan && !IsDamageOrAbsence(plan.error())) return tl::make_unexpected(plan.error());
    if (!plan && !layout)
      return Fail(layout.error().code(), "no usable OCI layout in {}: {}", medium_.path().string(),
                  layout.error().message());
    if (!plan && absent)
      return Fail(ErrorCode::kFailedPrecondition, "{}: {}", medium_.path().string(), sentence);
    if (!plan) return tl::make_unexpected(index.error());
    damage_.push_back(std::move(sentence));
    index = std::move(plan);
  } else if (!layout) {
    damage_.push_back(layout.error().message());
  }
  entries_ = std::move(index->manifests);
  annotations_ = std::move(index->annotations);
  return {};
}

Result<Descriptor> LayoutReader::Find(std::string_view ref_name) const {
  std::string names;
  for (const Descriptor& entry : entries_) {
    const std::string name = entry.Annotation(annotations::kRefName);
    if (name == ref_name) return entry;
    if (!name.empty()) names += (names.empty() ? "" : ", ") + name;
  }
  return Fail(ErrorCode::kNotFound, "{} has nothing named {}; it has: {}", medium_.path().string(),
              ref_name, names.empty() ? "no names" : names);
}

Result<BlobSource> LayoutReader::Place(const Descriptor& blob) const {
  if (blob.size > limits::kBlobBytes)
    return Fail(ErrorCode::kTooLarge, "blob {} has {} bytes, the limit is {} (kBlobBytes)",
                blob.digest.ToString(), blob.size, limits::kBlobBytes);
  auto extents = medium_.Find(BlobName(blob.digest));
  if (!extents && extents.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kDataLoss, "blob {} is missing", blob.digest.ToString());
  if (!extents) return Propagate(std::move(extents), blob.digest.ToString());
  // The size first: a wrong one is found without reading gigabytes.
  if (const std::uint64_t size = BytesOf(*extents); size != blob.size)
    return Fail(ErrorCode::kDataLoss, "blob {} has {} bytes where {} are due",
                blob.digest.ToString(), size, blob.size);
  BlobSource source;
  source.descriptor = blob;
  const bool file = medium_.form() == MediumForm::kDirectory && extents->size() == 1 &&
                    extents->front().file.filename() == blob.digest.hex();
  if (file)
    source.content = std::move(extents->front().file);
  else
    source.content = std::move(*extents);
  return source;
}

Result<Artifact> LayoutReader::ReadManifest(const Descriptor& entry) const {
  const std::string what = fmt::format("manifest {}", entry.digest.ToString());
  SKERRY_ASSIGN_OR_RETURN(const BlobSource source, Place(entry), what);
  Artifact artifact;
  artifact.manifest = entry;
  SKERRY_ASSIGN_OR_RETURN(artifact.manifest_bytes, source.Read(limits::kManifestBytes), what);
  SKERRY_RETURN_IF_ERROR(VerifyBytes(artifact.manifest_bytes, entry.digest, entry.size), what);
  return artifact;
}

Result<Artifact> LayoutReader::Gather(const Descriptor& entry,
                                      const std::function<Status(const BlobSource&)>& check) const {
  SKERRY_ASSIGN_OR_RETURN(Artifact artifact, ReadManifest(entry));
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
    auto source = Place(blob);
    Status whole = source ? check(*source) : tl::make_unexpected(source.error());
    if (whole)
      artifact.blobs.push_back(std::move(*source));
    else if (whole.error().code() == ErrorCode::kTooLarge)
      return Propagate(std::move(whole));
    else
      damaged += (damaged.empty() ? "" : "; ") + whole.error().message();
  }
  if (!damaged.empty())
    return Fail(ErrorCode::kDataLoss, "manifest {}: {}", entry.digest.ToString(), damaged);
  return artifact;
}

Result<Artifact> LayoutReader::Read(const Descriptor& entry) const {
  return Gather(entry, [](const BlobSource& blob) { return blob.Verify(); });
}

Result<Artifact> LayoutReader::Locate(const Descriptor& entry) const {
  return Gather(entry, [](const BlobSource&) { return Status(); });
}

std::vector<BlobFault> LayoutReader::Check(const Descriptor& entry,
                                           const std::function<void(std::uint64_t)>& read) const {
  std::vector<BlobFault> faults;
  const auto artifact = ReadManifest(entry);
  read(entry.size);
  const auto manifest = artifact ? Manifest::Parse(artifact->manifest_bytes, entry.media_type)
                                 : Result<Manifest>(tl::make_unexpected(artifact.error()));
  if (!manifest) return {{entry.digest, manifest.error()}};
  const Digest empty = EmptyConfig().descriptor.digest;
  std::vector<Digest> seen;
  for (const Descriptor& blob : BlobsOf(*manifest)) {
    if (blob.digest == empty || std::ranges::find(seen, blob.digest) != seen.end()) continue;
    seen.push_back(blob.digest);
    const auto source = Place(blob);
    const Status whole = source ? source->Verify() : tl::make_unexpected(source.error());
    if (!whole) faults.push_back({blob.digest, whole.error()});
    read(blob.size);
  }
  return faults;
}

}  // namespace skerry
