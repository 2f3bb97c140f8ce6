#include "oci/file_records.h"

#include <algorithm>
#include <set>

#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kLeftoverAge{24};

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

Result<std::unique_ptr<RecordStore>> FileRecords::Open(const fs::path& directory) {
  std::unique_ptr<RecordStore> store(new FileRecords(directory / "repositories"));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory / "repositories"));
  return store;
}

Result<std::string> FileRecords::Read(const std::string& name, std::uint64_t max_bytes) const {
  return ReadFile(directory_ / name, max_bytes);
}

Status FileRecords::Write(const std::string& name, std::string_view bytes) {
  const fs::path path = directory_ / name;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  return WriteFileDurably(path, bytes);
}

// The directory has one process, and the caller orders its own threads.
Status FileRecords::WriteNew(const std::string& name, std::string_view bytes) {
  const auto held = ReadFile(directory_ / name, bytes.size());
  if (held ? *held != bytes : held.error().code() != ErrorCode::kNotFound)
    return Fail(ErrorCode::kAlreadyExists, "{} is there already", name);
  return Write(name, bytes);
}

Status FileRecords::Remove(std::span<const std::string> names) {
  std::set<fs::path> changed;
  for (const std::string& name : names) {
    const fs::path path = directory_ / name;
    if (!IsFile(path)) continue;
    SKERRY_RETURN_IF_ERROR(RemoveFile(path));
    changed.insert(path.parent_path());
  }
  for (const fs::path& directory : changed) SKERRY_RETURN_IF_ERROR(SyncDirectory(directory));
  return {};
}

Result<std::chrono::seconds> FileRecords::Age(const std::string& name) const {
  std::error_code error;
  const auto touched = fs::last_write_time(directory_ / name, error);
  if (error) return Fail(ErrorCode::kNotFound, "there is no {}", name);
  return age_.Of(touched);
}

Status FileRecords::Touch(const std::string& name) const {
  std::error_code error;
  fs::last_write_time(directory_ / name, fs::file_time_type::clock::now(), error);
  if (error && IsFile(directory_ / name))
    return Fail(ErrorCode::kInternal, "touching {}: {}", name, error.message());
  return {};
}

Status FileRecords::Settle(const std::string& name) const {
  return SyncDirectory((directory_ / name).parent_path());
}

// Names that begin with a dot are temporary ones of writers.
Status FileRecords::Walk(const std::string& directory, const EachFile& each) const {
  const fs::path top = directory_ / directory;
  const std::size_t skip = top.native().size() + 1;
  std::error_code error;
  fs::recursive_directory_iterator walk(top, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    std::error_code gone;
    if (walk->is_directory(gone)) continue;
    const fs::path& path = walk->path();
    SKERRY_RETURN_IF_ERROR(each(path.native().substr(skip), path));
  }
  if (error) return Fail(ErrorCode::kInternal, "listing {}: {}", top.string(), error.message());
  return {};
}

Result<std::vector<std::string>> FileRecords::Names(const std::string& directory) const {
  std::vector<std::string> names;
  SKERRY_RETURN_IF_ERROR(Walk(directory, [&](std::string name, const fs::path& path) -> Status {
    if (!path.filename().native().starts_with('.')) names.push_back(std::move(name));
    return {};
  }));
  std::sort(names.begin(), names.end());
  return names;
}

Status FileRecords::ForEach(const std::string& directory, const Each& each) const {
  return Walk(directory, [&](const std::string& name, const fs::path& path) -> Status {
    std::error_code gone;
    const auto written = fs::last_write_time(path, gone);
    if (gone) return {};
    if (!path.filename().native().starts_with('.')) return each(name, age_.Of(written));
    return age_.Of(written) > kLeftoverAge ? RemoveFile(path) : Status();
  });
}

Result<bool> FileRecords::HasAny(const std::string& directory) const {
  std::error_code error;
  return fs::is_directory(directory_ / directory, error);
}

Result<std::vector<std::string>> FileRecords::Repositories() const {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator walk(directory_, error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    const std::string name = walk->path().filename().string();
    if (!name.starts_with('_')) continue;
    walk.disable_recursion_pending();
    std::string repository = fs::relative(walk->path().parent_path(), directory_, error).string();
    if (names.empty() || names.back() != repository) names.push_back(std::move(repository));
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace skerry
