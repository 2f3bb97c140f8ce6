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

// Whether somebody looks at stderr: progress that is many lines elsewhere is for them.
bool ShowsProgress();
// "[#######--------] 47 %" in front of `text`; `share` is 0 to 1.
std::string ProgressBar(double share, std::string_view text);

// The secret to the file `out`, mode 0600, and a line that says so: "OUT: WHAT". Where `out` is
// "-", the secret to stdout and nothing else.
Status WriteSecret(const std::string& out, std::string_view secret, std::string_view what);

// Rows of cells, padded so that columns stand under each other; the first row is the head.
std::string RenderColumns(const std::vector<std::vector<std::string>>& rows);

// Lines of at most kTextColumns: `head`, then the words of `text`; further lines begin with
// `indent` spaces. Ends with a line feed. A longer word has a line of its own.
constexpr std::size_t kTextColumns = 96;
std::string WrapText(std::string_view head, std::string_view text, std::size_t indent);

// At most `columns` characters (UTF-8), with "..." in the middle for what is left out.
std::string Shorten(std::string_view text, std::size_t columns);

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
