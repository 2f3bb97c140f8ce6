// Records as objects below <prefix>/repositories/ of a bucket, under the names that they have as
// files. Thread-safe; one hub a prefix (s3_storage.h), so that the list of repositories is kept in
// memory once it was asked for.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "oci/record_store.h"
#include "s3/bucket.h"

namespace skerry {

class S3Records final : public RecordStore {
 public:
  explicit S3Records(S3Bucket& bucket) : bucket_(&bucket) {}

  using RecordStore::Remove;
  Result<std::string> Read(const std::string& name, std::uint64_t max_bytes) const override;
  Status Write(const std::string& name, std::string_view bytes) override;
  Status WriteNew(const std::string& name, std::string_view bytes) override;
  Status Remove(std::span<const std::string> names) override;
  Result<std::chrono::seconds> Age(const std::string& name) const override;
  Status Touch(const std::string& name) const override;
  Status Settle(const std::string& name) const override;
  Result<std::vector<std::string>> Names(const std::string& directory) const override;
  Status ForEach(const std::string& directory, const Each& each) const override;
  Result<bool> HasAny(const std::string& directory) const override;
  Result<std::vector<std::string>> Repositories() const override;

 private:
  void Note(const std::string& name);
  Status Walk(const std::string& directory, std::set<std::string>& repositories) const;

  S3Bucket* const bucket_;
  mutable std::mutex mutex_;                    // guards what follows
  mutable std::set<std::string> repositories_;  // all of them once it is complete
  mutable bool complete_ = false;
};

}  // namespace skerry
