#include "storage/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace skerry {
namespace {

constexpr std::size_t kBuffered = std::size_t{1} << 20U;

Status Failed(const std::filesystem::path& directory, const char* doing) {
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return Fail(full ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
              "a scratch file in {} cannot be {}: {}{}", directory.string(), doing,
              std::strerror(error), full ? "; make room, or choose another directory" : "");
}

}  // namespace

Result<ScratchFile> ScratchFile::Create(const std::filesystem::path& directory) {
  int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {  // file systems without O_TMPFILE
    std::string name = (directory / ".scratch-XXXXXX").string();
    fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return Propagate(Failed(directory, "made"));
    unlink(name.c_str());
  }
  return ScratchFile(directory, fd);
}

ScratchFile::~ScratchFile() {
  if (fd_ >= 0) close(fd_);
}

Status ScratchFile::Append(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  bytes_ += bytes.size();
  return buffer_.size() < kBuffered ? Status() : Flush();
}

Status ScratchFile::Flush() {
  std::size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t got = write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed(directory_, "written");
    written += static_cast<std::size_t>(got);
  }
  buffer_.clear();
  return {};
}

Status ScratchFile::Read(std::uint64_t offset, std::span<std::byte> out) {
  if (!buffer_.empty()) SKERRY_RETURN_IF_ERROR(Flush());
  std::size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got =
        pread(fd_, out.data() + filled, out.size() - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EIO;
    if (got <= 0) return Failed(directory_, "read");
    filled += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace skerry
