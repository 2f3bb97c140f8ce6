#include "oci/plain_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skerry {

Result<PlainFile> PlainFile::Open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a named pipe on hostile media must not hang.
  PlainFile file(path, open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat facts{};
  if (file.fd_ < 0 || fstat(file.fd_, &facts) != 0) {
    const int error = errno;
    const ErrorCode code = error == ENOENT   ? ErrorCode::kNotFound
                           : error == ELOOP  ? ErrorCode::kPermissionDenied
                           : error == EACCES ? ErrorCode::kPermissionDenied
                                             : ErrorCode::kInternal;
    return Fail(code, "opening {}: {}", path.string(), std::strerror(error));
  }
  if (!S_ISREG(facts.st_mode))
    return Fail(ErrorCode::kPermissionDenied, "{} is not a regular file", path.string());
  file.size_ = static_cast<std::uint64_t>(facts.st_size);
  return file;
}

PlainFile::~PlainFile() {
  if (fd_ >= 0) close(fd_);
}

Result<std::size_t> PlainFile::ReadAt(std::uint64_t offset, char* buffer, std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(fd_, buffer + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Fail(ErrorCode::kDataLoss, "reading {}: {}", path_.string(), std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::string> PlainFile::ReadAt(std::uint64_t offset, std::size_t bytes) const {
  std::string text(bytes, '\0');
  SKERRY_ASSIGN_OR_RETURN(const std::size_t done, ReadAt(offset, text.data(), bytes));
  text.resize(done);
  return text;
}

std::uint64_t PlainFile::NextData(std::uint64_t offset) const {
  const off_t next = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (next >= 0) return static_cast<std::uint64_t>(next);
  return errno == ENXIO ? size_ : offset;
}

}  // namespace skerry
