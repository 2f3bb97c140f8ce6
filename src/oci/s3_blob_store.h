// Content by digest in a bucket of S3: <prefix>/blobs/<algorithm>/<first two hex digits>/<hex>, the
// names that files have. An object appears whole. What is read here as a file, and what is small,
// is kept in a cache on this machine (blob_cache.h).
// Owned by Registry; thread-safe. Uses <scratch>/incoming for what is copied in.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "oci/blob_cache.h"
#include "oci/blob_store.h"
#include "s3/bucket.h"

namespace skerry {

class S3BlobStore final : public BlobStore {
 public:
  static Result<std::unique_ptr<S3BlobStore>> Open(S3Bucket& bucket, std::filesystem::path scratch,
                                                   std::uint64_t cache_bytes);

  using BlobStore::Put;
  Result<std::uint64_t> Size(const Digest& digest) const override;
  // Few are asked for one by one, many by listing all blobs, what has once been seen not again.
  Result<std::uint64_t> BytesOf(std::span<const Digest> digests) const override;
  std::optional<std::filesystem::path> FileOf(const Digest&) const override { return std::nullopt; }
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

 private:
  S3BlobStore(S3Bucket& bucket, std::filesystem::path scratch, std::unique_ptr<BlobCache> cache)
      : bucket_(&bucket), scratch_(std::move(scratch)), cache_(std::move(cache)) {}
  Status Fetch(const Digest& digest, const std::filesystem::path& file) const;
  Status PutInParts(const BlobSource& blob, const std::filesystem::path& directory);
  void NoteSize(const Digest& digest, std::uint64_t bytes) const;

  S3Bucket* const bucket_;
  const std::filesystem::path scratch_;
  const std::unique_ptr<BlobCache> cache_;
  mutable std::mutex mutex_;  // guards sizes_
  mutable std::map<Digest, std::uint64_t> sizes_;
};

}  // namespace skerry
