// Uploads under way. Each is a directory <directory>/uploads/<id>/ with `repository` and `data`;
// the size of `data` is the upload's offset, so an upload survives the process and resumes at the
// byte. Owned by Registry; thread-safe.
//
// One writer at a time: a new Writer on the same upload takes it over, and the older one (whose
// client may be long gone behind a dead link) gets kConflict at its next Write.
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
#include "oci/blob_store.h"

namespace skerry {

class UploadStore {
 public:
  struct Limits {
    std::uint64_t max_bytes;           // of one upload; kTooLarge
    std::size_t max_uploads;           // at the same time; kResourceExhausted
    std::chrono::hours abandoned_age;  // untouched for longer: removed when the store opens
  };

  class Writer {
   public:
    Writer(Writer&&) noexcept = default;
    Writer& operator=(Writer&&) noexcept = default;
    ~Writer();

    Status Write(std::string_view bytes);
    Status Sync();
    std::uint64_t offset() const { return offset_; }

   private:
    friend class UploadStore;
    struct File;
    struct Session;
    Writer(std::unique_ptr<File> file, std::shared_ptr<Session> session, std::uint64_t offset,
           std::uint64_t max_bytes);

    std::unique_ptr<File> file_;
    std::shared_ptr<Session> session_;  // shared with the store's table and later writers
    std::uint64_t generation_ = 0;
    std::uint64_t offset_ = 0;
    std::uint64_t max_bytes_ = 0;
    // Runs along while this writer has seen the upload from its first byte.
    std::optional<DigestHasher> hasher_;
  };

  static Result<std::unique_ptr<UploadStore>> Open(std::filesystem::path directory, Limits limits);

  // Starts an upload into `repository`; its id is 32 hex digits. Durable on return.
  Result<std::string> Start(std::string_view repository);
  // The synced offset; kNotFound for an id that is not known or belongs to another repository.
  Result<std::uint64_t> Offset(std::string_view id, std::string_view repository);
  // Opens the upload for appending. kOutOfRange when `offset` is given and not the upload's;
  // the message has the right one.
  Result<Writer> Resume(std::string_view id, std::string_view repository,
                        std::optional<std::uint64_t> offset);
  // Verifies the whole against `digest`, moves it into `blobs` (durable) and ends the upload.
  // kInvalidArgument when the digest does not match: the upload is then gone.
  Status Finish(Writer writer, std::string_view id, const Digest& digest, BlobStore& blobs);
  // Ends the upload and drops its bytes; kNotFound as in Offset.
  Status Cancel(std::string_view id, std::string_view repository);

 private:
  UploadStore(std::filesystem::path directory, Limits limits);
  Result<std::filesystem::path> Find(std::string_view id, std::string_view repository) const;
  std::shared_ptr<Writer::Session> SessionOf(std::string_view id);
  Status Discard(std::string_view id);

  const std::filesystem::path directory_;
  const Limits limits_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Writer::Session>, std::less<>> sessions_;
};

}  // namespace skerry
