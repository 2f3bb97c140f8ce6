#include "sync/package_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <system_error>

#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "oci/digest_file.h"
#include "oci/manifest.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

std::string NameOf(const Digest& digest) {
  return fmt::format("{}-{}", digest.algorithm(), digest.hex());
}

void RemoveTree(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) LogWarning("cannot remove {}: {}", path.string(), error.message());
}

Result<std::map<std::string, Digest>> DigestsOf(std::string_view manifest_bytes) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(manifest_bytes));
  std::map<std::string, Digest> files;
  for (const Descriptor& layer : manifest.layers)
    files.insert_or_assign(layer.Annotation(annotations::kModelFilePath), layer.digest);
  return files;
}

Result<std::string> ReadVerified(const std::filesystem::path& path, const Digest& digest,
                                 std::uint64_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, max_bytes));
  DigestHasher hasher(digest.algorithm());
  hasher.Update(bytes);
  if (hasher.Finish() == digest) return bytes;
  return Fail(ErrorCode::kDataLoss, "{} is damaged: it is not {}", path.string(),
              digest.ToString());
}

// What the system remembers of a file says nothing about the disk.
void ForgetCached(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  ::close(file);
}

Status CheckHeldFile(const HeldFile& held, const ReadPace& pace) {
  ForgetCached(held.path);
  DigestHasher hasher(held.digest.algorithm());
  bool stopped = false;
  const Status read = ReadPieces(held.path, 0, [&](std::string_view piece) -> Status {
    hasher.Update(piece);
    stopped = !pace(piece.size());
    if (stopped) return Fail(ErrorCode::kUnavailable, "the check was stopped");
    return {};
  });
  if (stopped) return read;
  if (!read) return Fail(ErrorCode::kDataLoss, "{}", read.error().message());
  if (hasher.Finish() == held.digest) return {};
  return Fail(ErrorCode::kDataLoss, "{} is not {}", held.path.filename().string(),
              held.digest.ToString());
}

}  // namespace

Result<Descriptor> PolicyLayerOf(std::string_view manifest_bytes) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(manifest_bytes));
  if (manifest.artifact_type == media_types::kPolicyArtifact && manifest.layers.size() == 1 &&
      manifest.layers[0].media_type == media_types::kPolicyLayer)
    return manifest.layers[0];
  return Fail(ErrorCode::kInvalidArgument, "it is no policy artifact");
}

Result<PackageStore> PackageStore::Open(std::filesystem::path directory) {
  PackageStore store(std::move(directory));
  for (const char* name : {"packages", "policies", "sync"})
    SKERRY_RETURN_IF_ERROR(CreateDirectories(store.directory_ / name, 0700));
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(store.directory_ / "packages", error))
    if (entry.path().filename().string().starts_with(".")) RemoveTree(entry.path());
  for (const auto& entry : std::filesystem::directory_iterator(store.directory_ / "sync", error))
    if (entry.path().filename().string().starts_with(kRebuiltPrefix)) RemoveTree(entry.path());
  SKERRY_RETURN_IF_ERROR(store.LoadRefusals());
  return store;
}

std::filesystem::path PackageStore::PackagePath(const Digest& digest,
                                                std::string_view suffix) const {
  return directory_ / "packages" / (NameOf(digest) + std::string(suffix));
}

std::filesystem::path PackageStore::PolicyPath(const Digest& digest,
                                               std::string_view suffix) const {
  return directory_ / "policies" / (NameOf(digest) + std::string(suffix));
}

std::filesystem::path PackageStore::IncomingPath(const Digest& digest) const {
  return directory_ / "packages" / ("." + NameOf(digest));
}

Result<AdmittedPackage> PackageStore::Find(const ModelRef& ref) const {
  std::error_code error;
  const std::filesystem::path directory = PackagePath(ref.digest);
  if (!std::filesystem::is_directory(directory, error))
    return Fail(ErrorCode::kNotFound, "{} is not on this site", ref.ToString());
  SKERRY_ASSIGN_OR_RETURN(
      const std::string manifest,
      ReadVerified(PackagePath(ref.digest, ".manifest"), ref.digest, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(auto files, DigestsOf(manifest));
  return AdmittedPackage{ref, directory, std::move(files)};
}

std::vector<Digest> PackageStore::Held() const {
  std::vector<Digest> held;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "packages", error)) {
    std::string name = entry.path().filename().string();
    const std::size_t dash = name.find('-');
    if (name.starts_with(".") || dash == std::string::npos || name.find('.') != std::string::npos)
      continue;
    auto digest = Digest::Parse(name.replace(dash, 1, ":"));
    if (digest && std::filesystem::exists(PackagePath(*digest, ".manifest"), error))
      held.push_back(*std::move(digest));
  }
  return held;
}

Result<std::vector<HeldFile>> PackageStore::FilesOf(const Digest& package) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes, ReadVerified(PackagePath(package, ".manifest"),
                                                                package, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(bytes));
  std::vector<HeldFile> files;
  for (const Descriptor& layer : manifest.layers)
    files.push_back({layer.digest, layer.size,
                     PackagePath(package) / layer.Annotation(annotations::kModelFilePath),
                     package});
  return files;
}

Status PackageStore::Check(const Digest& package, const ReadPace& pace) const {
  std::error_code error;
  if (!std::filesystem::exists(PackagePath(package), error))
    return Fail(ErrorCode::kNotFound, "{} is not on this site", package.ToString());
  ForgetCached(PackagePath(package, ".manifest"));
  const auto files = FilesOf(package);
  if (!files) return Fail(ErrorCode::kDataLoss, "{}", files.error().message());
  for (const HeldFile& file : *files) SKERRY_RETURN_IF_ERROR(CheckHeldFile(file, pace));
  return {};
}

Result<std::filesystem::path> PackageStore::Unpack(const ModelRef& ref,
                                                   std::string_view manifest_bytes,
                                                   const BlobGetter& get_blob) {
  Drop(ref);
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(manifest_bytes));
  return UnpackModel(manifest, get_blob, IncomingPath(ref.digest));
}

Status PackageStore::Keep(const ModelRef& ref, std::string_view manifest_bytes) {
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(PackagePath(ref.digest, ".manifest"), manifest_bytes));
  RemoveTree(PackagePath(ref.digest));
  std::error_code error;
  std::filesystem::rename(IncomingPath(ref.digest), PackagePath(ref.digest), error);
  if (error)
    return Fail(ErrorCode::kInternal, "cannot keep package {}: {}", ref.ToString(),
                error.message());
  return SyncDirectory(directory_ / "packages");
}

void PackageStore::Drop(const ModelRef& ref) { RemoveTree(IncomingPath(ref.digest)); }

void PackageStore::Remove(const Digest& digest) {
  RemoveTree(PackagePath(digest));
  RemoveTree(PackagePath(digest, ".manifest"));
  RemoveTree(PackagePath(digest, ".loading"));
}

void PackageStore::KeepOnly(const std::set<Digest>& wanted) {
  std::set<std::string> names;
  for (const Digest& digest : wanted) names.insert(NameOf(digest));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "packages", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(".") && !names.contains(name.substr(0, name.find('.'))))
      RemoveTree(entry.path());
  }
}

int PackageStore::UnfinishedLoads(const Digest& digest) const {
  const auto text = ReadFile(PackagePath(digest, ".loading"), 64);
  int count = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), count);
  return count;
}

Result<int> PackageStore::BeginLoad(const Digest& digest) {
  const int count = UnfinishedLoads(digest) + 1;
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(PackagePath(digest, ".loading"), std::to_string(count)));
  return count;
}

void PackageStore::EndLoad(const Digest& digest) { RemoveTree(PackagePath(digest, ".loading")); }

Status PackageStore::LoadRefusals() {
  const std::filesystem::path path = directory_ / "sync" / "set-aside.json";
  const auto text = ReadFile(path, limits::kJsonBytes);
  if (!text) return {};
  const auto json = ParseJson(*text);
  // Losing this list costs one more check of a bad package, nothing else.
  if (!json || !json->is_object()) return RemoveFile(path);
  for (const auto& [key, value] : json->items()) {
    const auto digest = Digest::Parse(key);
    const JsonObject object(value, key);
    const auto package = object.String("package");
    const auto version = object.Uint("desired_version");
    const auto reason = object.String("reason");
    if (digest && package && version && reason)
      refusals_.insert_or_assign(*digest, Refusal{*package, *version, *reason});
  }
  return {};
}

Status PackageStore::SetAside(const ModelRef& ref, std::uint64_t desired_version,
                              std::string_view reason) {
  // Refusals of older desired states are settled: they are not asked about any more.
  std::erase_if(refusals_,
                [&](const auto& entry) { return entry.second.desired_version < desired_version; });
  refusals_.insert_or_assign(ref.digest,
                             Refusal{ref.ToString(), desired_version, std::string(reason)});
  Json json = Json::object();
  for (const auto& [digest, refusal] : refusals_)
    json[digest.ToString()] = Json{{"package", refusal.package},
                                   {"desired_version", refusal.desired_version},
                                   {"reason", refusal.reason}};
  return WriteFileDurably(directory_ / "sync" / "set-aside.json", DumpJsonPretty(json));
}

std::string PackageStore::SetAsideReason(const Digest& digest,
                                         std::uint64_t desired_version) const {
  const auto found = refusals_.find(digest);
  if (found == refusals_.end() || found->second.desired_version != desired_version) return "";
  return found->second.reason;
}

Result<std::string> PackageStore::FindPolicy(const PolicyRef& ref) const {
  SKERRY_ASSIGN_OR_RETURN(
      const std::string manifest,
      ReadVerified(PolicyPath(ref.digest, ".manifest"), ref.digest, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const Descriptor layer, PolicyLayerOf(manifest));
  return ReadVerified(PolicyPath(ref.digest, ".yaml"), layer.digest, limits::kYamlBytes);
}

Status PackageStore::KeepPolicy(const PolicyRef& ref, std::string_view manifest_bytes,
                                std::string_view yaml) {
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(PolicyPath(ref.digest, ".yaml"), yaml));
  return WriteFileDurably(PolicyPath(ref.digest, ".manifest"), manifest_bytes);
}

}  // namespace skerry
