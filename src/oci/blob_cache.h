// Blobs of a storage elsewhere as files of this machine: <directory>/<algorithm>-<hex>. What was
// used longest ago goes when they become too many bytes, but for those that somebody holds or that
// were used in the last minute; a file that was here before this process is verified before it is
// used.
// Owned by S3BlobStore; thread-safe; one process a directory. A blob that several threads ask for
// is fetched once. Nothing here needs to be kept: the directory may be removed while no hub runs.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/blob_store.h"

namespace skerry {

class BlobCache {
 public:
  // What was used less than `rest` ago stays: whoever was told where it is has opened it by then.
  static Result<std::unique_ptr<BlobCache>> Open(
      std::filesystem::path directory, std::uint64_t max_bytes,
      std::chrono::seconds rest = std::chrono::seconds(60));

  // nullopt when it is not here.
  std::optional<LocalBlob> Find(const Digest& digest);
  // Fetched when it is not here: `fetch` writes the file, which is new, and has verified it.
  using Fetch = std::function<Status(const std::filesystem::path& file)>;
  Result<LocalBlob> Get(const Digest& digest, const Fetch& fetch);
  // The caller has verified the bytes.
  Status Put(const Digest& digest, std::string_view bytes);
  void Forget(const Digest& digest);

 private:
  struct Entry {
    std::uint64_t bytes = 0;
    std::uint64_t used = 0;  // when, in uses; the key in by_use_
    std::chrono::steady_clock::time_point used_at{};
    bool verified = false;
    std::shared_ptr<const void> pin{};  // whoever holds the file has a copy
  };
  BlobCache(std::filesystem::path directory, std::uint64_t max_bytes, std::chrono::seconds rest)
      : directory_(std::move(directory)), max_bytes_(max_bytes), rest_(rest) {}
  Status Load();
  void Add(const std::string& name, std::uint64_t bytes, bool verified);
  void Drop(const std::string& name);
  void Use(const std::string& name, Entry& entry);
  void Evict();

  const std::filesystem::path directory_;
  const std::uint64_t max_bytes_;
  const std::chrono::seconds rest_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable fetched_;
  std::set<std::string> fetching_;
  std::map<std::string, Entry> entries_;
  std::map<std::uint64_t, std::string> by_use_;
  std::uint64_t uses_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace skerry
