#include "oci/file_blob_store.h"

#include "base/ids.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "storage/file.h"

namespace skerry {

namespace fs = std::filesystem;

Result<FileBlobStore> FileBlobStore::Open(fs::path directory) {
  FileBlobStore store(std::move(directory));
  // What a killed process was writing has no name that anything refers to.
  std::error_code ignored;
  fs::remove_all(store.directory_ / "incoming", ignored);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store.directory_ / "incoming"));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store.directory_ / "blobs"));
  return store;
}

fs::path FileBlobStore::PathOf(const Digest& digest) const {
  return directory_ / "blobs" / digest.algorithm() / digest.hex().substr(0, 2) / digest.hex();
}

Result<std::uint64_t> FileBlobStore::Size(const Digest& digest) const {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(PathOf(digest), error);
  if (error) return Fail(ErrorCode::kNotFound, "there is no blob {}", digest.ToString());
  return size;
}

Result<std::uint64_t> FileBlobStore::BytesOf(std::span<const Digest> digests) const {
  std::uint64_t bytes = 0;
  for (const Digest& digest : digests) bytes += Size(digest).value_or(0);
  return bytes;
}

Result<LocalBlob> FileBlobStore::Local(const Digest& digest) {
  SKERRY_RETURN_IF_ERROR(Size(digest));
  return LocalBlob{PathOf(digest), nullptr};
}

Result<std::string> FileBlobStore::Read(const Digest& digest, std::uint64_t max_bytes) {
  SKERRY_RETURN_IF_ERROR(Size(digest));
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, ReadFile(PathOf(digest), max_bytes));
  SKERRY_RETURN_IF_ERROR(VerifyBytes(bytes, digest, bytes.size()));
  return bytes;
}

Status FileBlobStore::ReadRange(const Digest& digest, std::uint64_t offset, std::uint64_t bytes,
                                const std::function<Status(std::string_view)>& sink) const {
  SKERRY_RETURN_IF_ERROR(Size(digest));
  const Extent part{PathOf(digest), offset, bytes, nullptr};
  return ReadExtents({&part, 1}, sink);
}

Status FileBlobStore::Verify(const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t size, Size(digest));
  return VerifyFile(PathOf(digest), digest, size);
}

fs::path FileBlobStore::NewIncoming() const { return directory_ / "incoming" / RandomHex(16); }

Status FileBlobStore::Put(std::string_view bytes, const Digest& digest) {
  SKERRY_RETURN_IF_ERROR(VerifyBytes(bytes, digest, bytes.size()));
  // Absent or damaged: written (again). Present: whoever put it there may not have come to syncing.
  if (Verify(digest)) return SyncDirectory(PathOf(digest).parent_path());
  const fs::path incoming = NewIncoming();
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(incoming, AppendFile::Mode::kCreateNew));
  SKERRY_RETURN_IF_ERROR(file.Write(bytes));
  return Adopt(incoming, digest);
}

Status FileBlobStore::Adopt(const fs::path& file, const Digest& digest) {
  const fs::path target = PathOf(digest);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
  return PublishFileDurably(file, target);
}

Status FileBlobStore::PutBlob(const BlobSource& blob) {
  const Digest& digest = blob.descriptor.digest;
  if (const auto* bytes = std::get_if<std::string>(&blob.content)) return Put(*bytes, digest);
  if (Verify(digest)) return SyncDirectory(PathOf(digest).parent_path());
  const fs::path incoming = NewIncoming();
  SKERRY_ASSIGN_OR_RETURN(AppendFile copy,
                          AppendFile::Open(incoming, AppendFile::Mode::kCreateNew));
  DigestHasher hasher(digest.algorithm());
  Status status = blob.ReadPieces([&](std::string_view piece) {
    hasher.Update(piece);
    return copy.Write(piece);
  });
  if (status) {
    const Digest have = hasher.Finish();
    if (have != digest)
      status = Fail(ErrorCode::kDataLoss, "blob {} is damaged: its content has the digest {}",
                    digest.ToString(), have.ToString());
  }
  if (!status) {
    std::error_code ignored;
    fs::remove(incoming, ignored);
    return status;
  }
  return Adopt(incoming, digest);
}

Status FileBlobStore::ForEach(
    const std::function<Status(const Digest&, std::uint64_t bytes)>& each) const {
  std::error_code error;
  fs::recursive_directory_iterator walk(directory_ / "blobs", error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    if (walk.depth() != 2) continue;  // <algorithm>/<two digits>/<hex>
    const fs::path& path = walk->path();
    const auto digest = Digest::Parse(fmt::format(
        "{}:{}", path.parent_path().parent_path().filename().string(), path.filename().string()));
    std::error_code gone;
    const std::uintmax_t bytes = fs::file_size(path, gone);
    if (digest && !gone) SKERRY_RETURN_IF_ERROR(each(*digest, bytes));
  }
  if (error) return Fail(ErrorCode::kInternal, "listing blobs: {}", error.message());
  return {};
}

Status FileBlobStore::Remove(const Digest& digest) {
  if (!Size(digest)) return {};
  SKERRY_RETURN_IF_ERROR(RemoveFile(PathOf(digest)));
  return SyncDirectory(PathOf(digest).parent_path());
}

}  // namespace skerry
