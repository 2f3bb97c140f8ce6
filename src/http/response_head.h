// Writes the header of an answer (RFC 9112). Internal to http.
#pragma once

#include <cstdint>
#include <string>

#include "http/message.h"

namespace skerry::http_detail {

struct ResponseFraming {
  std::uint64_t length = 0;  // of the body that a GET would get; kUnknownLength: it is chunked
  bool keep_alive = false;
  bool head = false;        // the answer to a HEAD
  bool version_10 = false;  // the peer speaks HTTP/1.0, which has to be told of keep-alive
};

// 1xx, 204 and 304 have no body and no Content-Length.
bool HasNoBody(int status);

// Into `out`, which is cleared first and keeps its memory. Content-Length, Connection,
// Transfer-Encoding and Date are the server's: what the handler set for them is left out, except a
// Content-Length in the answer to a HEAD. Control characters in names and values, which could end
// the header early, become spaces.
void WriteResponseHead(const HttpResponse& response, const ResponseFraming& framing,
                       std::string& out);

}  // namespace skerry::http_detail
