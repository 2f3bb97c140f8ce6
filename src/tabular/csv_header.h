// The first line of a CSV file, read by ourselves before any library sees the file: how many
// columns there are, what they are called, what stands between them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

struct CsvHeader {
  char delimiter = ',';
  std::vector<std::string> fields;  // unquoted, without byte order mark
  bool more_lines = false;          // something but line ends follows
};

// Reads the first record (RFC 4180 quoting; the delimiter is the one of , ; tab | that splits it
// most). Reads no further than limits::kCsvHeaderBytes. kNotFound; kInvalidArgument for an empty
// file; kTooLarge over limits::kTableColumns fields or limits::kCsvHeaderBytes.
Result<CsvHeader> ReadCsvHeader(const std::filesystem::path& path);

// The same on text that begins with the header.
Result<CsvHeader> ParseCsvHeader(std::string_view text, std::string_view name);

}  // namespace skerry
