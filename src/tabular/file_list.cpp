#include "tabular/file_list.h"

#include <glob.h>

#include <set>
#include <system_error>

#include "base/limits.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

Result<std::vector<fs::path>> Matches(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<fs::path> files;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    std::error_code error;
    if (!fs::is_directory(found.gl_pathv[i], error)) files.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (status != 0 && status != GLOB_NOMATCH)
    return Fail(ErrorCode::kResourceExhausted, "{} cannot be expanded", pattern);
  if (files.empty()) return Fail(ErrorCode::kNotFound, "no file matches {}", pattern);
  return files;
}

Result<std::vector<fs::path>> FilesOf(const std::string& name) {
  std::error_code error;
  const fs::file_status status = fs::status(name, error);
  if (fs::is_directory(status))
    return Fail(ErrorCode::kInvalidArgument,
                "{} is a directory: name the files in it, as {}/*.csv or {}/*.parquet", name, name,
                name);
  if (fs::exists(status)) return std::vector<fs::path>{name};
  if (name.find_first_of("*?[") != std::string::npos) return Matches(name);
  return Fail(ErrorCode::kNotFound, "there is no file {}", name);
}

}  // namespace

Result<std::vector<fs::path>> ExpandFiles(const std::vector<std::string>& names) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const std::string& name : names) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<fs::path> more, FilesOf(name));
    for (const fs::path& file : more) {
      std::error_code error;
      if (!seen.insert(fs::weakly_canonical(file, error)).second)
        return Fail(ErrorCode::kInvalidArgument, "{} is named twice: its rows would count twice",
                    file.string());
      files.push_back(file);
    }
    if (files.size() > limits::kFilesPerTable)
      return Fail(ErrorCode::kTooLarge,
                  "more than {} files (kFilesPerTable): put them together first",
                  limits::kFilesPerTable);
  }
  return files;
}

}  // namespace skerry
