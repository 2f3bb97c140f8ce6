#include "oci/repository_usage.h"

#include <vector>

namespace skerry {

bool IsAtOrBelow(std::string_view repository, std::string_view prefix) {
  return repository.starts_with(prefix) &&
         (repository.size() == prefix.size() || repository[prefix.size()] == '/');
}

Result<std::uint64_t> RepositoryUsage::Count(std::string_view repository) const {
  std::vector<Digest> digests;
  SKERRY_ASSIGN_OR_RETURN(const auto links, repositories_->BlobLinks(repository));
  for (const BlobLink& link : links) digests.push_back(link.digest);
  SKERRY_ASSIGN_OR_RETURN(const auto manifests, repositories_->Manifests(repository));
  digests.insert(digests.end(), manifests.begin(), manifests.end());
  return blobs_->BytesOf(digests);
}

Result<std::uint64_t> RepositoryUsage::BytesBelow(std::string_view prefix) {
  SKERRY_ASSIGN_OR_RETURN(const auto names, repositories_->Repositories());
  std::uint64_t sum = 0;
  const std::lock_guard lock(mutex_);
  for (const std::string& name : names) {
    if (!IsAtOrBelow(name, prefix)) continue;
    auto known = bytes_.find(name);
    if (known == bytes_.end()) {
      SKERRY_ASSIGN_OR_RETURN(const std::uint64_t bytes, Count(name));
      known = bytes_.emplace(name, bytes).first;
    }
    sum += known->second;
  }
  return sum;
}

void RepositoryUsage::Forget(std::string_view repository) {
  const std::lock_guard lock(mutex_);
  if (const auto known = bytes_.find(repository); known != bytes_.end()) bytes_.erase(known);
}

void RepositoryUsage::ForgetAll() {
  const std::lock_guard lock(mutex_);
  bytes_.clear();
}

}  // namespace skerry
