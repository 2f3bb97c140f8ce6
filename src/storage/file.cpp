#include "storage/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/ids.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

// An owned file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

ErrorCode CodeOfErrno(int error) {
  switch (error) {
    case ENOENT: return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return ErrorCode::kResourceExhausted;
    default: return ErrorCode::kInternal;
  }
}

tl::unexpected<Error> SystemError(std::string_view doing, const fs::path& path) {
  const int error = errno;
  return Fail(CodeOfErrno(error), "{} {}: {}", doing, path.string(), std::strerror(error));
}

int OpenRetrying(const fs::path& path, int flags, unsigned mode = 0) {
  int fd = -1;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Status WriteAll(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("writing", path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

fs::path ParentOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Status SyncAt(const fs::path& path, int flags) {
  const Descriptor file(OpenRetrying(path, flags));
  if (!file.is_open()) return SystemError("opening", path);
  // Never retried: after a failed fsync the kernel may have dropped the pages (fsyncgate 2018).
  if (fsync(file.get()) != 0) return SystemError("syncing", path);
  return {};
}

Status WriteNew(const fs::path& path, std::string_view bytes, unsigned mode) {
  const Descriptor file(OpenRetrying(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  if (!file.is_open()) return SystemError("creating", path);
  // open(2) subtracts the umask; the caller's mode is meant exactly.
  if (fchmod(file.get(), mode) != 0) return SystemError("setting the mode of", path);
  SKERRY_RETURN_IF_ERROR(WriteAll(file.get(), bytes, path));
  if (fsync(file.get()) != 0) return SystemError("syncing", path);
  return {};
}

// A rename there would put a file in the place of a device, or of the link that leads to one.
Status CheckReplaceable(const fs::path& path) {
  struct stat facts{};
  const fs::path parent = ParentOf(path);
  const bool of_devices = parent == "/dev" || parent == "/dev/fd" || parent == "/proc/self/fd";
  if (!of_devices && (stat(path.c_str(), &facts) != 0 || S_ISREG(facts.st_mode))) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is no regular file; name one to be written",
              path.string());
}

}  // namespace

Status CheckPrivateFile(const fs::path& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) return SystemError("looking at", path);
  // A secret that Kubernetes mounts is root's, and readable to the group of the pod's own user.
  const bool mounted = facts.st_uid == 0 && geteuid() != 0 && facts.st_gid == getegid();
  if ((facts.st_mode & (mounted ? 037U : 077U)) == 0) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "{} holds a secret and is open to other users (mode {:04o}); run: chmod 600 {}",
              path.string(), facts.st_mode & 0777U, path.string());
}

Result<std::string> ReadFile(const fs::path& path, std::uint64_t max_bytes) {
  const Descriptor file(OpenRetrying(path, O_RDONLY));
  if (!file.is_open()) return SystemError("opening", path);
  std::string bytes;
  char buffer[1U << 16U];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("reading", path);
    if (got == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(got));
    if (bytes.size() > max_bytes)
      return Fail(ErrorCode::kTooLarge, "{} is larger than the limit of {} bytes", path.string(),
                  max_bytes);
  }
}

Status WriteFileDurably(const fs::path& path, std::string_view bytes, unsigned mode) {
  SKERRY_RETURN_IF_ERROR(CheckReplaceable(path));
  const fs::path temporary =
      ParentOf(path) / fmt::format(".{}.{}.tmp", path.filename().string(), RandomHex(6));
  Status status = WriteNew(temporary, bytes, mode);
  if (status && rename(temporary.c_str(), path.c_str()) != 0)
    status = SystemError("renaming to", path);
  if (!status) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(ParentOf(path));
}

Status PublishFileDurably(const fs::path& written, const fs::path& target) {
  SKERRY_RETURN_IF_ERROR(SyncFile(written));
  if (rename(written.c_str(), target.c_str()) != 0) return SystemError("renaming to", target);
  return SyncDirectory(ParentOf(target));
}

Status SyncFile(const fs::path& path) { return SyncAt(path, O_RDONLY); }
Status SyncDirectory(const fs::path& path) { return SyncAt(path, O_RDONLY | O_DIRECTORY); }

Status CreateDirectories(const fs::path& path, unsigned mode) {
  if (mkdir(path.c_str(), mode) == 0) return SyncDirectory(ParentOf(path));
  const int error = errno;
  struct stat facts{};
  if (error == EEXIST && stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) return {};
  errno = error;
  if (error != ENOENT || !path.has_parent_path() || path.parent_path() == path)
    return SystemError("creating the directory", path);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(path.parent_path(), mode));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return SystemError("creating the directory", path);
  return SyncDirectory(ParentOf(path));
}

Status RemoveFile(const fs::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return SystemError("removing", path);
  return {};
}

Result<FileState> ReadFileState(const fs::path& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) return SystemError("looking at", path);
  return FileState{.bytes = static_cast<std::uint64_t>(facts.st_size),
                   .device = facts.st_dev,
                   .inode = facts.st_ino,
                   .modified_s = facts.st_mtim.tv_sec,
                   .modified_ns = facts.st_mtim.tv_nsec};
}

Result<std::uint64_t> FreeBytes(const fs::path& directory) {
  struct statvfs facts{};
  if (statvfs(directory.c_str(), &facts) != 0) return SystemError("asking the size of", directory);
  return std::uint64_t{facts.f_bavail} * facts.f_frsize;
}

Result<TemporaryDirectory> TemporaryDirectory::Create(std::string_view prefix,
                                                      const fs::path& parent) {
  std::error_code error;
  const fs::path base = parent.empty() ? fs::temp_directory_path(error) : parent;
  const fs::path path = base / fmt::format("{}-{}", prefix, RandomHex(8));
  if (mkdir(path.c_str(), 0700) != 0) return SystemError("creating the directory", path);
  return TemporaryDirectory(path);
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}
TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // best effort: the system cleans its temporary directory too
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Result<DirectoryLock> DirectoryLock::Acquire(const fs::path& directory) {
  const fs::path path = directory / "lock";
  Descriptor file(OpenRetrying(path, O_RDWR | O_CREAT, 0600));
  if (!file.is_open()) return SystemError("opening", path);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    const auto holder = ReadFile(path, 64);
    return Fail(ErrorCode::kFailedPrecondition,
                "{} is in use by process {}; stop that process or choose another directory",
                directory.string(), holder && !holder->empty() ? *holder : "(unknown)");
  }
  if (ftruncate(file.get(), 0) != 0) return SystemError("writing", path);
  SKERRY_RETURN_IF_ERROR(WriteAll(file.get(), std::to_string(getpid()), path));
  return DirectoryLock(file.Release());
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace skerry
