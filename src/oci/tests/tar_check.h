// What holds of every table of an archive, whatever its bytes: used by the fuzzer and by a test.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "oci/tar_reader.h"

namespace skerry {

struct TarOutcome {
  bool read = false;
  std::string fault;  // empty when all holds
};

inline TarOutcome ReadOrRefuse(std::string_view bytes) {
  const TarSource source{
      .read = [&](std::uint64_t offset, std::size_t count) -> Result<std::string> {
        return std::string(bytes.substr(std::min<std::uint64_t>(offset, bytes.size()), count));
      },
      .next_data = [](std::uint64_t offset) { return offset; },
      .size = bytes.size()};
  const auto table = ReadTarTable(source);
  if (!table) return {false, table.error().message().empty() ? "refused without a reason" : ""};
  for (const TarEntry& entry : table->entries) {
    if (entry.offset % kTarBlock != 0) return {true, "an entry is not at a block"};
    if (entry.bytes > 0 &&
        (entry.offset > bytes.size() || entry.bytes > bytes.size() - entry.offset))
      return {true, "an entry is beyond the end"};
    if (entry.name.starts_with('/') || entry.name == ".." || entry.name.starts_with("../") ||
        entry.name.find("/../") != std::string::npos || entry.name.ends_with("/.."))
      return {true, "a name leaves the archive"};
  }
  if (table->end > bytes.size()) return {true, "the end is beyond the end"};
  return {true, ""};
}

}  // namespace skerry
