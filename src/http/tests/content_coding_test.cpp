#include "http/content_coding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/limits.h"
#include "http/tests/raw_connection.h"
#include "http/tests/server_fixture.h"

namespace skerry {
namespace {

using http_detail::ChooseCoding;
using http_detail::ContentCoding;
using http_detail::DecodeBody;
using http_detail::EncodeBody;
using http_detail::ParseContentEncoding;
using testing::HasSubstr;

constexpr ContentCoding kBoth[] = {ContentCoding::kGzip, ContentCoding::kDeflate};

// The most that this process has had in memory so far.
std::size_t PeakResidentKiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6));
  return 0;
}

TEST(ContentCodingTest, WhatIsEncodedDecodesToTheSame) {
  for (const ContentCoding coding : kBoth)
    for (const std::size_t size : {0U, 1U, 1000U, 3'000'000U}) {
      std::string body(size, 'x');
      for (std::size_t i = 0; i < size; i += 7) body[i] = static_cast<char>(i * i >> 3U);
      const auto decoded = DecodeBody(EncodeBody(body, coding), coding, size);
      ASSERT_TRUE(decoded) << decoded.error().message();
      EXPECT_TRUE(*decoded == body) << size;
    }
}

TEST(ContentCodingTest, MembersOfAGzipFileFollowEachOther) {
  const std::string two =
      EncodeBody("one ", ContentCoding::kGzip) + EncodeBody("two", ContentCoding::kGzip);
  EXPECT_EQ(DecodeBody(two, ContentCoding::kGzip, 100).value(), "one two");
}

TEST(ContentCodingTest, DamagedAndTruncatedBodiesAreRefused) {
  for (const ContentCoding coding : kBoth) {
    const std::string whole = EncodeBody(std::string(500, 'a') + "bc", coding);
    for (std::size_t size = 0; size < whole.size(); ++size)
      EXPECT_EQ(DecodeBody(whole.substr(0, size), coding, 1000).error().code(),
                ErrorCode::kInvalidArgument);
    EXPECT_FALSE(DecodeBody(whole + "x", coding, 1000));
    std::string flipped = whole;
    flipped[whole.size() - 1] = static_cast<char>(flipped[whole.size() - 1] ^ 1);
    EXPECT_FALSE(DecodeBody(flipped, coding, 1000));
    EXPECT_FALSE(DecodeBody("no such data", coding, 1000));
  }
}

TEST(ContentCodingTest, ABombIsRefusedWithoutItsMemory) {
  const std::string bomb = EncodeBody(std::string(200U << 20U, '0'), ContentCoding::kGzip);
  ASSERT_LT(bomb.size(), 2U << 20U);
  for (const std::size_t limit : {std::size_t{100}, limits::kRequestBodyBytes}) {
    const std::size_t before = PeakResidentKiB();
    const auto refused = DecodeBody(bomb, ContentCoding::kGzip, limit);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
    EXPECT_THAT(refused.error().message(), HasSubstr(std::to_string(limit)));
    EXPECT_LT(PeakResidentKiB() - before, 4U << 10U);
  }
}

TEST(ContentCodingTest, TheLimitIsExact) {
  for (const std::size_t size : {100U, 2U << 20U}) {
    const std::string body = EncodeBody(std::string(size, 'x'), ContentCoding::kDeflate);
    EXPECT_TRUE(DecodeBody(body, ContentCoding::kDeflate, size));
    EXPECT_FALSE(DecodeBody(body, ContentCoding::kDeflate, size - 1));
  }
}

TEST(ContentCodingTest, ThePeersPreferenceIsFollowed) {
  EXPECT_EQ(ChooseCoding(""), ContentCoding::kIdentity);
  EXPECT_EQ(ChooseCoding("br, zstd"), ContentCoding::kIdentity);
  EXPECT_EQ(ChooseCoding("gzip, deflate, br"), ContentCoding::kGzip);
  EXPECT_EQ(ChooseCoding("GZIP;q=0.5 , deflate"), ContentCoding::kDeflate);
  EXPECT_EQ(ChooseCoding("gzip;q=0, deflate;q=0.0"), ContentCoding::kIdentity);
  EXPECT_EQ(ChooseCoding("*"), ContentCoding::kGzip);
  EXPECT_EQ(ChooseCoding("gzip;q=0,*;q=0.1"), ContentCoding::kDeflate);
  EXPECT_EQ(ChooseCoding(",;q=,,q=1;"), ContentCoding::kIdentity);
  EXPECT_EQ(ParseContentEncoding(" Gzip ").value(), ContentCoding::kGzip);
  EXPECT_EQ(ParseContentEncoding("identity").value(), ContentCoding::kIdentity);
  EXPECT_FALSE(ParseContentEncoding("gzip, gzip"));
}

std::string Post(const std::string& headers, const std::string& body) {
  return fmt::format(
             "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
             headers, body.size()) +
         body;
}

TEST_F(ServerTest, CodedBodiesTravelBothWaysOnRoutesThatOfferIt) {
  Start({{"POST", "/a", RouteKind::kInline, Echo(), 5000, RouteCoding::kOffered}});
  const std::string body(3000, 'y');
  for (const ContentCoding coding : kBoth) {
    const std::string name(http_detail::ContentCodingName(coding));
    RawConnection raw(server_->port());
    raw.Write(Post("Content-Encoding: " + name + "\r\nAccept-Encoding: br, " + name + "\r\n",
                   EncodeBody(body, coding)));
    const std::string answer = raw.ReadAll();
    EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
    EXPECT_THAT(answer, HasSubstr("Content-Encoding: " + name));
    EXPECT_THAT(answer, HasSubstr("Vary: Accept-Encoding"));
    EXPECT_EQ(DecodeBody(answer.substr(answer.find("\r\n\r\n") + 4), coding, 5000).value(),
              "|" + body);
  }
  RawConnection small(server_->port());
  small.Write(Post("Accept-Encoding: gzip\r\n", "abc"));
  EXPECT_THAT(small.ReadAll(), testing::EndsWith("|abc"));
}

TEST_F(ServerTest, CodingsThatAreNotReadAre415AndBombs413) {
  Start({{"POST", "/a", RouteKind::kInline, Echo(), 5000, RouteCoding::kOffered}});
  const auto status = [this](const std::string& headers, const std::string& body) {
    RawConnection raw(server_->port());
    raw.Write(Post(headers, body));
    return raw.ReadAll();
  };
  const std::string unknown = status("Content-Encoding: br\r\n", "abc");
  EXPECT_THAT(unknown, HasSubstr("HTTP/1.1 415"));
  EXPECT_THAT(unknown, HasSubstr("Accept-Encoding: gzip, deflate"));
  EXPECT_THAT(status("Content-Encoding: gzip, gzip\r\n", "abc"), HasSubstr("HTTP/1.1 415"));
  EXPECT_THAT(status("Content-Encoding: gzip\r\n", "abc"), HasSubstr("HTTP/1.1 400"));
  const std::string bomb = status("Content-Encoding: gzip\r\n",
                                  EncodeBody(std::string(1'000'000, '0'), ContentCoding::kGzip));
  EXPECT_THAT(bomb, HasSubstr("HTTP/1.1 413"));
  EXPECT_THAT(bomb, HasSubstr("limit of 5000 bytes"));
}

TEST_F(ServerTest, OtherRoutesTakeCodedBodiesAsTheyAre) {
  Start({{"POST", "/a", RouteKind::kInline, Echo()}});
  const std::string coded = EncodeBody(std::string(5000, 'z'), ContentCoding::kGzip);
  RawConnection raw(server_->port());
  raw.Write(Post("Content-Encoding: gzip\r\nAccept-Encoding: gzip\r\n", coded));
  EXPECT_THAT(raw.ReadAll(), testing::EndsWith("|" + coded));
}

}  // namespace
}  // namespace skerry
