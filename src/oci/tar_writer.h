// Writes a tar archive (POSIX ustar, reproducible: no times, no owners) from its end on. Owned by
// whoever writes; not thread-safe. What is written is durable after Sync. An entry whose content
// fails is taken back. Errors: kResourceExhausted on a full medium.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <utility>
#include <variant>

#include "base/error.h"
#include "crypto/age.h"
#include "oci/age_file.h"
#include "oci/append_file.h"

namespace skerry {

class TarWriter {
 public:
  using Content = std::function<Status(const std::function<Status(std::string_view)>& sink)>;

  // Makes the file, or goes on in one that is there, behind its first `keep` bytes (a multiple of
  // kTarBlock); the rest is cut off.
  static Result<TarWriter> Open(const std::filesystem::path& path, std::uint64_t keep);
  // Makes the file, encrypted to one receiver; whole only after Close.
  static Result<TarWriter> Seal(const std::filesystem::path& path, const AgeRecipient& recipient);

  // `content` gives exactly `bytes` bytes, at most 8 GiB. `name` has at most 100.
  Status Add(std::string_view name, std::uint64_t bytes, const Content& content);
  Status Add(std::string_view name, std::string_view content);
  // Writes the two blocks that end an archive.
  Status Close();
  Status Sync();
  std::uint64_t size() const;

 private:
  using File = std::variant<AppendFile, AgeAppendFile>;
  TarWriter(std::filesystem::path path, File file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Status Write(std::string_view bytes);
  Status CutTo(std::uint64_t size);

  std::filesystem::path path_;
  File file_;
};

}  // namespace skerry
