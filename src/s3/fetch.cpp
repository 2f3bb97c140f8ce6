#include "s3/fetch.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <set>
#include <system_error>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string Megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

Result<std::vector<S3Object>> ObjectsOf(S3Client& client, const std::string& address) {
  SKERRY_ASSIGN_OR_RETURN(const S3Name name, S3Name::Parse(address));
  const std::size_t special = name.key.find_first_of("*?[\\");
  if (special == std::string::npos) {
    SKERRY_ASSIGN_OR_RETURN(S3Object object, client.Find(name));
    return std::vector<S3Object>{std::move(object)};
  }
  const bool deep = name.key.find('/', special) != std::string::npos;
  SKERRY_ASSIGN_OR_RETURN(std::vector<S3Object> objects,
                          client.List({.bucket = name.bucket, .key = name.key.substr(0, special)},
                                      deep ? S3Depth::kAll : S3Depth::kOneDirectory));
  std::erase_if(objects, [&](const S3Object& object) {
    return fnmatch(name.key.c_str(), object.name.key.c_str(), FNM_PATHNAME | FNM_PERIOD) != 0;
  });
  if (objects.empty()) return Fail(ErrorCode::kNotFound, "no object matches {}", address);
  return objects;
}

Status CheckRoom(const std::vector<S3Object>& objects, const fs::path& directory) {
  std::uint64_t bytes = 0;
  for (const S3Object& object : objects) {
    bytes += object.bytes;
    if (object.bytes > limits::kFetchedBytes || bytes > limits::kFetchedBytes)
      return Fail(ErrorCode::kTooLarge,
                  "{} and the objects before it have more than {} (kFetchedBytes): name fewer, or "
                  "train on Spark (--engine spark), which reads them where they are",
                  object.name.ToString(), Megabytes(limits::kFetchedBytes));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t room, FreeBytes(directory));
  if (bytes > room)
    return Fail(ErrorCode::kResourceExhausted,
                "{} objects have {}, and there is room for {} in {}: make room, or name another "
                "directory by TMPDIR",
                objects.size(), Megabytes(bytes), Megabytes(room),
                directory.parent_path().string());
  return {};
}

}  // namespace

Result<std::vector<S3Object>> ExpandObjects(S3Client& client,
                                            const std::vector<std::string>& addresses) {
  std::vector<S3Object> all;
  std::set<std::string> seen;
  for (const std::string& address : addresses) {
    SKERRY_ASSIGN_OR_RETURN(std::vector<S3Object> objects, ObjectsOf(client, address));
    for (S3Object& object : objects) {
      if (!seen.insert(object.name.ToString()).second)
        return Fail(ErrorCode::kInvalidArgument, "{} is named twice: its rows would count twice",
                    object.name.ToString());
      all.push_back(std::move(object));
    }
    if (all.size() > limits::kFilesPerTable)
      return Fail(ErrorCode::kTooLarge,
                  "more than {} objects (kFilesPerTable): put them together first",
                  limits::kFilesPerTable);
  }
  return all;
}

Result<std::vector<fs::path>> FetchObjects(S3Client& client, const std::vector<S3Object>& objects,
                                           const fs::path& directory, const FetchSink& progress) {
  SKERRY_RETURN_IF_ERROR(CheckRoom(objects, directory));
  FetchProgress now{.all_files = objects.size()};
  for (const S3Object& object : objects) now.all_bytes += object.bytes;
  const auto tell = [&] {
    if (progress) progress(now);
  };
  tell();
  std::vector<fs::path> files;
  for (const S3Object& object : objects) {
    const fs::path own = directory / std::to_string(files.size());
    std::error_code error;
    fs::create_directory(own, error);
    if (error) return Fail(ErrorCode::kInternal, "making {}: {}", own.string(), error.message());
    const std::string& key = object.name.key;
    files.push_back(own / key.substr(key.rfind('/') + 1));  // without a /: npos + 1 is 0
    SKERRY_RETURN_IF_ERROR(client.Download(object, files.back(), [&](std::uint64_t bytes) {
      now.bytes += bytes;
      tell();
    }));
    ++now.files;
    tell();
  }
  return files;
}

}  // namespace skerry
