#include "oci/tar_file.h"

#include <algorithm>
#include <string>

#include "oci/plain_file.h"

namespace skerry {
namespace {

// What cannot be read is damage like any other, since what is behind it may be whole: blocks of
// `step` bytes that fail are empty. `read` is called as (offset, bytes) and gives a Result of text.
template <typename Read>
Result<std::string> ReadOverDamage(const Read& read, std::uint64_t size, std::size_t step,
                                   std::uint64_t offset, std::size_t bytes) {
  auto all = read(offset, bytes);
  if (all || all.error().code() != ErrorCode::kDataLoss) return all;
  std::string text(std::min<std::uint64_t>(bytes, size - std::min(offset, size)), '\0');
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t take = std::min(text.size() - at, step - (offset + at) % step);
    if (const auto piece = read(offset + at, take)) text.replace(at, piece->size(), *piece);
    at += take;
  }
  return text;
}

}  // namespace

Result<TarTable> ReadTarFile(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path));
  const auto read = [&](std::uint64_t offset, std::size_t bytes) {
    return file.ReadAt(offset, bytes);
  };
  const TarSource source{.read =
                             [&](std::uint64_t offset, std::size_t bytes) {
                               return ReadOverDamage(read, file.size(), kTarBlock, offset, bytes);
                             },
                         .next_data = [&](std::uint64_t offset) { return file.NextData(offset); },
                         .size = file.size()};
  return ReadTarTable(source);
}

Result<TarTable> ReadSealedTar(const AgeFile& file) {
  // Many headers stand in one chunk, which is opened once.
  std::string chunk;
  std::uint64_t chunk_at = file.size();
  const auto read = [&](std::uint64_t offset, std::size_t bytes) -> Result<std::string> {
    std::string text;
    while (text.size() < bytes) {
      const std::uint64_t at = offset + text.size();
      if (at >= file.size()) break;
      if (const std::uint64_t start = at - at % kAgeChunkBytes; start != chunk_at) {
        chunk.clear();
        chunk_at = file.size();
        SKERRY_RETURN_IF_ERROR(
            file.Read(start, kAgeChunkBytes, [&](std::string_view piece) -> Status {
              chunk += piece;
              return {};
            }));
        chunk_at = start;
      }
      text += chunk.substr(at % kAgeChunkBytes, bytes - text.size());
    }
    return text;
  };
  const TarSource source{.read =
                             [&](std::uint64_t offset, std::size_t bytes) {
                               return ReadOverDamage(read, file.size(), kAgeChunkBytes, offset,
                                                     bytes);
                             },
                         .next_data = [](std::uint64_t offset) { return offset; },
                         .size = file.size()};
  return ReadTarTable(source);
}

}  // namespace skerry
