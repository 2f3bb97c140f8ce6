// Digests of files in either algorithm, and the comparison that every reader does. Pure; reads in
// bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/age_file.h"

namespace skerry {

struct FileDigest {
  Digest digest;
  std::uint64_t size = 0;
};
// kNotFound; kPermissionDenied for a symbolic link or anything that is no regular file.
Result<FileDigest> DigestFile(const std::filesystem::path& path, std::string_view algorithm);

// Calls `sink` with the file's bytes from `offset` on, in pieces; the same errors.
Status ReadPieces(const std::filesystem::path& path, std::uint64_t offset,
                  const std::function<Status(std::string_view)>& sink);

// A run of bytes of a file: content that stands in an archive, or in several files one after the
// other. Of a sealed file it is a run of the plain text.
struct Extent {
  std::filesystem::path file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::shared_ptr<const AgeFile> sealed{};
};
using Extents = std::vector<Extent>;
std::uint64_t BytesOf(std::span<const Extent> extents);
// All bytes of the extents, in their order; kDataLoss when a file ends before its extent does, and
// the errors of ReadPieces.
Status ReadExtents(std::span<const Extent> extents,
                   const std::function<Status(std::string_view)>& sink);

// kDataLoss names the digest and what differs (size or content).
Status VerifyExtents(std::span<const Extent> extents, const Digest& digest, std::uint64_t size);
Status VerifyFile(const std::filesystem::path& path, const Digest& digest, std::uint64_t size);
Status VerifyBytes(std::string_view bytes, const Digest& digest, std::uint64_t size);

// Of bytes in memory.
Digest DigestOf(std::string_view bytes, std::string_view algorithm);

}  // namespace skerry
