// Small records by name, "north/outbox/_tags/1": what repositories hold (repository_store.h), in
// files (file_records.h) or in a bucket of S3 (s3_records.h). Names are checked by the caller.
// Thread-safe. A record appears, is replaced and goes whole, and has done so durably on return; who
// reads afterwards sees it. A record's age is the time since it was written or touched.
// Errors of all calls, beside those that are named: kUnavailable and kInternal of the storage.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

class RecordStore {
 public:
  virtual ~RecordStore() = default;

  // kNotFound; kTooLarge over `max_bytes`.
  virtual Result<std::string> Read(const std::string& name, std::uint64_t max_bytes) const = 0;
  virtual Status Write(const std::string& name, std::string_view bytes) = 0;
  // Only where there is none: kAlreadyExists, unless it has these bytes. Of two processes one wins.
  virtual Status WriteNew(const std::string& name, std::string_view bytes) = 0;
  // Absent ones are fine.
  virtual Status Remove(std::span<const std::string> names) = 0;
  Status Remove(const std::string& name) { return Remove({&name, 1}); }
  // Since it was written or touched; kNotFound.
  virtual Result<std::chrono::seconds> Age(const std::string& name) const = 0;
  // Makes it young; not durably.
  virtual Status Touch(const std::string& name) const = 0;
  // What another thread has written, perhaps without having come to the end, is durable on return.
  virtual Status Settle(const std::string& name) const = 0;

  // What follows "<directory>/" in the names below it, sorted; none where there are none.
  virtual Result<std::vector<std::string>> Names(const std::string& directory) const = 0;
  // The same with the age of each, in no order. What killed writers have left is removed once it
  // is old.
  using Each = std::function<Status(const std::string& name, std::chrono::seconds age)>;
  virtual Status ForEach(const std::string& directory, const Each& each) const = 0;
  // Whether anything was ever stored below the directory (files), or is now (S3).
  virtual Result<bool> HasAny(const std::string& directory) const = 0;
  // What stands before "/_" in the names that there are, sorted.
  virtual Result<std::vector<std::string>> Repositories() const = 0;
};

}  // namespace skerry
