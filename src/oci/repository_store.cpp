#include "oci/repository_store.h"

#include <algorithm>

#include "base/limits.h"
#include "oci/reference.h"

namespace skerry {
namespace {

constexpr std::size_t kTagBytes = 256;
// A link is touched no more often than this, so that reading writes little.
constexpr std::chrono::minutes kTouchAge{10};

Result<std::string> Checked(std::string_view repository) {
  SKERRY_RETURN_IF_ERROR(CheckRepository(repository));
  return std::string(repository);
}

std::string BelowByDigest(std::string_view directory, const Digest& digest) {
  return fmt::format("{}/{}/{}", directory, digest.algorithm(), digest.hex());
}
std::string BlobName(const std::string& repository, const Digest& digest) {
  return BelowByDigest(repository + "/_blobs", digest);
}
std::string ManifestName(const std::string& repository, const Digest& digest) {
  return BelowByDigest(repository + "/_manifests", digest);
}
std::string ReferrersName(const std::string& repository, const Digest& subject) {
  return BelowByDigest(repository + "/_referrers", subject);
}
std::string ReferrerName(const std::string& repository, const Digest& subject,
                         const Digest& digest) {
  return fmt::format("{}/{}-{}", ReferrersName(repository, subject), digest.algorithm(),
                     digest.hex());
}
std::string TagName(const std::string& repository, std::string_view tag) {
  return fmt::format("{}/_tags/{}", repository, tag);
}

// "<algorithm>/<hex>"; names that are no digests are nothing of ours.
Result<Digest> DigestOfName(std::string name) {
  std::replace(name.begin(), name.end(), '/', ':');
  return Digest::Parse(name);
}

tl::unexpected<Error> NoManifest(std::string_view repository, const Digest& digest) {
  return Fail(ErrorCode::kNotFound, "{} has no manifest {}", repository, digest.ToString());
}
bool IsAbsent(const Error& error) { return error.code() == ErrorCode::kNotFound; }

Result<Digest> ReadTag(const RecordStore& records, const std::string& name) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, records.Read(name, kTagBytes));
  return Digest::Parse(text);
}

}  // namespace

Result<std::vector<std::string>> RepositoryStore::Repositories() const {
  return records_->Repositories();
}

Status RepositoryStore::Exists(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  for (const char* part : {"/_manifests", "/_blobs"}) {
    SKERRY_ASSIGN_OR_RETURN(const bool any, records_->HasAny(name + part));
    if (any) return {};
  }
  return Fail(ErrorCode::kNotFound, "there is no repository {}", repository);
}

Status RepositoryStore::LinkBlob(std::string_view repository, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const Status used = UseBlob(repository, digest);
  // Another push may have linked it without having come to syncing.
  if (used) return records_->Settle(BlobName(name, digest));
  if (!IsAbsent(used.error())) return used;
  return records_->Write(BlobName(name, digest), "");
}

Status RepositoryStore::HasBlob(std::string_view repository, const Digest& digest) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  SKERRY_RETURN_IF_ERROR(records_->Age(BlobName(name, digest)));
  return {};
}

Status RepositoryStore::UseBlob(std::string_view repository, const Digest& digest) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const std::string link = BlobName(name, digest);
  SKERRY_ASSIGN_OR_RETURN(const std::chrono::seconds age, records_->Age(link));
  if (age <= kTouchAge) return {};
  SKERRY_RETURN_IF_ERROR(records_->Touch(link));
  return HasBlob(repository, digest);
}

Status RepositoryStore::UnlinkBlob(std::string_view repository, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const Status there = HasBlob(repository, digest);
  if (!there && IsAbsent(there.error()))
    return Fail(ErrorCode::kNotFound, "{} has no blob {}", repository, digest.ToString());
  if (!there) return there;
  return records_->Remove(BlobName(name, digest));
}

Status RepositoryStore::PutManifest(std::string_view repository, const Descriptor& descriptor,
                                    const std::optional<Digest>& subject) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const std::string text = DumpJson(descriptor.ToJson());
  const std::scoped_lock lock(mutex_);
  if (subject)
    SKERRY_RETURN_IF_ERROR(records_->Write(ReferrerName(name, *subject, descriptor.digest), text));
  return records_->Write(ManifestName(name, descriptor.digest), text);
}

Result<Descriptor> RepositoryStore::FindManifest(std::string_view repository,
                                                 const Digest& digest) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const std::string record = ManifestName(name, digest);
  auto text = records_->Read(record, 2 * limits::kManifestBytes);
  if (!text && IsAbsent(text.error())) return NoManifest(repository, digest);
  if (!text) return tl::make_unexpected(text.error());
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text), record);
  return Descriptor::FromJson(json, record);
}

Status RepositoryStore::RemoveTagsOf(const std::string& repository, const Digest& digest) const {
  std::vector<std::string> gone;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> tags,
                          records_->Names(repository + "/_tags"));
  for (const std::string& tag : tags) {
    const auto target = ReadTag(*records_, TagName(repository, tag));
    if (!target && target.error().code() == ErrorCode::kUnavailable)
      return tl::make_unexpected(target.error());
    if (target && *target == digest) gone.push_back(TagName(repository, tag));
  }
  return records_->Remove(gone);
}

Status RepositoryStore::DeleteManifest(std::string_view repository, const Digest& digest,
                                       const std::optional<Digest>& subject) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const std::string record = ManifestName(name, digest);
  const std::scoped_lock lock(mutex_);
  const auto there = records_->Age(record);
  if (!there && IsAbsent(there.error())) return NoManifest(repository, digest);
  if (!there) return tl::make_unexpected(there.error());
  SKERRY_RETURN_IF_ERROR(RemoveTagsOf(name, digest));
  SKERRY_RETURN_IF_ERROR(records_->Remove(record));
  if (!subject) return {};
  return records_->Remove(ReferrerName(name, *subject, digest));
}

Result<std::vector<Descriptor>> RepositoryStore::Referrers(std::string_view repository,
                                                           const Digest& subject) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  const std::string list = ReferrersName(name, subject);
  std::vector<Descriptor> referrers;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> entries, records_->Names(list));
  for (const std::string& entry : entries) {
    const auto text = records_->Read(fmt::format("{}/{}", list, entry), 2 * limits::kManifestBytes);
    if (!text && IsAbsent(text.error())) continue;  // deleted since it was listed
    if (!text) return tl::make_unexpected(text.error());
    SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text), list);
    SKERRY_ASSIGN_OR_RETURN(Descriptor descriptor, Descriptor::FromJson(json, list));
    const auto there = records_->Age(ManifestName(name, descriptor.digest));
    if (!there && !IsAbsent(there.error())) return tl::make_unexpected(there.error());
    if (there) referrers.push_back(std::move(descriptor));
  }
  return referrers;
}

Result<std::vector<BlobLink>> RepositoryStore::BlobLinks(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  std::vector<BlobLink> links;
  SKERRY_RETURN_IF_ERROR(records_->ForEach(
      name + "/_blobs", [&](const std::string& link, std::chrono::seconds age) -> Status {
        if (auto digest = DigestOfName(link)) links.push_back({std::move(*digest), age});
        return {};
      }));
  return links;
}

Result<std::vector<Digest>> RepositoryStore::Manifests(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  std::vector<Digest> digests;
  SKERRY_RETURN_IF_ERROR(records_->ForEach(
      name + "/_manifests", [&](const std::string& record, std::chrono::seconds) -> Status {
        if (auto digest = DigestOfName(record)) digests.push_back(std::move(*digest));
        return {};
      }));
  return digests;
}

Result<std::uint64_t> RepositoryStore::RemoveDeadReferrers(std::string_view repository) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  std::vector<std::string> dead;
  const std::scoped_lock lock(mutex_);  // PutManifest writes the entry first, then the manifest
  SKERRY_RETURN_IF_ERROR(records_->ForEach(
      name + "/_referrers", [&](const std::string& entry, std::chrono::seconds) -> Status {
        std::string last = entry.substr(entry.rfind('/') + 1);
        std::replace(last.begin(), last.end(), '-', ':');
        const auto digest = Digest::Parse(last);
        if (!digest) return {};
        const auto there = records_->Age(ManifestName(name, *digest));
        if (there) return {};
        if (!IsAbsent(there.error())) return tl::make_unexpected(there.error());
        dead.push_back(name + "/_referrers/" + entry);
        return {};
      }));
  SKERRY_RETURN_IF_ERROR(records_->Remove(dead));
  return dead.size();
}

Status RepositoryStore::PutTag(std::string_view repository, std::string_view tag,
                               const Digest& digest, TagChange change) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  const std::scoped_lock lock(mutex_);
  const auto there = records_->Age(ManifestName(name, digest));
  if (!there && IsAbsent(there.error())) return NoManifest(repository, digest);
  if (!there) return tl::make_unexpected(there.error());
  const std::string record = TagName(name, tag);
  if (change == TagChange::kAny) return records_->Write(record, digest.ToString());
  Status written = records_->WriteNew(record, digest.ToString());
  if (!written && written.error().code() == ErrorCode::kAlreadyExists)
    return Fail(ErrorCode::kConflict, "the tag {} of {} is another manifest's, and immutable", tag,
                repository);
  return written;
}

Result<Digest> RepositoryStore::FindTag(std::string_view repository, std::string_view tag) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  auto digest = ReadTag(*records_, TagName(name, tag));
  if (!digest && IsAbsent(digest.error()))
    return Fail(ErrorCode::kNotFound, "{} has no tag {}", repository, tag);
  return digest;
}

Status RepositoryStore::DeleteTag(std::string_view repository, std::string_view tag) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  const std::scoped_lock lock(mutex_);
  const auto there = records_->Age(TagName(name, tag));
  if (!there && IsAbsent(there.error()))
    return Fail(ErrorCode::kNotFound, "{} has no tag {}", repository, tag);
  if (!there) return tl::make_unexpected(there.error());
  return records_->Remove(TagName(name, tag));
}

Result<std::vector<std::string>> RepositoryStore::Tags(std::string_view repository) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, Checked(repository));
  SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> tags, records_->Names(name + "/_tags"));
  if (tags.empty()) SKERRY_RETURN_IF_ERROR(Exists(repository));
  return tags;
}

}  // namespace skerry
