#include "oci/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace skerry {
namespace {

tl::unexpected<Error> SystemError(std::string_view doing, const std::filesystem::path& path) {
  const int error = errno;
  ErrorCode code = ErrorCode::kInternal;
  if (error == ENOENT) code = ErrorCode::kNotFound;
  if (error == EEXIST) code = ErrorCode::kAlreadyExists;
  if (error == EACCES || error == EPERM || error == ELOOP) code = ErrorCode::kPermissionDenied;
  if (error == ENOSPC || error == EDQUOT || error == EMFILE) code = ErrorCode::kResourceExhausted;
  return Fail(code, "{} {}: {}", doing, path.string(), std::strerror(error));
}

int FlagsOf(AppendFile::Mode mode) {
  switch (mode) {
    case AppendFile::Mode::kExisting: return 0;
    case AppendFile::Mode::kCreateNew: return O_CREAT | O_EXCL;
    case AppendFile::Mode::kCreateOrExisting: return O_CREAT;
  }
  return 0;
}

}  // namespace

Result<AppendFile> AppendFile::Open(const std::filesystem::path& path, Mode mode) {
  int fd = -1;
  do {
    fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | FlagsOf(mode), 0644);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return SystemError("opening", path);
  AppendFile file(path, fd, 0);
  struct stat facts{};
  if (fstat(fd, &facts) != 0) return SystemError("asking the size of", path);
  file.size_ = static_cast<std::uint64_t>(facts.st_size);
  return file;
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}
AppendFile::~AppendFile() {
  if (fd_ >= 0) close(fd_);
}

Status AppendFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("writing", path_);
    bytes.remove_prefix(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status AppendFile::Sync() {
  if (fdatasync(fd_) != 0) return SystemError("syncing", path_);
  return {};
}

}  // namespace skerry
