// Files that are encrypted to one receiver (crypto/age.h), as archives of a sealed bundle are: read
// from any place, and written from the end on with the last bytes taken back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/age.h"
#include "oci/append_file.h"
#include "oci/plain_file.h"

namespace skerry {

// Immutable; thread-safe. Every chunk was compared with its tag before a byte of it is given out.
class AgeFile {
 public:
  // kNotFound; kPermissionDenied for a link, a device, or a file for another receiver; kDataLoss.
  static Result<std::shared_ptr<const AgeFile>> Open(const std::filesystem::path& path,
                                                     const AgeIdentity& identity);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // of the plain text
  // Calls `sink` with bytes [offset, offset + bytes), in pieces, as far as the file goes. kDataLoss
  // names a chunk that is damaged or cut; what stands behind it can be read all the same.
  Status Read(std::uint64_t offset, std::uint64_t bytes,
              const std::function<Status(std::string_view)>& sink) const;

 private:
  AgeFile(std::filesystem::path path, const AgeHead& head, std::uint64_t file_bytes);
  Result<std::string> Chunk(const PlainFile& file, std::uint64_t number) const;

  std::filesystem::path path_;
  AgeChunks chunks_;
  std::uint64_t head_bytes_;
  std::uint64_t sealed_bytes_;  // behind the head
  std::uint64_t size_;
};

// Not thread-safe. What is written is whole only after Close.
class AgeAppendFile {
 public:
  // Makes the file: kAlreadyExists when it is there; the errors of BeginAge.
  static Result<AgeAppendFile> Create(const std::filesystem::path& path,
                                      const AgeRecipient& recipient);

  Status Write(std::string_view bytes);
  // Takes back what was written behind the first `size` bytes.
  Status CutTo(std::uint64_t size);
  // Writes the last chunk; nothing may be written any more. Not synced.
  Status Close();
  Status Sync() { return file_.Sync(); }
  std::uint64_t size() const { return number_ * kAgeChunkBytes + waiting_.size(); }  // plain

 private:
  AgeAppendFile(std::filesystem::path path, AppendFile file, AgeHead head)
      : path_(std::move(path)), file_(std::move(file)), head_(std::move(head)) {}

  std::filesystem::path path_;
  AppendFile file_;
  AgeHead head_;
  std::uint64_t number_ = 0;  // of the chunk that is waiting
  std::string waiting_;       // at most kAgeChunkBytes; whether it is the last is not known yet
};

}  // namespace skerry
