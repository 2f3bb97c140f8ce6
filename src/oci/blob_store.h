// Content by digest. Where it stands is the storage's affair: files (file_blob_store.h) or a bucket
// of S3 (s3_blob_store.h).
// Owned by Registry (or used alone); thread-safe. Durability: what has been put is durable when the
// call returns, and a blob is either whole or absent. Content is shared by all repositories; who
// may see what is repository_store.h's business.
// Errors of all calls, beside those that are named: kUnavailable and kInternal of the storage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"

namespace skerry {

// A blob as a file of this machine, to be read and never written. It stays where it is while `held`
// lives.
struct LocalBlob {
  std::filesystem::path path{};
  std::shared_ptr<const void> held{};
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Its size, without reading it; kNotFound when absent.
  virtual Result<std::uint64_t> Size(const Digest& digest) const = 0;
  // kNotFound when absent.
  Status Has(const Digest& digest) const;
  // Of those that are here, together.
  virtual Result<std::uint64_t> BytesOf(std::span<const Digest> digests) const = 0;
  // Where the blob is, or would be, where blobs stand as files anyway.
  virtual std::optional<std::filesystem::path> FileOf(const Digest& digest) const = 0;
  // Fetched, where it does not stand as a file; its digest is verified on the way. kNotFound.
  virtual Result<LocalBlob> Local(const Digest& digest) = 0;
  // The content, its digest verified: kDataLoss when damaged, kTooLarge over `max_bytes`.
  virtual Result<std::string> Read(const Digest& digest, std::uint64_t max_bytes) = 0;
  // A part of the content, in pieces and not verified; `sink`'s error ends it.
  virtual Status ReadRange(const Digest& digest, std::uint64_t offset, std::uint64_t bytes,
                           const std::function<Status(std::string_view)>& sink) const = 0;
  // Reads all of it and compares: kDataLoss when damaged, kNotFound when absent.
  virtual Status Verify(const Digest& digest) = 0;

  // Stores bytes under their sha256. Present already is fine.
  Result<Digest> Put(std::string_view bytes);
  // Stores bytes under a given digest of either algorithm; kDataLoss when they do not match.
  virtual Status Put(std::string_view bytes, const Digest& digest) = 0;
  // Copies the content in (the source stays); kDataLoss when it does not have the digest. A blob
  // that is here whole is not written again.
  virtual Status PutBlob(const BlobSource& blob) = 0;
  // Everything that is here, in no order; stops at `each`'s error. What comes or goes meanwhile
  // may be among it or not.
  virtual Status ForEach(
      const std::function<Status(const Digest&, std::uint64_t bytes)>& each) const = 0;
  // Removes the content whoever may still point at it; absent is fine.
  virtual Status Remove(const Digest& digest) = 0;
};

}  // namespace skerry
