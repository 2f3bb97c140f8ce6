// Requests and responses as handlers see them. Plain values; a request belongs to its handler.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace skerry {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// How names of headers and many of their values compare (RFC 9110 5.1): the letters A-Z are a-z.
inline bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// The first header of that name (case-insensitive, RFC 9110 5.1); "" when there is none.
std::string_view FindHeader(const HeaderList& headers, std::string_view name);

// Who sent a request.
struct PeerIdentity {
  std::string address;  // "127.0.0.1"
  bool loopback = false;
  std::string certificate_pem;   // of a client certificate that the server's client CA verified
  std::string certificate_name;  // its common name; both empty without one
};

// The body of a request on a streaming route, as it arrives. Not to be read after the answer was
// sent. An answer that is sent before the end of the body closes the connection.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Blocks for the next bytes; 0 is the end of the body. kUnavailable when the peer went away
  // before the end, kDeadlineExceeded when it sends nothing for limits::kBodyStall or is slower
  // than limits::kSlowestBodyBytesPerSecond, kInvalidArgument when its framing is broken.
  virtual Result<std::size_t> Read(char* out, std::size_t size) = 0;
};

constexpr std::uint64_t kUnknownLength = std::numeric_limits<std::uint64_t>::max();

struct HttpRequest {
  std::string method;  // "GET"
  std::string target;  // as sent: "/v2/a%20b?n=3"
  std::string path;    // without the query, not decoded
  HeaderList headers;
  std::map<std::string, std::string, std::less<>> params;  // from the route's pattern, decoded
  std::string body;                                        // whole; empty on streaming routes
  BodyReader* stream = nullptr;      // on streaming routes, valid while the handler runs
  std::uint64_t content_length = 0;  // kUnknownLength when the body is chunked
  PeerIdentity peer;

  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
  // A parameter of the pattern; "" when the pattern has none of that name.
  const std::string& Param(std::string_view name) const;
  // The first query parameter of that name, percent-decoded; "" when there is none.
  std::string Query(std::string_view name) const;
  bool HasQuery(std::string_view name) const;
};

// A part of a file as a response's or an upload's body. The file must not shrink meanwhile.
struct FileBody {
  std::filesystem::path path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// Content-Length, Transfer-Encoding, Date and Connection are the server's: what a handler sets for
// them is left out, except a Content-Length in the answer to a HEAD. The rest is the handler's.
struct HttpResponse {
  int status = 200;
  HeaderList headers;
  std::string body;
  std::optional<FileBody> file;  // instead of `body`

  void SetHeader(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
  }
  static HttpResponse Empty(int status);
  static HttpResponse Text(int status, std::string body,
                           std::string content_type = "text/plain; charset=utf-8");
  static HttpResponse JsonText(int status, std::string body);
};

// "Not Found"
std::string_view ReasonPhrase(int status);

}  // namespace skerry
