// AWS Signature Version 4 as S3 wants it (docs.aws.amazon.com, "Authenticating Requests
// (AWS Signature Version 4)"): the request with its headers, hashed, signed by keys that are
// derived from the secret for one day, region and service.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"
#include "s3/place.h"

namespace skerry {

struct S3Request {
  std::string method = "GET";
  std::string path = "/";  // percent-encoded, with the bucket where it is asked for by path
  std::vector<std::pair<std::string, std::string>> query{};  // not encoded
  HeaderList headers{};                                      // Host among them; all are signed
  std::string payload{};
  std::string payload_sha256{};  // in hexadecimal, of a body that comes from a file; else empty
};

// Names in their order and percent-encoded, "a=1&b=": what is signed and what has to be sent.
std::string CanonicalQuery(std::vector<std::pair<std::string, std::string>> query);

// The request's headers and those that sign it: x-amz-content-sha256, x-amz-date,
// x-amz-security-token (with a session token) and Authorization.
HeaderList SignedHeaders(const S3Request& request, const S3Keys& keys, std::string_view region,
                         std::int64_t utc_us);

}  // namespace skerry
