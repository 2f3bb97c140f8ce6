// What the dynamic loader reads of a program or shared library: which machine it is for, which
// loader and libraries it wants, and where it looks for them first. ELF of 64 bits, little-endian.
// Source: System V ABI, chapters 4 and 5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

struct ElfFile {
  std::uint16_t machine = 0;        // e_machine: 62 x86-64, 183 AArch64
  std::string interpreter;          // of a program; else empty
  std::vector<std::string> needed;  // names of libraries, in the loader's order
  std::vector<std::string> search;  // DT_RUNPATH, or DT_RPATH where there is none; $ORIGIN as it is
};

// kNotFound, kPermissionDenied as PlainFile; kInvalidArgument says why it is no such file. Bounded
// by limits::kElfTableBytes and kElfNeeded (kTooLarge).
Result<ElfFile> ReadElf(const std::filesystem::path& path);

}  // namespace skerry
