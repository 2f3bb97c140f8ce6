// gzip and deflate bodies (RFC 9110 8.4 and 12.5.3, RFC 1950 and 1952). The one adapter of zlib.
// Internal to http. Thread-safe: nothing is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace skerry::http_detail {

enum class ContentCoding : std::uint8_t { kIdentity, kGzip, kDeflate };

std::string_view ContentCodingName(ContentCoding coding);  // "gzip"

// The value of a request's Content-Encoding; "" is identity. kUnimplemented for any other coding,
// or more than one.
Result<ContentCoding> ParseContentEncoding(std::string_view value);

// The coding for an answer to a request with that Accept-Encoding: gzip or deflate where the peer
// wants it, the one that it prefers, gzip when it does not care.
ContentCoding ChooseCoding(std::string_view accept_encoding);

// kTooLarge, naming the limit, when the decoded body is over `most_bytes`; that is found out
// without keeping it in memory. kInvalidArgument when it is damaged, truncated or followed by other
// bytes. `coding` is not identity.
Result<std::string> DecodeBody(std::string_view body, ContentCoding coding, std::size_t most_bytes);

// `coding` is not identity.
std::string EncodeBody(std::string_view body, ContentCoding coding);

// The request's body as it was before its coding; else the refusal: 415 for a coding that is not
// read, and what DecodeBody says.
std::optional<HttpResponse> DecodeRequest(HttpRequest& request, std::size_t most_bytes);

// The answer's body in that coding, where it is worth it: 1 KiB or more, no file, and smaller then.
void EncodeResponse(HttpResponse& response, ContentCoding coding);

}  // namespace skerry::http_detail
