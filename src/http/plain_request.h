// The quick way through the head of a request (RFC 9112): what nearly every client sends, that has
// come whole. Internal to http.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "http/message.h"

namespace skerry::http_detail {

struct PlainRequest {
  std::size_t bytes = 0;  // of head and body
  bool keep_alive = true;
};

// Fills method, target, path, headers, body and content_length of `request`, whose memory is used
// again, from the first request in `bytes`. Nothing when it is not whole, or anything about it is
// out of the ordinary: another version than 1.1, a body that is chunked, an Expect or an Upgrade, a
// length or a Connection that is odd or given twice, or a character that does not belong where it
// stands. The general parser judges those, and `request` is of no use then.
std::optional<PlainRequest> TakePlainRequest(std::string_view bytes, HttpRequest& request);

}  // namespace skerry::http_detail
