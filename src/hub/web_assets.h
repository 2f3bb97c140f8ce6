// The global app's files, compiled in. The table itself is generated at build time from `web/`
// (scripts/web); it is read-only, lives as long as the process, and any thread may read it.
#pragma once

#include <span>
#include <string_view>

namespace skerry {

struct WebAsset {
  std::string_view path;          // "/index.html", "/assets/app-3f2a.js"
  std::string_view content_type;  // "text/html; charset=utf-8"
  std::string_view gzip_body;     // the file, gzipped (RFC 1952)
};

// Sorted by path.
std::span<const WebAsset> WebAssets();

}  // namespace skerry
