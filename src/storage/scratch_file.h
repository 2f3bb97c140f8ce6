// More than memory should hold: bytes that are written once, in order, and then read anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"

namespace skerry {

// A file without a name in a directory, gone with the object or the process. Not synced. One thread
// at a time. kResourceExhausted, naming the directory, on a full disk; kInternal when it fails.
class ScratchFile {
 public:
  static Result<ScratchFile> Create(const std::filesystem::path& directory);
  ScratchFile(ScratchFile&& other) noexcept
      : directory_(std::move(other.directory_)),
        fd_(std::exchange(other.fd_, -1)),
        bytes_(other.bytes_),
        buffer_(std::move(other.buffer_)) {}
  ScratchFile& operator=(ScratchFile&&) = delete;
  ~ScratchFile();

  Status Append(std::span<const std::byte> bytes);
  // Fills `out` from `offset` on; what was appended must reach that far.
  Status Read(std::uint64_t offset, std::span<std::byte> out);
  std::uint64_t bytes() const { return bytes_; }

 private:
  ScratchFile(std::filesystem::path directory, int fd)
      : directory_(std::move(directory)), fd_(fd) {}
  Status Flush();

  std::filesystem::path directory_;
  int fd_ = -1;
  std::uint64_t bytes_ = 0;
  std::vector<std::byte> buffer_{};  // appended and not yet written
};

}  // namespace skerry
