#include "oci/digest_file.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "oci/plain_file.h"

namespace skerry {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

constexpr std::uint64_t kWholeFile = std::numeric_limits<std::uint64_t>::max();

// How many bytes there were, at most `bytes`.
Result<std::uint64_t> ReadFrom(const PlainFile& file, std::uint64_t offset, std::uint64_t bytes,
                               const std::function<Status(std::string_view)>& sink) {
  std::vector<char> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, bytes)));
  std::uint64_t done = 0;
  while (done < bytes) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - done));
    SKERRY_ASSIGN_OR_RETURN(const std::size_t got, file.ReadAt(offset + done, buffer.data(), want));
    if (got == 0) break;
    SKERRY_RETURN_IF_ERROR(sink(std::string_view(buffer.data(), got)));
    done += got;
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
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::uint64_t read,
                          ReadFrom(file, offset, kWholeFile, sink));
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
    std::uint64_t read = 0;
    if (extent.sealed) {
      SKERRY_RETURN_IF_ERROR(
          extent.sealed->Read(extent.offset, extent.bytes, [&](std::string_view piece) {
            read += piece.size();
            return sink(piece);
          }));
    } else {
      SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(extent.file));
      SKERRY_ASSIGN_OR_RETURN(read, ReadFrom(file, extent.offset, extent.bytes, sink));
    }
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
