// Content by digest, in files: <directory>/blobs/<algorithm>/<first two hex digits>/<hex>.
// Owned by Registry (or used alone); thread-safe; one process a directory. Durability: Put and
// Adopt have synced content and directory when they return, and a blob is either whole or absent,
// since files are written under a temporary name and renamed. Content is shared by all
// repositories; who may see what is repository_store.h's business.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"

namespace skerry {

class BlobStore {
 public:
  // Makes the directory if need be.
  static Result<BlobStore> Open(std::filesystem::path directory);

  // Whether the blob is here, without reading it.
  bool Has(const Digest& digest) const;
  // Its size; kNotFound when absent.
  Result<std::uint64_t> Size(const Digest& digest) const;
  // Where it is (or would be). Read it, never write it.
  std::filesystem::path PathOf(const Digest& digest) const;
  // The content, its digest verified: kDataLoss when damaged, kTooLarge over `max_bytes`.
  Result<std::string> Read(const Digest& digest, std::uint64_t max_bytes) const;
  // Reads all of it and compares: kDataLoss when damaged, kNotFound when absent.
  Status Verify(const Digest& digest) const;

  // Stores bytes under their sha256. Present already is fine.
  Result<Digest> Put(std::string_view bytes);
  // Stores bytes under a given digest of either algorithm; kDataLoss when they do not match.
  Status Put(std::string_view bytes, const Digest& digest);
  // Moves a finished file of the same file system in; the caller has verified that its digest is
  // `digest`. The file is gone afterwards also when the blob was here before.
  Status Adopt(const std::filesystem::path& file, const Digest& digest);
  // Copies the content in (the source stays); kDataLoss when it does not have the digest. A blob
  // that is here whole is not written again.
  Status PutBlob(const BlobSource& blob);
  // Everything that is here, in no order; stops at `each`'s error. What comes or goes meanwhile
  // may be among it or not.
  Status ForEach(const std::function<Status(const Digest&, std::uint64_t bytes)>& each) const;
  // Removes the content whoever may still point at it; absent is fine.
  Status Remove(const Digest& digest);

 private:
  explicit BlobStore(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path NewIncoming() const;

  std::filesystem::path directory_;
};

}  // namespace skerry
