#include "oci/repository_usage.h"

namespace skerry {

bool IsAtOrBelow(std::string_view repository, std::string_view prefix) {
  return repository.starts_with(prefix) &&
         (repository.size() == prefix.size() || repository[prefix.size()] == '/');
}

Result<std::uint64_t> RepositoryUsage::Count(std::string_view repository) const {
  std::uint64_t bytes = 0;
  SKERRY_ASSIGN_OR_RETURN(const auto links, repositories_->BlobLinks(repository));
  for (const BlobLink& link : links) bytes += blobs_->Size(link.digest).value_or(0);
  SKERRY_ASSIGN_OR_RETURN(const auto manifests, repositories_->Manifests(repository));
  for (const Digest& manifest : manifests) bytes += blobs_->Size(manifest).value_or(0);
  return bytes;
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
