#include "oci/registry_storage.h"

#include "base/environment.h"
#include "oci/file_blob_store.h"
#include "oci/file_records.h"
#include "oci/file_uploads.h"
#include "oci/registry_limits.h"
#include "oci/s3_blob_store.h"
#include "oci/s3_records.h"
#include "oci/s3_uploads.h"
#include "s3/store_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPlaceBytes = 1024;

bool HasFiles(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / "blobs", error) && !fs::is_empty(directory / "blobs", error);
}

// What is to be used: `place` as it is written, empty for files.
Result<std::string> PlaceOf(const fs::path& directory, const std::string& place) {
  std::string wanted;
  if (!place.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const S3Prefix prefix, S3Prefix::Parse(place));
    wanted = prefix.ToString();
  }
  const auto remembered = ReadFile(directory / "storage", kPlaceBytes);
  if (!remembered && remembered.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(remembered.error());
  if (remembered && (wanted.empty() || wanted == *remembered)) return *remembered;
  if (remembered || (!wanted.empty() && HasFiles(directory)))
    return Fail(ErrorCode::kFailedPrecondition,
                "this registry is in {}, not in {}: to move it, see docs/registry.md",
                remembered ? *remembered : directory.string(), wanted);
  return wanted;
}

Result<RegistryStorage> OpenFiles(const fs::path& directory, UploadStore::Limits limits) {
  RegistryStorage storage;
  SKERRY_ASSIGN_OR_RETURN(FileBlobStore opened, FileBlobStore::Open(directory));
  auto blobs = std::make_unique<FileBlobStore>(std::move(opened));
  SKERRY_ASSIGN_OR_RETURN(
      storage.uploads, UploadStore::Open(directory, limits, std::make_unique<FileUploads>(*blobs)));
  SKERRY_ASSIGN_OR_RETURN(auto records, FileRecords::Open(directory));
  storage.repositories = std::make_unique<RepositoryStore>(std::move(records));
  storage.blobs = std::move(blobs);
  return storage;
}

Result<S3Options> OptionsOfEnvironment() {
  S3Options options;
  options.attempts = limits::kS3StoreAttempts;
  options.stall_timeout = limits::kS3StoreStall;
  const std::string keys = FromEnvironment("AWS_SHARED_CREDENTIALS_FILE");
  if (options.place.keys.id.empty() && !keys.empty()) {
    SKERRY_ASSIGN_OR_RETURN(options.place.keys, ReadKeysFile(keys, FromEnvironment("AWS_PROFILE")),
                            "AWS_SHARED_CREDENTIALS_FILE");
  }
  if (const std::string bundle = FromEnvironment("AWS_CA_BUNDLE"); !bundle.empty()) {
    SKERRY_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(bundle, limits::kCaBundleBytes),
                            "AWS_CA_BUNDLE");
  }
  return options;
}

}  // namespace

Result<RegistryStorage> RegistryStorage::Open(const fs::path& directory, const std::string& place,
                                              UploadStore::Limits limits) {
  SKERRY_ASSIGN_OR_RETURN(const std::string used, PlaceOf(directory, place));
  if (used.empty()) return OpenFiles(directory, limits);
  RegistryStorage storage;
  SKERRY_ASSIGN_OR_RETURN(S3Options options, OptionsOfEnvironment());
  SKERRY_ASSIGN_OR_RETURN(storage.bucket, S3Bucket::Open(std::move(options), used));
  SKERRY_ASSIGN_OR_RETURN(storage.claim, S3Claim::Take(*storage.bucket, directory / "owner-id"));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory / "storage", used));
  SKERRY_ASSIGN_OR_RETURN(storage.blobs,
                          S3BlobStore::Open(*storage.bucket, directory, limits::kBlobCacheBytes));
  SKERRY_ASSIGN_OR_RETURN(
      storage.uploads,
      UploadStore::Open(directory, limits, std::make_unique<S3Uploads>(*storage.bucket)));
  storage.repositories =
      std::make_unique<RepositoryStore>(std::make_unique<S3Records>(*storage.bucket));
  return storage;
}

}  // namespace skerry
