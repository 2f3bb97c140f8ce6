#include "oci/upload_store.h"

#include <algorithm>
#include <vector>

#include "base/ids.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kRepositoryFileBytes = 1024;

bool IsUploadId(std::string_view id) {
  return id.size() == 2 * kIdBytes &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Status RemoveTree(const fs::path& directory) {
  std::error_code error;
  fs::remove_all(directory, error);
  if (error)
    return Fail(ErrorCode::kInternal, "removing {}: {}", directory.string(), error.message());
  return SyncDirectory(directory.parent_path());
}

bool IsStale(const fs::path& upload, std::chrono::hours abandoned_age) {
  std::error_code error;
  const fs::file_time_type touched = fs::last_write_time(upload / "data", error);
  if (error || !fs::is_regular_file(upload / "repository", error)) return true;
  return fs::file_time_type::clock::now() - touched > abandoned_age;
}

// `repository` last: an upload without it does not count.
Status MakeUpload(const fs::path& upload, std::string_view repository, UploadMedium& medium) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(upload));
  SKERRY_RETURN_IF_ERROR(medium.Make(upload));
  return WriteFileDurably(upload / "repository", repository);
}

}  // namespace

Status UploadStore::Writer::Write(std::string_view bytes) {
  const std::scoped_lock lock(session_->mutex);
  if (session_->generation != generation_)
    return Fail(ErrorCode::kConflict, "another request has taken over this upload");
  if (bytes_->size() + bytes.size() > max_bytes_)
    return Fail(ErrorCode::kTooLarge, "the upload is over the limit of {} bytes (kBlobBytes)",
                max_bytes_);
  if (session_->hasher && session_->hashed_bytes == bytes_->size()) {
    session_->hasher->Update(bytes);
    session_->hashed_bytes += bytes.size();
  }
  return bytes_->Write(bytes);
}

Status UploadStore::Writer::Sync() { return bytes_->Sync(); }

Result<std::unique_ptr<UploadStore>> UploadStore::Open(const fs::path& directory, Limits limits,
                                                       std::unique_ptr<UploadMedium> medium) {
  std::unique_ptr<UploadStore> store(
      new UploadStore(directory / "uploads", limits, std::move(medium)));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store->directory_));
  SKERRY_RETURN_IF_ERROR(store->RemoveStale());
  return store;
}

Status UploadStore::RemoveStale() {
  std::error_code error;
  std::vector<fs::path> stale;
  for (const fs::directory_entry& upload : fs::directory_iterator(directory_, error)) {
    if (IsStale(upload.path(), limits_.abandoned_age))
      stale.push_back(upload.path());
    else
      ++open_uploads_;
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  for (const fs::path& upload : stale) {
    medium_->Drop(upload);
    SKERRY_RETURN_IF_ERROR(RemoveTree(upload));
  }
  return {};
}

Result<std::string> UploadStore::Start(std::string_view repository) {
  {
    const std::scoped_lock lock(mutex_);
    if (open_uploads_ >= limits_.max_uploads)
      return Fail(ErrorCode::kResourceExhausted,
                  "{} uploads are under way, the limit is {} (kOpenUploads)", open_uploads_,
                  limits_.max_uploads);
    ++open_uploads_;
  }
  std::string id = RandomHex(kIdBytes);
  if (Status made = MakeUpload(directory_ / id, repository, *medium_); !made) {
    const std::scoped_lock lock(mutex_);
    --open_uploads_;
    return Propagate(std::move(made));
  }
  return id;
}

Result<fs::path> UploadStore::Find(std::string_view id, std::string_view repository) const {
  if (IsUploadId(id)) {
    const auto owner = ReadFile(directory_ / id / "repository", kRepositoryFileBytes);
    if (owner && *owner == repository) return directory_ / id;
  }
  return Fail(ErrorCode::kNotFound, "{} has no upload {}", repository, id);
}

std::shared_ptr<UploadStore::Session> UploadStore::SessionOf(std::string_view id) {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) return found->second;
  return sessions_.emplace(std::string(id), std::make_shared<Session>()).first->second;
}

Result<std::uint64_t> UploadStore::Offset(std::string_view id, std::string_view repository) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path upload, Find(id, repository));
  const std::shared_ptr<Session> session = SessionOf(id);
  const std::scoped_lock lock(session->mutex);
  ++session->generation;  // what is still on its way must not move the offset that is answered
  return medium_->SyncedSize(upload);
}

Result<UploadStore::Writer> UploadStore::Resume(std::string_view id, std::string_view repository,
                                                std::optional<std::uint64_t> offset) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path upload, Find(id, repository));
  std::shared_ptr<Session> session = SessionOf(id);
  const std::scoped_lock lock(session->mutex);
  SKERRY_ASSIGN_OR_RETURN(std::unique_ptr<UploadBytes> bytes, medium_->Open(upload));
  if (offset && *offset != bytes->size())
    return Fail(ErrorCode::kOutOfRange, "the upload stands at byte {}, not {}", bytes->size(),
                *offset);
  if (bytes->size() == 0) {
    session->hasher.emplace("sha256");
    session->hashed_bytes = 0;
  }
  Writer writer(std::move(bytes), session, limits_.max_bytes);
  writer.generation_ = ++session->generation;
  return writer;
}

// Hashed while it came in, unless a part came to an earlier process.
Result<Digest> UploadStore::DigestOfUpload(Session& session, const fs::path& upload,
                                           UploadBytes& bytes, std::string_view algorithm) const {
  if (algorithm == "sha256" && session.hasher && session.hashed_bytes == bytes.size()) {
    const Digest digest = session.hasher->Finish();
    session.hasher.reset();
    return digest;
  }
  return medium_->DigestOf(upload, bytes, algorithm);
}

Status UploadStore::Finish(Writer writer, std::string_view id, const Digest& digest) {
  const fs::path upload = directory_ / id;
  {
    const std::scoped_lock lock(writer.session_->mutex);
    if (writer.session_->generation != writer.generation_)
      return Fail(ErrorCode::kConflict, "another request has taken over this upload");
    ++writer.session_->generation;  // nothing may be appended to what becomes a blob
    const auto have = DigestOfUpload(*writer.session_, upload, *writer.bytes_, digest.algorithm());
    Status published = have ? Status() : tl::make_unexpected(have.error());
    if (have && *have != digest)
      published = Fail(ErrorCode::kInvalidArgument, "the content has the digest {}, not {}",
                       have->ToString(), digest.ToString());
    if (published) published = medium_->Publish(upload, *writer.bytes_, digest);
    // Of another digest, or its medium has it no more: to be begun anew.
    if (!published && published.error().code() != ErrorCode::kInvalidArgument &&
        published.error().code() != ErrorCode::kNotFound)
      return published;
    if (!published) {
      SKERRY_RETURN_IF_ERROR(Discard(id));
      return published;
    }
  }
  return Discard(id);
}

Status UploadStore::Cancel(std::string_view id, std::string_view repository) {
  SKERRY_RETURN_IF_ERROR(Find(id, repository));
  const std::shared_ptr<Session> session = SessionOf(id);
  const std::scoped_lock lock(session->mutex);
  ++session->generation;
  return Discard(id);
}

Result<bool> UploadStore::RemoveIfAbandoned(const std::string& id, std::chrono::seconds age) {
  const auto is_old = [&] {
    std::error_code error;
    const auto touched = fs::last_write_time(directory_ / id / "data", error);
    // Without `data` it was finished or cancelled meanwhile, or is only being made.
    return !error && age_.Of(touched) > age;
  };
  if (!is_old()) return false;
  const std::shared_ptr<Session> session = SessionOf(id);
  const std::scoped_lock lock(session->mutex);
  if (!is_old()) return false;  // somebody went on with it
  ++session->generation;
  SKERRY_RETURN_IF_ERROR(Discard(id));
  return true;
}

Result<std::uint64_t> UploadStore::RemoveAbandoned(std::chrono::seconds age) {
  std::vector<std::string> ids;
  std::error_code error;
  for (fs::directory_iterator walk(directory_, error); !error && walk != fs::directory_iterator();
       walk.increment(error))
    if (std::string id = walk->path().filename().string(); IsUploadId(id))
      ids.push_back(std::move(id));
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  std::uint64_t removed = 0;
  for (const std::string& id : ids) {
    SKERRY_ASSIGN_OR_RETURN(const bool gone, RemoveIfAbandoned(id, age));
    removed += gone ? 1 : 0;
  }
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t orphans, medium_->Sweep(directory_, age));
  return removed + orphans;
}

Status UploadStore::Discard(std::string_view id) {
  medium_->Drop(directory_ / id);
  SKERRY_RETURN_IF_ERROR(RemoveTree(directory_ / id));
  const std::scoped_lock lock(mutex_);
  if (const auto found = sessions_.find(id); found != sessions_.end()) sessions_.erase(found);
  if (open_uploads_ > 0) --open_uploads_;
  return {};
}

}  // namespace skerry
