// A regular file that is read from any place, on a medium that is trusted for nothing: no link is
// followed, no pipe or device opened. Move-only; reading is thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "base/error.h"

namespace skerry {

class PlainFile {
 public:
  // kNotFound; kPermissionDenied for a link and anything else that is no regular file.
  static Result<PlainFile> Open(const std::filesystem::path& path);
  PlainFile(PlainFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  PlainFile& operator=(PlainFile&&) = delete;
  ~PlainFile();

  std::uint64_t size() const { return size_; }  // when it was opened
  // Into `buffer`; less than `bytes` only at the end. kDataLoss where the medium cannot be read.
  Result<std::size_t> ReadAt(std::uint64_t offset, char* buffer, std::size_t bytes) const;
  Result<std::string> ReadAt(std::uint64_t offset, std::size_t bytes) const;
  // The first offset from `offset` on that holds data: the holes of a sparse file are skipped.
  std::uint64_t NextData(std::uint64_t offset) const;

 private:
  PlainFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;
  std::uint64_t size_ = 0;
};

}  // namespace skerry
