#include "oci/digest_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace skerry {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> SizeDiffers(const Digest& digest, std::uint64_t want, std::uint64_t have) {
  return Fail(ErrorCode::kDataLoss, "blob {} has {} bytes where {} are due", digest.ToString(),
              have, want);
}
tl::unexpected<Error> ContentDiffers(const Digest& digest, const Digest& have) {
  return Fail(ErrorCode::kDataLoss, "blob {} is damaged: its content has the digest {}",
              digest.ToString(), have.ToString());
}

}  // namespace

Status ReadPieces(const std::filesystem::path& path, std::uint64_t offset,
                  const std::function<Status(std::string_view)>& sink) {
  // O_NONBLOCK: opening a named pipe on hostile media must not hang.
  const OpenFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat facts{};
  if (file.get() < 0 || fstat(file.get(), &facts) != 0) {
    const int error = errno;
    const ErrorCode code = error == ENOENT   ? ErrorCode::kNotFound
                           : error == ELOOP  ? ErrorCode::kPermissionDenied
                           : error == EACCES ? ErrorCode::kPermissionDenied
                                             : ErrorCode::kInternal;
    return Fail(code, "opening {}: {}", path.string(), std::strerror(error));
  }
  if (!S_ISREG(facts.st_mode))
    return Fail(ErrorCode::kPermissionDenied, "{} is not a regular file", path.string());
  std::vector<char> buffer(kPieceBytes);
  while (true) {
    const ssize_t got = pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Fail(ErrorCode::kDataLoss, "reading {}: {}", path.string(), std::strerror(errno));
    if (got == 0) return {};
    SKERRY_RETURN_IF_ERROR(sink(std::string_view(buffer.data(), static_cast<std::size_t>(got))));
    offset += static_cast<std::uint64_t>(got);
  }
}

Result<FileDigest> DigestFile(const std::filesystem::path& path, std::string_view algorithm) {
  DigestHasher hasher(algorithm);
  std::uint64_t size = 0;
  SKERRY_RETURN_IF_ERROR(ReadPieces(path, 0, [&](std::string_view piece) -> Status {
    hasher.Update(piece);
    size += piece.size();
    return {};
  }));
  return FileDigest{hasher.Finish(), size};
}

Status VerifyFile(const std::filesystem::path& path, const Digest& digest, std::uint64_t size) {
  SKERRY_ASSIGN_OR_RETURN(const FileDigest have, DigestFile(path, digest.algorithm()));
  if (have.size != size) return SizeDiffers(digest, size, have.size);
  if (have.digest != digest) return ContentDiffers(digest, have.digest);
  return {};
}

Status VerifyBytes(std::string_view bytes, const Digest& digest, std::uint64_t size) {
  if (bytes.size() != size) return SizeDiffers(digest, size, bytes.size());
  const Digest have = DigestOf(bytes, digest.algorithm());
  if (have != digest) return ContentDiffers(digest, have);
  return {};
}

Digest DigestOf(std::string_view bytes, std::string_view algorithm) {
  DigestHasher hasher(algorithm);
  hasher.Update(bytes);
  return hasher.Finish();
}

}  // namespace skerry
