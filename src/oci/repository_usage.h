// How many bytes repositories hold, for quotas: blobs that they link and manifests, each once a
// repository, whether another has it too or not.
//
// Counted from the files of a repository when somebody asks, and again after it has changed; so it
// is what is there, and cannot drift. Owned by Registry; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/blob_store.h"
#include "oci/repository_store.h"

namespace skerry {

// Whether `repository` is `prefix` or below it: "images" is images and images/a, not images2.
bool IsAtOrBelow(std::string_view repository, std::string_view prefix);

class RepositoryUsage {
 public:
  RepositoryUsage(const BlobStore& blobs, const RepositoryStore& repositories)
      : blobs_(&blobs), repositories_(&repositories) {}

  // Of all repositories at or below `prefix` together.
  Result<std::uint64_t> BytesBelow(std::string_view prefix);
  // The repository has changed, or is about to.
  void Forget(std::string_view repository);
  void ForgetAll();

 private:
  Result<std::uint64_t> Count(std::string_view repository) const;

  const BlobStore* const blobs_;
  const RepositoryStore* const repositories_;
  std::mutex mutex_;  // guards bytes_
  std::map<std::string, std::uint64_t, std::less<>> bytes_;
};

}  // namespace skerry
