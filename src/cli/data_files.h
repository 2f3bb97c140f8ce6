// The files that a command reads, wherever they lie: objects of S3 are fetched at first.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "storage/file.h"

namespace skerry {

// Owns the fetched files, which are in the system's temporary directory and gone with the object.
class DataFiles {
 public:
  // Names and patterns of files, then addresses and patterns of objects (s3://bucket/*.parquet),
  // however they are mixed. Interrupts are caught by then (interrupts.h), and end a fetch. Errors
  // are those of ExpandFiles, ExpandObjects and FetchObjects.
  static Result<DataFiles> Open(const std::vector<std::string>& names);
  // What takes one file: a name as it is, or an address or pattern that means one object. Catches
  // interrupts where there is something to fetch.
  static Result<DataFiles> One(const std::string& name);

  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  // The text with addresses in place of the fetched files' names, which tell nobody anything.
  std::string Told(std::string text) const;
  // The same of an error's message.
  Status Told(Status status) const;

 private:
  Status Fetch(const std::vector<std::string>& addresses, std::size_t most);

  std::optional<TemporaryDirectory> fetched_{};
  std::vector<std::filesystem::path> paths_{};
  std::vector<std::pair<std::string, std::string>> addresses_{};  // by path
};

}  // namespace skerry
