// The header of one entry of a tar archive (POSIX ustar), the same for the same entry wherever and
// whenever: no time, no name of an owner. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace skerry {

enum class TarHeadType : char { kFile = '0', kSymlink = '2', kDirectory = '5' };

struct TarHead {
  std::string name;         // at most 100 bytes, or 155, "/" and 100
  std::uint64_t bytes = 0;  // of a file's content, at most 8 GiB
  TarHeadType type = TarHeadType::kFile;
  unsigned mode = 0644;
  unsigned owner = 0, group = 0;
  std::string link{};  // a symbolic link's target, at most 100 bytes
};

// One block of kTarBlock bytes. kTooLarge names the entry that no header can hold.
Result<std::string> TarHeader(const TarHead& entry);

}  // namespace skerry
