// Writes a tar archive (POSIX ustar, reproducible: no times, no owners) from its end on. Owned by
// whoever writes; not thread-safe. What is written is durable after Sync. An entry whose content
// fails is taken back. Errors: kResourceExhausted on a full medium.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "oci/append_file.h"

namespace skerry {

class TarWriter {
 public:
  using Content = std::function<Status(const std::function<Status(std::string_view)>& sink)>;

  // Makes the file, or goes on in one that is there, behind its first `keep` bytes (a multiple of
  // kTarBlock); the rest is cut off.
  static Result<TarWriter> Open(const std::filesystem::path& path, std::uint64_t keep);

  // `content` gives exactly `bytes` bytes, at most 8 GiB. `name` has at most 100.
  Status Add(std::string_view name, std::uint64_t bytes, const Content& content);
  Status Add(std::string_view name, std::string_view content);
  // Writes the two blocks that end an archive.
  Status Close();
  Status Sync() { return file_.Sync(); }
  std::uint64_t size() const { return file_.size(); }

 private:
  TarWriter(std::filesystem::path path, AppendFile file)
      : path_(std::move(path)), file_(std::move(file)) {}

  std::filesystem::path path_;
  AppendFile file_;
};

}  // namespace skerry
