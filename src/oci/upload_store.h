// Uploads under way. Each has a directory <directory>/uploads/<id>/ on this machine with
// `repository` and what its medium keeps there: all of the bytes in `data` (file_uploads.h), or the
// last of them, with the ones before in a bucket of S3 (s3_uploads.h). So an upload survives the
// process and resumes at the byte. Owned by Registry; thread-safe.
//
// One writer at a time: a new Writer on the same upload takes it over, and so does asking for the
// offset (who asks has given up on what was sent before); the older one, whose client may be long
// gone behind a dead link, gets kConflict at its next Write.
//   SKERRY_ASSIGN_OR_RETURN(auto writer, uploads.Resume(id, repository, offset));
//   SKERRY_RETURN_IF_ERROR(writer.Write(bytes));     // in the page cache: survives the process
//   SKERRY_RETURN_IF_ERROR(writer.Sync());           // durable: now it may be acknowledged
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/file_age.h"
#include "oci/upload_medium.h"

namespace skerry {

class UploadStore {
 public:
  struct Limits {
    std::uint64_t max_bytes;           // of one upload; kTooLarge
    std::size_t max_uploads;           // at the same time; kResourceExhausted
    std::chrono::hours abandoned_age;  // untouched for longer: removed when the store opens
  };

  // What this process knows of one upload. Shared by the store's table and the writers of the
  // upload, the last of which may outlive its entry.
  struct Session {
    std::mutex mutex;
    std::uint64_t generation = 0;        // of the newest writer
    std::optional<DigestHasher> hasher;  // sha256 of the first `hashed_bytes`
    std::uint64_t hashed_bytes = 0;
  };

  class Writer {
   public:
    // kConflict once a newer writer has taken over, kTooLarge over Limits::max_bytes.
    Status Write(std::string_view bytes);
    Status Sync();
    std::uint64_t offset() const { return bytes_->size(); }

   private:
    friend class UploadStore;
    Writer(std::unique_ptr<UploadBytes> bytes, std::shared_ptr<Session> session,
           std::uint64_t max_bytes)
        : bytes_(std::move(bytes)), session_(std::move(session)), max_bytes_(max_bytes) {}

    std::unique_ptr<UploadBytes> bytes_;
    std::shared_ptr<Session> session_;
    std::uint64_t generation_ = 0;
    std::uint64_t max_bytes_;
  };

  static Result<std::unique_ptr<UploadStore>> Open(const std::filesystem::path& directory,
                                                   Limits limits,
                                                   std::unique_ptr<UploadMedium> medium);

  // Starts an upload into `repository`; its id is 32 hex digits. Durable on return.
  Result<std::string> Start(std::string_view repository);
  // The synced offset, which stays until the next Resume; kNotFound for an id that is not known or
  // belongs to another repository.
  Result<std::uint64_t> Offset(std::string_view id, std::string_view repository);
  // Opens the upload for appending. kOutOfRange when `offset` is given and not the upload's;
  // the message has the right one.
  Result<Writer> Resume(std::string_view id, std::string_view repository,
                        std::optional<std::uint64_t> offset);
  // Verifies the whole against `digest`, makes it that blob (durable) and ends the upload.
  // kInvalidArgument when the digest does not match: the upload is then gone.
  Status Finish(Writer writer, std::string_view id, const Digest& digest);
  // Ends the upload and drops its bytes; kNotFound as in Offset.
  Status Cancel(std::string_view id, std::string_view repository);
  // Ends those that nobody has touched for longer than `age`; how many.
  Result<std::uint64_t> RemoveAbandoned(std::chrono::seconds age);

 private:
  UploadStore(std::filesystem::path directory, Limits limits, std::unique_ptr<UploadMedium> medium)
      : directory_(std::move(directory)), limits_(limits), medium_(std::move(medium)) {}
  Status RemoveStale();
  Result<std::filesystem::path> Find(std::string_view id, std::string_view repository) const;
  std::shared_ptr<Session> SessionOf(std::string_view id);
  Status Discard(std::string_view id);
  Result<bool> RemoveIfAbandoned(const std::string& id, std::chrono::seconds age);
  Result<Digest> DigestOfUpload(Session& session, const std::filesystem::path& upload,
                                UploadBytes& bytes, std::string_view algorithm) const;

  const std::filesystem::path directory_;
  const Limits limits_;
  const std::unique_ptr<UploadMedium> medium_;
  const FileAge age_;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions_;
  std::size_t open_uploads_ = 0;
};

}  // namespace skerry
