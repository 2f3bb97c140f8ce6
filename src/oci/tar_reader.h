// Reads the table of a tar archive (POSIX ustar, as written by tar_writer.h, GNU tar, bsdtar and
// Python): where each file's bytes stand. Nothing is unpacked, and no content is read.
//
// An archive from a stick is trusted for nothing: links, devices, pipes, absolute names and ".."
// refuse it as a whole, sizes and counts are bounded, and a size that the archive does not have
// gives an entry that is cut. A damaged header costs the one entry: reading goes on at the next
// header whose checksum holds. Pure functions of the bytes; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

constexpr std::size_t kTarBlock = 512;

struct TarEntry {
  std::string name;  // without a leading "./"
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // that are there
  bool cut = false;         // the archive ends before the entry does
};

struct TarTable {
  std::vector<TarEntry> entries;    // regular files, as they come
  std::vector<std::string> damage;  // a sentence each
  std::uint64_t end = 0;            // behind the last whole entry: where a writer may go on
};

// The bytes of an archive. Read gives the bytes from `offset` on, less than `bytes` only at the
// end.
struct TarSource {
  std::function<Result<std::string>(std::uint64_t offset, std::size_t bytes)> read;
  // The first offset from `offset` on that holds data (a sparse file's holes are skipped).
  std::function<std::uint64_t(std::uint64_t offset)> next_data;
  std::uint64_t size = 0;
};

// kPermissionDenied: an entry that may not be there, named; kTooLarge over limits::kMediumEntries;
// kUnimplemented: extended headers that rename or resize an entry.
Result<TarTable> ReadTarTable(const TarSource& source);

}  // namespace skerry
