#include "oci/blob_cache.h"

#include <algorithm>

#include "base/ids.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "oci/registry_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string NameOf(const Digest& digest) {
  return fmt::format("{}-{}", digest.algorithm(), digest.hex());
}

}  // namespace

Result<std::unique_ptr<BlobCache>> BlobCache::Open(fs::path directory, std::uint64_t max_bytes,
                                                   std::chrono::seconds rest) {
  std::unique_ptr<BlobCache> cache(new BlobCache(std::move(directory), max_bytes, rest));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(cache->directory_));
  SKERRY_RETURN_IF_ERROR(cache->Load());
  return cache;
}

Status BlobCache::Load() {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  for (fs::directory_iterator walk(directory_, error); !error && walk != fs::directory_iterator();
       walk.increment(error)) {
    std::string name = walk->path().filename().string();
    std::string text = name;
    std::replace(text.begin(), text.end(), '-', ':');
    std::error_code gone;
    const std::uintmax_t bytes = fs::file_size(walk->path(), gone);
    if (Digest::Parse(text) && !gone)
      Add(name, bytes, false);
    else
      fs::remove(walk->path(), gone);  // what a killed process was fetching
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  Evict();
  return {};
}

void BlobCache::Add(const std::string& name, std::uint64_t bytes, bool verified) {
  Drop(name);
  Entry& entry = entries_[name];
  entry.bytes = bytes;
  entry.verified = verified;
  entry.pin = std::make_shared<int>(0);
  entry.used = ++uses_;
  if (verified) entry.used_at = std::chrono::steady_clock::now();
  by_use_[entry.used] = name;
  bytes_ += bytes;
}

void BlobCache::Drop(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  by_use_.erase(found->second.used);
  bytes_ -= found->second.bytes;
  entries_.erase(found);
}

void BlobCache::Use(const std::string& name, Entry& entry) {
  by_use_.erase(entry.used);
  entry.used = ++uses_;
  entry.used_at = std::chrono::steady_clock::now();
  by_use_[entry.used] = name;
}

void BlobCache::Evict() {
  const auto now = std::chrono::steady_clock::now();
  for (auto next = by_use_.begin(); next != by_use_.end();) {
    if (bytes_ <= max_bytes_ && entries_.size() <= limits::kCachedBlobs) return;
    const std::string name = (next++)->second;
    const Entry& entry = entries_.at(name);
    if (entry.used_at != decltype(entry.used_at)() && now - entry.used_at < rest_) return;
    if (entry.pin.use_count() > 1) continue;
    std::error_code ignored;  // a file that stays is found again by the next process
    fs::remove(directory_ / name, ignored);
    Drop(name);
  }
}

std::optional<LocalBlob> BlobCache::Find(const Digest& digest) {
  const std::string name = NameOf(digest);
  std::unique_lock lock(mutex_);
  fetched_.wait(lock, [&] { return !fetching_.contains(name); });
  auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  if (!found->second.verified) {
    const std::uint64_t bytes = found->second.bytes;
    fetching_.insert(name);
    lock.unlock();
    const Status whole = VerifyFile(directory_ / name, digest, bytes);
    lock.lock();
    fetching_.erase(name);
    fetched_.notify_all();
    found = entries_.find(name);
    if (found == entries_.end()) return std::nullopt;
    if (!whole) {
      std::error_code ignored;  // it is fetched again, and replaced
      fs::remove(directory_ / name, ignored);
      Drop(name);
      return std::nullopt;
    }
    found->second.verified = true;
  }
  Use(name, found->second);
  return LocalBlob{directory_ / name, found->second.pin};
}

Result<LocalBlob> BlobCache::Get(const Digest& digest, const Fetch& fetch) {
  if (auto here = Find(digest)) return std::move(*here);
  const std::string name = NameOf(digest);
  {
    std::unique_lock lock(mutex_);
    fetched_.wait(lock, [&] { return !fetching_.contains(name); });
    if (const auto found = entries_.find(name); found != entries_.end() && found->second.verified) {
      Use(name, found->second);
      return LocalBlob{directory_ / name, found->second.pin};
    }
    fetching_.insert(name);
  }
  const fs::path incoming = directory_ / fmt::format(".{}.{}", name, RandomHex(8));
  Status done = fetch(incoming);
  std::error_code error;
  const std::uintmax_t bytes = done ? fs::file_size(incoming, error) : 0;
  if (done) fs::rename(incoming, directory_ / name, error);
  if (error)
    done = Fail(ErrorCode::kInternal, "keeping {} in {}: {}", digest.ToString(),
                directory_.string(), error.message());
  if (!done) fs::remove(incoming, error);
  const std::lock_guard lock(mutex_);
  fetching_.erase(name);
  fetched_.notify_all();
  if (!done) return tl::make_unexpected(done.error());
  Add(name, bytes, true);
  LocalBlob blob{directory_ / name, entries_.at(name).pin};
  Evict();
  return blob;
}

Status BlobCache::Put(const Digest& digest, std::string_view bytes) {
  SKERRY_RETURN_IF_ERROR(Get(digest, [&](const fs::path& path) -> Status {
    SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path, AppendFile::Mode::kCreateNew));
    return file.Write(bytes);
  }));
  return {};
}

void BlobCache::Forget(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const std::string name = NameOf(digest);
  if (!entries_.contains(name)) return;
  std::error_code ignored;  // as in Evict
  fs::remove(directory_ / name, ignored);
  Drop(name);
}

}  // namespace skerry
