#include "oci/s3_records.h"

namespace skerry {
namespace {

std::string KeyOf(const std::string& name) { return "repositories/" + name; }

}  // namespace

Result<std::string> S3Records::Read(const std::string& name, std::uint64_t max_bytes) const {
  return bucket_->Read(KeyOf(name), max_bytes);
}

void S3Records::Note(const std::string& name) {
  const std::lock_guard lock(mutex_);
  repositories_.insert(name.substr(0, name.find("/_")));
}

Status S3Records::Write(const std::string& name, std::string_view bytes) {
  Note(name);
  SKERRY_RETURN_IF_ERROR(bucket_->Put(KeyOf(name), bytes));
  return {};
}

Status S3Records::WriteNew(const std::string& name, std::string_view bytes) {
  Note(name);
  SKERRY_RETURN_IF_ERROR(bucket_->PutNew(KeyOf(name), bytes));
  return {};
}

Status S3Records::Remove(std::span<const std::string> names) {
  for (const std::string& name : names) SKERRY_RETURN_IF_ERROR(bucket_->Remove(KeyOf(name)));
  return {};
}

Result<std::chrono::seconds> S3Records::Age(const std::string& name) const {
  SKERRY_ASSIGN_OR_RETURN(const S3Found found, bucket_->Find(KeyOf(name)));
  return found.age;
}

// There is nothing to touch an object with but another write; links are empty.
Status S3Records::Touch(const std::string& name) const {
  SKERRY_RETURN_IF_ERROR(bucket_->Put(KeyOf(name), ""));
  return {};
}

Status S3Records::Settle(const std::string&) const { return {}; }

Status S3Records::ForEach(const std::string& directory, const Each& each) const {
  const std::string prefix = KeyOf(directory) + "/";
  return bucket_->List(prefix, [&](const S3Found& found) {
    return each(found.key.substr(prefix.size()), found.age);
  });
}

Result<std::vector<std::string>> S3Records::Names(const std::string& directory) const {
  std::vector<std::string> names;  // S3 lists by byte value
  SKERRY_RETURN_IF_ERROR(
      ForEach(directory, [&](const std::string& name, std::chrono::seconds) -> Status {
        names.push_back(name);
        return {};
      }));
  return names;
}

Result<bool> S3Records::HasAny(const std::string& directory) const {
  return bucket_->HasAny(KeyOf(directory) + "/");
}

Status S3Records::Walk(const std::string& directory, std::set<std::string>& repositories) const {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> below,
                          bucket_->Directories(KeyOf(directory)));
  for (const std::string& name : below) {
    if (!name.starts_with('_'))
      SKERRY_RETURN_IF_ERROR(Walk(directory + name, repositories));
    else if (!directory.empty())
      repositories.insert(directory.substr(0, directory.size() - 1));
  }
  return {};
}

Result<std::vector<std::string>> S3Records::Repositories() const {
  std::unique_lock lock(mutex_);
  if (!complete_) {
    lock.unlock();
    std::set<std::string> found;
    SKERRY_RETURN_IF_ERROR(Walk("", found));
    lock.lock();
    repositories_.merge(found);  // what was written meanwhile was noted
    complete_ = true;
  }
  return std::vector<std::string>(repositories_.begin(), repositories_.end());
}

}  // namespace skerry
