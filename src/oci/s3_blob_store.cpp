#include "oci/s3_blob_store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "oci/registry_limits.h"
#include "oci/s3_upload.h"
#include "s3/store_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlobs = "blobs/";

tl::unexpected<Error> NoBlob(const Digest& digest) {
  return Fail(ErrorCode::kNotFound, "there is no blob {}", digest.ToString());
}

// blobs/<algorithm>/<two digits>/<hex>
Result<Digest> DigestOfKey(std::string_view key) {
  key.remove_prefix(std::min(key.size(), kBlobs.size()));
  const std::size_t slash = key.find('/');
  const std::size_t last = key.rfind('/');
  if (slash == std::string_view::npos || last == slash)
    return Fail(ErrorCode::kInvalidArgument, "no key of a blob");
  return Digest::Parse(fmt::format("{}:{}", key.substr(0, slash), key.substr(last + 1)));
}

}  // namespace

Result<std::unique_ptr<S3BlobStore>> S3BlobStore::Open(S3Bucket& bucket, fs::path scratch,
                                                       std::uint64_t cache_bytes) {
  // What a killed process was copying in has no name that anything refers to.
  std::error_code ignored;
  fs::remove_all(scratch / "incoming", ignored);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(scratch / "incoming"));
  SKERRY_ASSIGN_OR_RETURN(auto cache, BlobCache::Open(scratch / "cache", cache_bytes));
  return std::unique_ptr<S3BlobStore>(
      new S3BlobStore(bucket, std::move(scratch), std::move(cache)));
}

void S3BlobStore::NoteSize(const Digest& digest, std::uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  if (sizes_.size() >= limits::kKnownBlobSizes) sizes_.clear();
  sizes_[digest] = bytes;
}

Result<std::uint64_t> S3BlobStore::Size(const Digest& digest) const {
  const auto found = bucket_->Find(BlobKey(digest));
  if (!found && found.error().code() == ErrorCode::kNotFound) return NoBlob(digest);
  if (!found) return tl::make_unexpected(found.error());
  NoteSize(digest, found->bytes);
  return found->bytes;
}

Result<std::uint64_t> S3BlobStore::BytesOf(std::span<const Digest> digests) const {
  std::uint64_t bytes = 0;
  std::vector<Digest> unknown;
  {
    const std::lock_guard lock(mutex_);
    for (const Digest& digest : digests) {
      const auto known = sizes_.find(digest);
      if (known == sizes_.end())
        unknown.push_back(digest);
      else
        bytes += known->second;
    }
  }
  if (unknown.size() <= limits::kBlobSizesAsked) {
    for (const Digest& digest : unknown) {
      const auto size = Size(digest);
      if (!size && size.error().code() != ErrorCode::kNotFound)
        return tl::make_unexpected(size.error());
      bytes += size.value_or(0);
    }
    return bytes;
  }
  std::ranges::sort(unknown);
  SKERRY_RETURN_IF_ERROR(ForEach([&](const Digest& digest, std::uint64_t size) -> Status {
    if (!std::ranges::binary_search(unknown, digest)) return {};
    NoteSize(digest, size);
    bytes += size;
    return {};
  }));
  return bytes;
}

Status S3BlobStore::Fetch(const Digest& digest, const fs::path& path) const {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t size, Size(digest));
  SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path, AppendFile::Mode::kCreateNew));
  DigestHasher hasher(digest.algorithm());
  SKERRY_RETURN_IF_ERROR(ReadRange(digest, 0, size, [&](std::string_view piece) {
    hasher.Update(piece);
    return file.Write(piece);
  }));
  const Digest have = hasher.Finish();
  if (have != digest)
    return Fail(ErrorCode::kDataLoss, "blob {} is damaged: its content has the digest {}",
                digest.ToString(), have.ToString());
  return {};
}

Result<LocalBlob> S3BlobStore::Local(const Digest& digest) {
  return cache_->Get(digest, [&](const fs::path& file) { return Fetch(digest, file); });
}

Result<std::string> S3BlobStore::Read(const Digest& digest, std::uint64_t max_bytes) {
  if (const auto here = cache_->Find(digest)) {
    auto bytes = ReadFile(here->path, max_bytes);
    if (!bytes && bytes.error().code() == ErrorCode::kTooLarge) return bytes;
    if (bytes && VerifyBytes(*bytes, digest, bytes->size())) return bytes;
    cache_->Forget(digest);
  }
  auto bytes = bucket_->Read(BlobKey(digest), max_bytes);
  if (!bytes && bytes.error().code() == ErrorCode::kNotFound) return NoBlob(digest);
  if (!bytes) return bytes;
  SKERRY_RETURN_IF_ERROR(VerifyBytes(*bytes, digest, bytes->size()));
  if (bytes->size() <= limits::kManifestBytes) SKERRY_RETURN_IF_ERROR(cache_->Put(digest, *bytes));
  return bytes;
}

Status S3BlobStore::ReadRange(const Digest& digest, std::uint64_t offset, std::uint64_t bytes,
                              const std::function<Status(std::string_view)>& sink) const {
  return bucket_->ReadRange(BlobKey(digest), offset, bytes, sink);
}

// Read from there again, and left here for whoever asks next.
Status S3BlobStore::Verify(const Digest& digest) {
  cache_->Forget(digest);
  SKERRY_RETURN_IF_ERROR(Local(digest));
  return {};
}

Status S3BlobStore::Put(std::string_view bytes, const Digest& digest) {
  SKERRY_RETURN_IF_ERROR(VerifyBytes(bytes, digest, bytes.size()));
  SKERRY_RETURN_IF_ERROR(bucket_->Put(BlobKey(digest), bytes));
  return {};
}

Status S3BlobStore::PutInParts(const BlobSource& blob, const fs::path& directory) {
  const Digest& digest = blob.descriptor.digest;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  SKERRY_RETURN_IF_ERROR(S3Upload::Make(directory));
  S3Upload upload(*bucket_, directory);
  SKERRY_RETURN_IF_ERROR(upload.Load());
  DigestHasher hasher(digest.algorithm());
  Status done = blob.ReadPieces([&](std::string_view piece) {
    hasher.Update(piece);
    return upload.Write(piece);
  });
  if (done) {
    const Digest have = hasher.Finish();
    done = have == digest
               ? upload.Publish(digest)
               : Fail(ErrorCode::kDataLoss, "blob {} is damaged: its content has the digest {}",
                      digest.ToString(), have.ToString());
  }
  upload.Drop();
  return done;
}

Status S3BlobStore::PutBlob(const BlobSource& blob) {
  const Digest& digest = blob.descriptor.digest;
  if (const auto* bytes = std::get_if<std::string>(&blob.content)) return Put(*bytes, digest);
  const auto size = Size(digest);
  if (size && *size == blob.descriptor.size) return {};
  if (!size && size.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(size.error());
  const fs::path directory = scratch_ / "incoming" / RandomHex(16);
  Status done = PutInParts(blob, directory);
  std::error_code ignored;  // goes when the store opens again
  fs::remove_all(directory, ignored);
  return done;
}

Status S3BlobStore::ForEach(
    const std::function<Status(const Digest&, std::uint64_t bytes)>& each) const {
  return bucket_->List(std::string(kBlobs), [&](const S3Found& found) -> Status {
    const auto digest = DigestOfKey(found.key);
    return digest ? each(*digest, found.bytes) : Status();
  });
}

Status S3BlobStore::Remove(const Digest& digest) {
  SKERRY_RETURN_IF_ERROR(bucket_->Remove(BlobKey(digest)));
  cache_->Forget(digest);
  const std::lock_guard lock(mutex_);
  sizes_.erase(digest);
  return {};
}

}  // namespace skerry
