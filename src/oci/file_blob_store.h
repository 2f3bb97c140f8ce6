// Content by digest, in files: <directory>/blobs/<algorithm>/<first two hex digits>/<hex>.
// One process a directory. A blob is either whole or absent, since files are written under a
// temporary name, synced and renamed.
#pragma once

#include "oci/blob_store.h"

namespace skerry {

class FileBlobStore final : public BlobStore {
 public:
  // Makes the directory if need be.
  static Result<FileBlobStore> Open(std::filesystem::path directory);

  using BlobStore::Put;
  Result<std::uint64_t> Size(const Digest& digest) const override;
  Result<std::uint64_t> BytesOf(std::span<const Digest> digests) const override;
  std::optional<std::filesystem::path> FileOf(const Digest& digest) const override {
    return PathOf(digest);
  }
  Result<LocalBlob> Local(const Digest& digest) override;
  Result<std::string> Read(const Digest& digest, std::uint64_t max_bytes) override;
  Status ReadRange(const Digest& digest, std::uint64_t offset, std::uint64_t bytes,
                   const std::function<Status(std::string_view)>& sink) const override;
  Status Verify(const Digest& digest) override;
  Status Put(std::string_view bytes, const Digest& digest) override;
  Status PutBlob(const BlobSource& blob) override;
  Status ForEach(
      const std::function<Status(const Digest&, std::uint64_t bytes)>& each) const override;
  Status Remove(const Digest& digest) override;

  std::filesystem::path PathOf(const Digest& digest) const;
  // Moves a finished file of the same file system in; the caller has verified that its digest is
  // `digest`. The file is gone afterwards also when the blob was here before.
  Status Adopt(const std::filesystem::path& file, const Digest& digest);

 private:
  explicit FileBlobStore(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path NewIncoming() const;

  std::filesystem::path directory_;
};

}  // namespace skerry
