// Where the bytes of uploads are kept until they are a blob (upload_store.h): in files
// (file_uploads.h), or in parts of an object of S3 (s3_uploads.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

// One upload, open for appending. Calls come one at a time; it may outlive the upload.
class UploadBytes {
 public:
  virtual ~UploadBytes() = default;
  // Survives the process on return.
  virtual Status Write(std::string_view bytes) = 0;
  // Durable on return.
  virtual Status Sync() = 0;
  virtual std::uint64_t size() const = 0;
};

// `upload` is the directory of one; its file `data` is written whenever bytes have come, so that
// its time tells when somebody went on with the upload. Calls for one upload come one at a time.
class UploadMedium {
 public:
  virtual ~UploadMedium() = default;
  // An empty upload; durable.
  virtual Status Make(const std::filesystem::path& upload) = 0;
  virtual Result<std::unique_ptr<UploadBytes>> Open(const std::filesystem::path& upload) = 0;
  // Its bytes, all of them durable on return. kNotFound.
  virtual Result<std::uint64_t> SyncedSize(const std::filesystem::path& upload) = 0;
  // Of all bytes; may make it impossible to append more.
  virtual Result<Digest> DigestOf(const std::filesystem::path& upload, UploadBytes& bytes,
                                  std::string_view algorithm) = 0;
  // Makes all bytes the blob `digest`, which the caller has verified; durable. Once more is fine:
  // the process may have ended in between.
  virtual Status Publish(const std::filesystem::path& upload, UploadBytes& bytes,
                         const Digest& digest) = 0;
  // Drops what it keeps elsewhere, as far as it can; the caller removes the directory.
  virtual void Drop(const std::filesystem::path& upload) = 0;
  // Removes what is kept elsewhere for longer than `age` of uploads that have no directory below
  // `uploads`; how many.
  virtual Result<std::uint64_t> Sweep(const std::filesystem::path& uploads,
                                      std::chrono::seconds age) = 0;
};

}  // namespace skerry
