// Files that survive a power cut: write to a temporary name, fsync, rename, fsync the directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// The whole file; kTooLarge over `max_bytes`, kNotFound when absent.
Result<std::string> ReadFile(const std::filesystem::path& path, std::uint64_t max_bytes);

// For files that hold secrets: kPermissionDenied, with what to do, when anybody but the owner may
// read or write it; kNotFound when absent.
Status CheckPrivateFile(const std::filesystem::path& path);

// Replaces `path` as a whole. Durable on return, or nothing has changed. kResourceExhausted on a
// full disk. The temporary is in the same directory, named ".<name>.<random>.tmp".
Status WriteFileDurably(const std::filesystem::path& path, std::string_view bytes,
                        unsigned mode = 0644);

// Syncs an already written file and renames it to `target`, which is in the same file system; syncs
// the target's directory.
Status PublishFileDurably(const std::filesystem::path& written,
                          const std::filesystem::path& target);

Status SyncFile(const std::filesystem::path& path);
Status SyncDirectory(const std::filesystem::path& path);
// mkdir -p with `mode` for what it makes, synced.
Status CreateDirectories(const std::filesystem::path& path, unsigned mode = 0755);
// Removes a file; absent is fine.
Status RemoveFile(const std::filesystem::path& path);
// What of a file shows that it was changed, or that another is in its place.
struct FileState {
  std::uint64_t bytes = 0, device = 0, inode = 0;
  std::int64_t modified_s = 0, modified_ns = 0;
  bool operator==(const FileState&) const = default;
};
// kNotFound, kPermissionDenied.
Result<FileState> ReadFileState(const std::filesystem::path& path);
Result<std::uint64_t> FreeBytes(const std::filesystem::path& directory);

// A private directory below the system's temporary one (or below `parent`), removed with all its
// content at the end.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> Create(std::string_view prefix,
                                           const std::filesystem::path& parent = {});
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;
  ~TemporaryDirectory();
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// One process a data directory: flock(2) on `<directory>/lock`, held for the object's life.
// kFailedPrecondition names the process that holds it.
class DirectoryLock {
 public:
  static Result<DirectoryLock> Acquire(const std::filesystem::path& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace skerry
