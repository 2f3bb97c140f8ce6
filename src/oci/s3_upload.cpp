#include "oci/s3_upload.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "oci/digest_file.h"
#include "s3/store_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTail = "tail-";

// 0 for another file.
std::size_t NumberOf(const std::string& name) {
  std::size_t number = 0;
  if (!name.starts_with(kTail)) return 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kTail.size(), end, number);
  return parsed.ptr == end && parsed.ec == std::errc() ? number : 0;
}

}  // namespace

std::string BlobKey(const Digest& digest) {
  return fmt::format("blobs/{}/{}/{}", digest.algorithm(), digest.hex().substr(0, 2), digest.hex());
}

std::string S3Upload::Key() const {
  return fmt::format("uploads/{}/data", directory_.filename().string());
}

fs::path S3Upload::TailPath(std::size_t number) const {
  return directory_ / fmt::format("{}{:06}", kTail, number);
}

Status S3Upload::Make(const fs::path& directory) {
  return WriteFileDurably(directory / "data", "{}");
}

Status S3Upload::Save() const {
  const Json document = {{"upload", upload_},
                         {"etags", etags_},
                         {"bytes", sent_bytes_},
                         {"sealed", sealed_},
                         {"whole", whole_}};
  return WriteFileDurably(directory_ / "data", DumpJson(document));
}

Status S3Upload::Load() {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(directory_ / "data", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(text), directory_.string());
  const JsonObject object(document, directory_.string());
  SKERRY_ASSIGN_OR_RETURN(upload_, object.StringOr("upload", ""));
  if (document.contains("etags")) {
    SKERRY_ASSIGN_OR_RETURN(etags_, object.Strings("etags"));
  }
  SKERRY_ASSIGN_OR_RETURN(sent_bytes_, object.UintOr("bytes", 0));
  SKERRY_ASSIGN_OR_RETURN(sealed_, object.BoolOr("sealed", false));
  SKERRY_ASSIGN_OR_RETURN(whole_, object.BoolOr("whole", false));
  return LoadTails();
}

// Whole parts in a row, then the tail. What follows a part that is not whole was never synced, and
// what is before the first is recorded.
Status S3Upload::LoadTails() {
  std::vector<std::size_t> found;
  std::error_code error;
  for (fs::directory_iterator walk(directory_, error); !error && walk != fs::directory_iterator();
       walk.increment(error))
    if (const std::size_t number = NumberOf(walk->path().filename().string()); number != 0)
      found.push_back(number);
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  std::ranges::sort(found);
  for (const std::size_t number : found) {
    const fs::path path = TailPath(number);
    if (sealed_ || number != TailNumber() || tail_bytes_ > 0) {
      SKERRY_RETURN_IF_ERROR(RemoveFile(path));
      continue;
    }
    const std::uintmax_t bytes = fs::file_size(path, error);
    if (error) return Fail(ErrorCode::kInternal, "{}: {}", path.string(), error.message());
    if (bytes < limits::kS3PartBytes) {
      tail_bytes_ = bytes;
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(const FileDigest facts, DigestFile(path, "sha256"));
    waiting_.push_back({number, std::string(facts.digest.hex())});
  }
  return {};
}

std::uint64_t S3Upload::Size() const {
  return sent_bytes_ + waiting_.size() * limits::kS3PartBytes + tail_bytes_;
}

std::uint64_t S3Upload::size() {
  const std::lock_guard lock(mutex_);
  return Size();
}

Status S3Upload::OpenTail() {
  const fs::path path = TailPath(TailNumber());
  if (!tail_) {
    SKERRY_ASSIGN_OR_RETURN(tail_, AppendFile::Open(path, AppendFile::Mode::kCreateOrExisting));
    unsynced_name_ = unsynced_name_ || tail_bytes_ == 0;
    if (tail_->size() != tail_bytes_)
      return Fail(ErrorCode::kDataLoss, "{} has {} bytes, not {}", path.string(), tail_->size(),
                  tail_bytes_);
  }
  if (hasher_) return {};
  hasher_.emplace("sha256");
  return ReadPieces(path, 0, [&](std::string_view piece) -> Status {
    hasher_->Update(piece);
    return {};
  });
}

Status S3Upload::Write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (sealed_ && !bytes.empty())
    return Fail(ErrorCode::kConflict, "the upload is complete: end it with its digest");
  while (!bytes.empty()) {
    SKERRY_RETURN_IF_ERROR(OpenTail());
    const std::string_view piece =
        bytes.substr(0, static_cast<std::size_t>(limits::kS3PartBytes - tail_bytes_));
    const Status written = tail_->Write(piece);
    if (!written) {
      // What came of it is in the file, and in no hash.
      tail_bytes_ = tail_->size();
      hasher_.reset();
      return written;
    }
    hasher_->Update(piece);
    tail_bytes_ += piece.size();
    bytes.remove_prefix(piece.size());
    if (tail_bytes_ == limits::kS3PartBytes) SKERRY_RETURN_IF_ERROR(HandOver());
  }
  return {};
}

Status S3Upload::HandOver() {
  waiting_.push_back({TailNumber(), std::string(hasher_->Finish().hex())});
  tail_.reset();
  hasher_.reset();
  tail_bytes_ = 0;
  SKERRY_RETURN_IF_ERROR(Settle());
  return StartSending();
}

Status S3Upload::StartSending() {
  if (sending_ || waiting_.empty()) return {};
  if (upload_.empty()) {
    SKERRY_ASSIGN_OR_RETURN(upload_, bucket_->StartUpload(Key()));
    if (Status saved = Save(); !saved) {
      upload_.clear();
      return saved;
    }
  }
  const Part& part = waiting_.front();
  sending_ = std::async(
      std::launch::async, [bucket = bucket_, key = Key(), upload = upload_, number = part.number,
                           sha256 = part.sha256, path = TailPath(part.number)] {
        return bucket->PutPart(key, upload, number, {path, 0, limits::kS3PartBytes}, sha256);
      });
  return {};
}

Status S3Upload::Settle() {
  if (!sending_) return {};
  Result<std::string> etag = sending_->get();
  sending_.reset();
  if (!etag) return tl::make_unexpected(etag.error());
  etags_.push_back(std::move(*etag));
  sent_bytes_ += limits::kS3PartBytes;
  if (Status saved = Save(); !saved) {
    etags_.pop_back();
    sent_bytes_ -= limits::kS3PartBytes;
    return saved;
  }
  const std::size_t number = waiting_.front().number;
  waiting_.pop_front();
  return RemoveFile(TailPath(number));
}

Status S3Upload::Sync() {
  const std::lock_guard lock(mutex_);
  for (const Part& part : waiting_) SKERRY_RETURN_IF_ERROR(SyncFile(TailPath(part.number)));
  if (tail_)
    SKERRY_RETURN_IF_ERROR(tail_->Sync());
  else if (tail_bytes_ > 0)
    SKERRY_RETURN_IF_ERROR(SyncFile(TailPath(TailNumber())));
  if (std::exchange(unsynced_name_, false)) SKERRY_RETURN_IF_ERROR(SyncDirectory(directory_));
  std::error_code gone;  // a cancelled upload
  fs::last_write_time(directory_ / "data", fs::file_time_type::clock::now(), gone);
  return {};
}

Status S3Upload::SendTail() {
  if (tail_bytes_ == 0) return {};
  const fs::path path = TailPath(TailNumber());
  SKERRY_ASSIGN_OR_RETURN(const FileDigest facts, DigestFile(path, "sha256"));
  SKERRY_ASSIGN_OR_RETURN(std::string etag,
                          bucket_->PutPart(Key(), upload_, TailNumber(), {path, 0, tail_bytes_},
                                           std::string(facts.digest.hex())));
  tail_.reset();
  hasher_.reset();
  etags_.push_back(std::move(etag));
  sent_bytes_ += std::exchange(tail_bytes_, 0);
  return {};
}

Status S3Upload::SendRest() {
  if (sealed_) return {};
  SKERRY_RETURN_IF_ERROR(Settle());
  while (!waiting_.empty()) {
    SKERRY_RETURN_IF_ERROR(StartSending());
    SKERRY_RETURN_IF_ERROR(Settle());
  }
  const std::size_t parts = etags_.size();
  const std::uint64_t tail = tail_bytes_;
  SKERRY_RETURN_IF_ERROR(SendTail());
  sealed_ = true;
  Status saved = Save();
  if (saved) return tail > 0 ? RemoveFile(TailPath(etags_.size())) : Status();
  sealed_ = false;
  etags_.resize(parts);
  sent_bytes_ -= tail;
  tail_bytes_ = tail;
  return saved;
}

Status S3Upload::Complete() {
  SKERRY_RETURN_IF_ERROR(SendRest());
  if (whole_) return {};
  Status done = bucket_->FinishUpload(Key(), upload_, etags_);
  if (!done && done.error().code() == ErrorCode::kNotFound) {
    // It was finished, and the answer lost or this process killed.
    const auto found = bucket_->Find(Key());
    if (!found) return tl::make_unexpected(found.error());
    if (found->bytes == Size()) done = {};
  }
  if (!done) return done;
  whole_ = true;
  return Save();
}

Result<Digest> S3Upload::DigestOf(std::string_view algorithm) {
  const std::lock_guard lock(mutex_);
  DigestHasher hasher(algorithm);
  const auto take = [&](std::string_view piece) -> Status {
    hasher.Update(piece);
    return {};
  };
  if (upload_.empty() && waiting_.empty()) {
    if (tail_bytes_ > 0) SKERRY_RETURN_IF_ERROR(ReadPieces(TailPath(TailNumber()), 0, take));
    return hasher.Finish();
  }
  SKERRY_RETURN_IF_ERROR(Complete());
  SKERRY_RETURN_IF_ERROR(bucket_->ReadRange(Key(), 0, Size(), take));
  return hasher.Finish();
}

Status S3Upload::Publish(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  if (!upload_.empty() || !waiting_.empty()) {
    SKERRY_RETURN_IF_ERROR(Complete());
    return bucket_->Copy(Key(), Size(), BlobKey(digest));
  }
  if (tail_bytes_ == 0) {
    SKERRY_RETURN_IF_ERROR(bucket_->Put(BlobKey(digest), ""));
    return {};
  }
  const fs::path path = TailPath(TailNumber());
  std::string sha256(digest.hex());
  if (digest.algorithm() != "sha256") {
    SKERRY_ASSIGN_OR_RETURN(const FileDigest facts, DigestFile(path, "sha256"));
    sha256 = facts.digest.hex();
  }
  return bucket_->PutFile(BlobKey(digest), {path, 0, tail_bytes_}, sha256);
}

void S3Upload::Drop() {
  const std::lock_guard lock(mutex_);
  if (sending_) sending_->wait();
  sending_.reset();
  if (upload_.empty()) return;
  Status dropped = whole_ ? Status() : bucket_->DropUpload(Key(), upload_);
  // A sealed one may be whole, if the process was killed before it could say so.
  if (sealed_ && dropped) dropped = bucket_->Remove(Key());
  if (!dropped)
    LogWarning("an upload's bytes stay behind for the collection key={} reason={}", Key(),
               dropped.error().message());
}

void S3Upload::Park() {
  const std::lock_guard lock(mutex_);
  tail_.reset();
}

}  // namespace skerry
