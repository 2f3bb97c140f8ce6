// URLs of http and https (RFC 3986), as far as a client and routes need them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

struct Url {
  std::string scheme;  // "http", "https"
  std::string host;    // without brackets
  std::uint16_t port = 0;
  std::string path;  // with the query; "/" when empty

  // kInvalidArgument for other schemes, user names in the URL, or no host.
  static Result<Url> Parse(std::string_view text);
  bool tls() const { return scheme == "https"; }
  // "https://host:8443", without a path.
  std::string Origin() const;
};

// Everything but unreserved characters (RFC 3986 2.3) as %XX.
std::string PercentEncode(std::string_view text);
// kInvalidArgument for a broken escape.
Result<std::string> PercentDecode(std::string_view text);

// "127.0.0.1", "::1", "localhost" and everything in 127.0.0.0/8.
bool IsLoopback(std::string_view host);

}  // namespace skerry
