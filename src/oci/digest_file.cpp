#include "oci/digest_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace skerry {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

constexpr std::uint64_t kWholeFile = std::numeric_limits<std::uint64_t>::max();

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  OpenFile(OpenFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<OpenFile> OpenPlain(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a named pipe on hostile media must not hang.
  OpenFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
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
  return file;
}

// How many bytes there were, at most `bytes`.
Result<std::uint64_t> ReadFrom(const OpenFile& file, const std::filesystem::path& path,
                               std::uint64_t offset, std::uint64_t bytes,
                               const std::function<Status(std::string_view)>& sink) {
  std::vector<char> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, bytes)));
  std::uint64_t done = 0;
  while (done < bytes) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - done));
    const ssize_t got = pread(file.get(), buffer.data(), want, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Fail(ErrorCode::kDataLoss, "reading {}: {}", path.string(), std::strerror(errno));
    if (got == 0) break;
    SKERRY_RETURN_IF_ERROR(sink(std::string_view(buffer.data(), static_cast<std::size_t>(got))));
    done += static_cast<std::uint64_t>(got);
  }
  return done;
}

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
  SKERRY_ASSIGN_OR_RETURN(const OpenFile file, OpenPlain(path));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::uint64_t read,
                          ReadFrom(file, path, offset, kWholeFile, sink));
  return {};
}

std::uint64_t BytesOf(std::span<const Extent> extents) {
  std::uint64_t bytes = 0;
  for (const Extent& extent : extents) bytes += extent.bytes;
  return bytes;
}

Status ReadExtents(std::span<const Extent> extents,
                   const std::function<Status(std::string_view)>& sink) {
  for (const Extent& extent : extents) {
    SKERRY_ASSIGN_OR_RETURN(const OpenFile file, OpenPlain(extent.file));
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t read,
                            ReadFrom(file, extent.file, extent.offset, extent.bytes, sink));
    if (read != extent.bytes)
      return Fail(ErrorCode::kDataLoss, "{} ends {} bytes too soon", extent.file.string(),
                  extent.bytes - read);
  }
  return {};
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

Status VerifyExtents(std::span<const Extent> extents, const Digest& digest, std::uint64_t size) {
  const std::uint64_t there = BytesOf(extents);
  if (there != size) return SizeDiffers(digest, size, there);
  DigestHasher hasher(digest.algorithm());
  SKERRY_RETURN_IF_ERROR(ReadExtents(extents, [&](std::string_view piece) -> Status {
    hasher.Update(piece);
    return {};
  }));
  const Digest have = hasher.Finish();
  if (have != digest) return ContentDiffers(digest, have);
  return {};
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
