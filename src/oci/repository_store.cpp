#include "oci/repository_store.h"

#include <algorithm>

#include "base/limits.h"
#include "oci/reference.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTagFileBytes = 256;
constexpr std::chrono::hours kLeftoverAge{24};
// A link is touched no more often than this, so that reading writes little.
constexpr std::chrono::minutes kTouchAge{10};

fs::path BelowByDigest(const fs::path& directory, const Digest& digest) {
  return directory / digest.algorithm() / digest.hex();
}
fs::path BlobPath(const fs::path& repository, const Digest& digest) {
  return BelowByDigest(repository / "_blobs", digest);
}
fs::path ManifestPath(const fs::path& repository, const Digest& digest) {
  return BelowByDigest(repository / "_manifests", digest);
}
fs::path ReferrersPath(const fs::path& repository, const Digest& subject) {
  return BelowByDigest(repository / "_referrers", subject);
}
fs::path ReferrerPath(const fs::path& repository, const Digest& subject, const Digest& digest) {
  return ReferrersPath(repository, subject) /
         fmt::format("{}-{}", digest.algorithm(), digest.hex());
}
fs::path TagPath(const fs::path& repository, std::string_view tag) {
  return repository / "_tags" / tag;
}

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

Status WriteBelow(const fs::path& path, std::string_view bytes) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  return WriteFileDurably(path, bytes);
}

Status RemoveDurably(const fs::path& path) {
  if (!IsFile(path)) return {};
  SKERRY_RETURN_IF_ERROR(RemoveFile(path));
  return SyncDirectory(path.parent_path());
}

Result<Descriptor> ReadDescriptorFile(const fs::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 2 * limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text), path.string());
  return Descriptor::FromJson(json, path.string());
}

Result<Digest> ReadTagFile(const fs::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kTagFileBytes));
  return Digest::Parse(text);
}

// Names of the regular files in a directory, sorted; none where there is no directory.
std::vector<std::string> FileNames(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Calls `each(path)` for what is in `directory`; there need be none. What a killed writer has left
// is removed once it is old.
template <typename Each>
Status ForEachEntry(const fs::path& directory, const FileAge& age, const Each& each) {
  std::error_code error;
  fs::directory_iterator walk(directory, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && walk != fs::directory_iterator(); walk.increment(error)) {
    const fs::path& path = walk->path();
    if (!path.filename().native().starts_with('.')) {
      SKERRY_RETURN_IF_ERROR(each(path));
      continue;
    }
    std::error_code gone;
    const auto written = fs::last_write_time(path, gone);
    if (!gone && age.Of(written) > kLeftoverAge) SKERRY_RETURN_IF_ERROR(RemoveFile(path));
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory.string(), error.message());
  return {};
}

// The same for <directory>/<algorithm>/<hex>. Names that are no digests are nothing of ours.
template <typename Each>
Status ForEachDigest(const fs::path& directory, const FileAge& age, const Each& each) {
  return ForEachEntry(directory, age, [&](const fs::path& algorithm) {
    return ForEachEntry(algorithm, age, [&](const fs::path& path) -> Status {
      const auto digest = Digest::Parse(
          fmt::format("{}:{}", algorithm.filename().string(), path.filename().string()));
      return digest ? each(*digest, path) : Status();
    });
  });
}

}  // namespace

Result<std::unique_ptr<RepositoryStore>> RepositoryStore::Open(const fs::path& directory) {
  std::unique_ptr<RepositoryStore> store(new RepositoryStore(directory / "repositories"));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store->directory_));
  return store;
}

Result<fs::path> RepositoryStore::PathOf(std::string_view repository) const {
  SKERRY_RETURN_IF_ERROR(CheckRepository(repository));
  return directory_ / repository;
}

Result<std::vector<std::string>> RepositoryStore::Repositories() const {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator walk(directory_, error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    const std::string name = walk->path().filename().string();
    if (!name.starts_with('_')) continue;
    walk.disable_recursion_pending();
    std::string repository = fs::relative(walk->path().parent_path(), directory_, error).string();
    if (names.empty() || names.back() != repository) names.push_back(std::move(repository));
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool RepositoryStore::Exists(std::string_view repository) const {
  const auto path = PathOf(repository);
  std::error_code error;
  return path && (fs::is_directory(*path / "_manifests", error) ||
                  fs::is_directory(*path / "_blobs", error));
}

Status RepositoryStore::LinkBlob(std::string_view repository, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  // Another push may have linked it without having come to syncing.
  if (UseBlob(repository, digest)) return SyncDirectory(BlobPath(path, digest).parent_path());
  return WriteBelow(BlobPath(path, digest), "");
}

bool RepositoryStore::HasBlob(std::string_view repository, const Digest& digest) const {
  const auto path = PathOf(repository);
  return path && IsFile(BlobPath(*path, digest));
}

bool RepositoryStore::UseBlob(std::string_view repository, const Digest& digest) const {
  const auto path = PathOf(repository);
  if (!path) return false;
  const fs::path link = BlobPath(*path, digest);
  std::error_code error;
  const auto touched = fs::last_write_time(link, error);
  if (error) return false;
  if (age_.Of(touched) > kTouchAge)
    fs::last_write_time(link, fs::file_time_type::clock::now(), error);
  return IsFile(link);
}

Status RepositoryStore::UnlinkBlob(std::string_view repository, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  if (!IsFile(BlobPath(path, digest)))
    return Fail(ErrorCode::kNotFound, "{} has no blob {}", repository, digest.ToString());
  return RemoveDurably(BlobPath(path, digest));
}

Status RepositoryStore::PutManifest(std::string_view repository, const Descriptor& descriptor,
                                    const std::optional<Digest>& subject) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  const std::string text = DumpJson(descriptor.ToJson());
  const std::scoped_lock lock(mutex_);
  if (subject)
    SKERRY_RETURN_IF_ERROR(WriteBelow(ReferrerPath(path, *subject, descriptor.digest), text));
  return WriteBelow(ManifestPath(path, descriptor.digest), text);
}

Result<Descriptor> RepositoryStore::FindManifest(std::string_view repository,
                                                 const Digest& digest) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  if (!IsFile(ManifestPath(path, digest)))
    return Fail(ErrorCode::kNotFound, "{} has no manifest {}", repository, digest.ToString());
  return ReadDescriptorFile(ManifestPath(path, digest));
}

Status RepositoryStore::RemoveTagsOf(const fs::path& repository, const Digest& digest) const {
  for (const std::string& tag : FileNames(repository / "_tags")) {
    const auto target = ReadTagFile(TagPath(repository, tag));
    if (target && *target == digest) SKERRY_RETURN_IF_ERROR(RemoveFile(TagPath(repository, tag)));
  }
  std::error_code error;
  if (!fs::is_directory(repository / "_tags", error)) return {};
  return SyncDirectory(repository / "_tags");
}

Status RepositoryStore::DeleteManifest(std::string_view repository, const Digest& digest,
                                       const std::optional<Digest>& subject) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  const std::scoped_lock lock(mutex_);
  if (!IsFile(ManifestPath(path, digest)))
    return Fail(ErrorCode::kNotFound, "{} has no manifest {}", repository, digest.ToString());
  SKERRY_RETURN_IF_ERROR(RemoveTagsOf(path, digest));
  SKERRY_RETURN_IF_ERROR(RemoveDurably(ManifestPath(path, digest)));
  if (!subject) return {};
  return RemoveDurably(ReferrerPath(path, *subject, digest));
}

Result<std::vector<Descriptor>> RepositoryStore::Referrers(std::string_view repository,
                                                           const Digest& subject) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  std::vector<Descriptor> referrers;
  for (const std::string& name : FileNames(ReferrersPath(path, subject))) {
    SKERRY_ASSIGN_OR_RETURN(Descriptor descriptor,
                            ReadDescriptorFile(ReferrersPath(path, subject) / name));
    if (IsFile(ManifestPath(path, descriptor.digest))) referrers.push_back(std::move(descriptor));
  }
  return referrers;
}

Result<std::vector<BlobLink>> RepositoryStore::BlobLinks(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  std::vector<BlobLink> links;
  SKERRY_RETURN_IF_ERROR(ForEachDigest(path / "_blobs", age_,
                                       [&](const Digest& digest, const fs::path& link) -> Status {
                                         std::error_code gone;
                                         const auto touched = fs::last_write_time(link, gone);
                                         if (!gone) links.push_back({digest, age_.Of(touched)});
                                         return {};
                                       }));
  return links;
}

Result<std::vector<Digest>> RepositoryStore::Manifests(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  std::vector<Digest> digests;
  SKERRY_RETURN_IF_ERROR(ForEachDigest(path / "_manifests", age_,
                                       [&](const Digest& digest, const fs::path&) -> Status {
                                         digests.push_back(digest);
                                         return {};
                                       }));
  return digests;
}

Result<std::uint64_t> RepositoryStore::RemoveDeadReferrers(std::string_view repository) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  std::vector<fs::path> dead;
  const std::scoped_lock lock(mutex_);  // PutManifest writes the entry first, then the manifest
  SKERRY_RETURN_IF_ERROR(
      ForEachDigest(path / "_referrers", age_, [&](const Digest&, const fs::path& of_subject) {
        return ForEachEntry(of_subject, age_, [&](const fs::path& entry) -> Status {
          std::string name = entry.filename().string();
          std::replace(name.begin(), name.end(), '-', ':');
          const auto digest = Digest::Parse(name);
          if (digest && !IsFile(ManifestPath(path, *digest))) dead.push_back(entry);
          return {};
        });
      }));
  for (const fs::path& entry : dead) SKERRY_RETURN_IF_ERROR(RemoveDurably(entry));
  return dead.size();
}

Status RepositoryStore::PutTag(std::string_view repository, std::string_view tag,
                               const Digest& digest, TagChange change) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  const std::scoped_lock lock(mutex_);
  const auto held = ReadTagFile(TagPath(path, tag));
  if (change == TagChange::kOnlyNew && held && *held != digest)
    return Fail(ErrorCode::kConflict, "the tag {} of {} is another manifest's, and immutable", tag,
                repository);
  if (!IsFile(ManifestPath(path, digest)))
    return Fail(ErrorCode::kNotFound, "{} has no manifest {}", repository, digest.ToString());
  return WriteBelow(TagPath(path, tag), digest.ToString());
}

Result<Digest> RepositoryStore::FindTag(std::string_view repository, std::string_view tag) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  auto digest = ReadTagFile(TagPath(path, tag));
  if (!digest && digest.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kNotFound, "{} has no tag {}", repository, tag);
  return digest;
}

Status RepositoryStore::DeleteTag(std::string_view repository, std::string_view tag) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  const std::scoped_lock lock(mutex_);
  if (!IsFile(TagPath(path, tag)))
    return Fail(ErrorCode::kNotFound, "{} has no tag {}", repository, tag);
  return RemoveDurably(TagPath(path, tag));
}

Result<std::vector<std::string>> RepositoryStore::Tags(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const fs::path path, PathOf(repository));
  if (!Exists(repository))
    return Fail(ErrorCode::kNotFound, "there is no repository {}", repository);
  return FileNames(path / "_tags");
}

}  // namespace skerry
