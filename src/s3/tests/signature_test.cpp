#include "s3/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace skerry {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

const S3Keys kKeys{.id = "AKIAIOSFODNN7EXAMPLE",
                   .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};

std::string AuthorizationOf(S3Request request) {
  request.headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
  const std::int64_t time = ParseUtc("2013-05-24T00:00:00Z").value();
  return std::string(FindHeader(SignedHeaders(request, kKeys, "us-east-1", time), "Authorization"));
}

// The examples that AWS publishes: Amazon S3 API Reference, "Signature Calculations for the
// Authorization Header: Transferring Payload in a Single Chunk".
TEST(Signature, OfAGetOfARangeIsThePublishedOne) {
  EXPECT_EQ(AuthorizationOf({.path = "/test.txt", .headers = {{"Range", "bytes=0-9"}}}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(Signature, OfAPutWithAPayloadIsThePublishedOne) {
  EXPECT_EQ(AuthorizationOf({.method = "PUT",
                             .path = "/test%24file.text",
                             .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                         {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                             .payload = "Welcome to Amazon S3."}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
            "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(Signature, OfAParameterWithoutAValueIsThePublishedOne) {
  EXPECT_THAT(AuthorizationOf({.query = {{"lifecycle", ""}}}),
              EndsWith("Signature="
                       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(Signature, OfAListIsThePublishedOneInWhateverOrderItIsAskedFor) {
  const char* published =
      "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
  EXPECT_THAT(AuthorizationOf({.query = {{"max-keys", "2"}, {"prefix", "J"}}}),
              EndsWith(published));
  EXPECT_THAT(AuthorizationOf({.query = {{"prefix", "J"}, {"max-keys", "2"}}}),
              EndsWith(published));
}

TEST(Signature, CoversTheTokenOfLentKeysAndHoldsNoSecret) {
  S3Keys lent = kKeys;
  lent.session_token = "token";
  const HeaderList headers =
      SignedHeaders({.headers = {{"Host", "h"}}}, lent, "eu-central-1", 1'700'000'000'123'456);
  EXPECT_EQ(FindHeader(headers, "x-amz-security-token"), "token");
  EXPECT_EQ(FindHeader(headers, "x-amz-date"), "20231114T221320Z");
  EXPECT_THAT(std::string(FindHeader(headers, "Authorization")), HasSubstr("x-amz-security-token"));
  for (const auto& [name, value] : headers) EXPECT_EQ(value.find(kKeys.secret), std::string::npos);
}

TEST(Signature, QueryIsEncodedAndSorted) {
  EXPECT_EQ(CanonicalQuery({{"prefix", "a b/c+d"}, {"delimiter", "/"}, {"list-type", "2"}}),
            "delimiter=%2F&list-type=2&prefix=a%20b%2Fc%2Bd");
}

}  // namespace
}  // namespace skerry
