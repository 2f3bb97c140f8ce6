// A temporary directory in a place that outlives its process, such as a data directory: one that
// was left by a process that was killed is told from one that is in use, and goes.
//   auto streamed = ClaimedDirectory::Create("bundle", data);  // <data>/bundle-<16 hex digits>
//   RemoveUnclaimed("bundle", data);                            // at the start of whoever owns
//   data
// Claimed by a lock (DirectoryLock), so by a process that is alive, as long as the object lives;
// removed with it. Create removes what is unclaimed beside it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "storage/file.h"

namespace skerry {

class ClaimedDirectory {
 public:
  static Result<ClaimedDirectory> Create(std::string_view prefix,
                                         const std::filesystem::path& parent);
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  ClaimedDirectory(TemporaryDirectory directory, DirectoryLock lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}

  TemporaryDirectory directory_;
  DirectoryLock lock_;
};

// How many were removed. Other names than Create makes are left alone.
std::size_t RemoveUnclaimed(std::string_view prefix, const std::filesystem::path& parent);

}  // namespace skerry
