// Records as files below <directory>/repositories, so that every change is one durable rename and
// any tool can look at it. One process a directory.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "oci/file_age.h"
#include "oci/record_store.h"

namespace skerry {

class FileRecords final : public RecordStore {
 public:
  static Result<std::unique_ptr<RecordStore>> Open(const std::filesystem::path& directory);

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
  explicit FileRecords(std::filesystem::path directory) : directory_(std::move(directory)) {}
  using EachFile = std::function<Status(std::string name, const std::filesystem::path& path)>;
  Status Walk(const std::string& directory, const EachFile& each) const;

  const std::filesystem::path directory_;
  const FileAge age_;
};

}  // namespace skerry
