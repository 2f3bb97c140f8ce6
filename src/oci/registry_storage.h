// Where a registry keeps what it has: in files of its directory, or in a bucket of S3 with what is
// under way in its directory. The directory remembers which (the file `storage`), so that a hub
// that is started with another by mistake stops instead of having an empty registry.
// Owned by Registry.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "oci/blob_store.h"
#include "oci/repository_store.h"
#include "oci/s3_claim.h"
#include "oci/upload_store.h"
#include "s3/bucket.h"

namespace skerry {

struct RegistryStorage {
  std::unique_ptr<S3Bucket> bucket{};  // null: files
  std::unique_ptr<S3Claim> claim{};
  std::unique_ptr<BlobStore> blobs{};
  std::unique_ptr<UploadStore> uploads{};
  std::unique_ptr<RepositoryStore> repositories{};

  // `place`: "s3://BUCKET/PREFIX", the keys and the server as of S3Place::FromEnvironment; empty:
  // what the directory remembers, else files. kFailedPrecondition: it remembers another, and how to
  // move; kInvalidArgument; and errors of S3Bucket and S3Claim.
  static Result<RegistryStorage> Open(const std::filesystem::path& directory,
                                      const std::string& place, UploadStore::Limits limits);

  // Whether this process may still publish and remove (s3_claim.h).
  Status Check() const { return claim ? claim->Check() : Status(); }
};

}  // namespace skerry
