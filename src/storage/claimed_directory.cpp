#include "storage/claimed_directory.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/log.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 16;
constexpr int kAttempts = 3;

bool IsOurs(const std::string& name, std::string_view prefix) {
  return name.size() == prefix.size() + 1 + kDigits && name.starts_with(prefix) &&
         name[prefix.size()] == '-' && std::all_of(name.end() - kDigits, name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

Result<ClaimedDirectory> ClaimedDirectory::Create(std::string_view prefix, const fs::path& parent) {
  RemoveUnclaimed(prefix, parent);
  // Another process may take one for unclaimed between these two steps.
  for (int attempt = 1;; ++attempt) {
    SKERRY_ASSIGN_OR_RETURN(TemporaryDirectory made, TemporaryDirectory::Create(prefix, parent));
    auto lock = DirectoryLock::Acquire(made.path());
    std::error_code error;
    if (lock && fs::exists(made.path() / "lock", error))
      return ClaimedDirectory(std::move(made), *std::move(lock));
    if (attempt == kAttempts)
      return Fail(ErrorCode::kInternal, "{} cannot be kept for this process: {}",
                  made.path().string(), lock ? "it is gone" : lock.error().message());
  }
}

std::size_t RemoveUnclaimed(std::string_view prefix, const fs::path& parent) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error))
    if (entry.is_directory(error) && !entry.is_symlink(error) &&
        IsOurs(entry.path().filename().string(), prefix))
      found.push_back(entry.path());
  std::size_t removed = 0;
  for (const fs::path& path : found) {
    const auto lock = DirectoryLock::Acquire(path);
    if (!lock) continue;
    fs::remove_all(path, error);
    if (error) {
      LogWarning("cannot remove {}: {}", path.string(), error.message());
      continue;
    }
    LogInfo("removed what a process that ended too early left path={}", path.string());
    ++removed;
  }
  return removed;
}

}  // namespace skerry
