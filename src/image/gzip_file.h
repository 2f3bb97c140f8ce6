// A file that is written through gzip (RFC 1952): the same bytes for the same content, with no time
// and no name in its head. The one adapter of zlib for files; http has one for bodies. Owned by
// whoever writes; not thread-safe. Errors: kResourceExhausted on a full disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

class GzipFile {
 public:
  // kAlreadyExists where the file is there.
  static Result<GzipFile> Create(const std::filesystem::path& path);
  GzipFile(GzipFile&&) noexcept;
  GzipFile& operator=(GzipFile&&) = delete;
  ~GzipFile();

  Status Write(std::string_view bytes);
  // Ends the stream; nothing may be written after it.
  Status Finish();

  // After Finish: of the bytes that were written, and of the file.
  struct Digests {
    Digest content, file;
    std::uint64_t file_bytes = 0;
  };
  const Digests& digests() const;

 private:
  struct Impl;
  explicit GzipFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
