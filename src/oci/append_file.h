// A file that is written from its end on: uploads, downloads under way, copies. The bytes are in
// the page cache after Write (they survive the process) and durable after Sync. Owned by whoever
// writes; not thread-safe. Errors: kResourceExhausted on a full disk, kNotFound, kInternal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/error.h"

namespace skerry {

class AppendFile {
 public:
  enum class Mode { kExisting, kCreateNew, kCreateOrExisting };
  static Result<AppendFile> Open(const std::filesystem::path& path, Mode mode);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  Status Write(std::string_view bytes);
  Status Sync();
  // Bytes in the file.
  std::uint64_t size() const { return size_; }

 private:
  AppendFile(std::filesystem::path path, int fd, std::uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}

  std::filesystem::path path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace skerry
