// What the commands print: progress on a terminal, tables, addresses as people type them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// One line to stderr; on a terminal it replaces the one before.
void PrintProgress(std::string_view line);

// Rows of cells, padded so that columns stand under each other; the first row is the head.
std::string RenderColumns(const std::vector<std::vector<std::string>>& rows);

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
// "127.0.0.1:8000", "[::1]:8000", ":8000" (loopback).
Result<HostPort> ParseHostPort(std::string_view text);

// "milling:2" -> ("milling", "2"); both obey their grammar.
struct NameVersion {
  std::string name, version;
};
Result<NameVersion> ParseNameVersion(std::string_view text);

// "12,345"
std::string WithThousands(std::uint64_t value);

}  // namespace skerry
