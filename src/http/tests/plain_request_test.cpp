// The quick way through a request's head must never see something else than the general parser.
#include "http/plain_request.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/beast/http.hpp>
#include <random>

#include "http/tests/raw_connection.h"
#include "http/tests/server_fixture.h"

namespace skerry {
namespace {

using http_detail::TakePlainRequest;
namespace http = boost::beast::http;

const std::string kPlain =
    "POST /v2/models/m/infer?a=%20b HTTP/1.1\r\nHost: h:1\r\nX-Empty:\r\ncontent-length:  5 \r\n"
    "Connection: Keep-Alive\r\nAccept: */*\r\n\r\n{\"a\"}";

TEST(PlainRequestTest, AWholeRequestIsTaken) {
  HttpRequest request;
  request.headers.resize(20, {"left", "over"});
  const auto taken = TakePlainRequest(kPlain + "GET /next", request);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->bytes, kPlain.size());
  EXPECT_TRUE(taken->keep_alive);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v2/models/m/infer?a=%20b");
  EXPECT_EQ(request.path, "/v2/models/m/infer");
  EXPECT_EQ(request.body, "{\"a\"}");
  EXPECT_EQ(request.content_length, 5U);
  ASSERT_EQ(request.headers.size(), 5U);
  EXPECT_EQ(request.Header("x-empty"), "");
  EXPECT_EQ(request.Header("Content-Length"), "5");
  EXPECT_FALSE(
      TakePlainRequest("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", request)->keep_alive);
}

TEST(PlainRequestTest, NothingShortIsTaken) {
  HttpRequest request;
  for (std::size_t size = 0; size < kPlain.size(); ++size)
    EXPECT_FALSE(TakePlainRequest(kPlain.substr(0, size), request)) << size;
}

TEST(PlainRequestTest, WhatIsUnusualIsLeftToTheGeneralParser) {
  HttpRequest request;
  for (const std::string head : {"GET / HTTP/1.0\r\n",
                                 "GET  / HTTP/1.1\r\n",
                                 "GET /a b HTTP/1.1\r\n",
                                 "GET * HTTP/1.1\r\n",
                                 "G\x01T / HTTP/1.1\r\n",
                                 "GET /\x80 HTTP/1.1\r\n",
                                 "GET / HTTP/1.1\n",
                                 " GET / HTTP/1.1\r\n",
                                 "\r\nGET / HTTP/1.1\r\n",
                                 "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                                 "GET / HTTP/1.1\r\nExpect: 100-continue\r\n",
                                 "GET / HTTP/1.1\r\nUpgrade: h2c\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length: 0, 0\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length: +0\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length: -1\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length:\r\n",
                                 "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
                                 "GET / HTTP/1.1\r\nConnection: keep-alive, close\r\n",
                                 "GET / HTTP/1.1\r\nConnection: close\r\nConnection: close\r\n",
                                 "GET / HTTP/1.1\r\nname : v\r\n",
                                 "GET / HTTP/1.1\r\n: v\r\n",
                                 "GET / HTTP/1.1\r\nname\r\n",
                                 "GET / HTTP/1.1\r\na: b\r\n folded\r\n",
                                 "GET / HTTP/1.1\r\na: b\x01\r\n",
                                 "GET / HTTP/1.1\r\na: b\nc: d\r\n"})
    EXPECT_FALSE(TakePlainRequest(head + "\r\n", request)) << head;
}

// Deterministic mutations; what is taken must be what Beast takes.
TEST(PlainRequestTest, WhatIsTakenIsWhatTheGeneralParserSees) {
  const std::string kPieces[] = {
      "\r\n", "\n",    " ",           ":",    "Content-Length: 3\r\n",          "\t",
      "0",    "GET",   "\r",          "\x80", "Transfer-Encoding: chunked\r\n", "?",
      "%",    "close", "Host: a\r\n", ","};
  std::mt19937 random(7);
  std::size_t accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text = kPlain;
    for (std::size_t change = random() % 3 + 1; change > 0; --change) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0)
        text.insert(at, kPieces[random() % std::size(kPieces)]);
      else
        text.erase(at, random() % 4);
    }
    HttpRequest request;
    const auto taken = TakePlainRequest(text, request);
    if (!taken) continue;
    ++accepted;
    http::request_parser<http::string_body> parser;
    parser.eager(true);
    boost::beast::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(text), error);
    ASSERT_FALSE(error) << error.message() << "\n" << text;
    ASSERT_TRUE(parser.is_done()) << text;
    ASSERT_EQ(used, taken->bytes) << text;
    const auto& message = parser.get();
    ASSERT_EQ(message.method_string(), request.method) << text;
    ASSERT_EQ(message.target(), request.target) << text;
    ASSERT_EQ(message.body(), request.body) << text;
    ASSERT_EQ(message.keep_alive(), taken->keep_alive) << text;
    HeaderList seen;  // Beast puts fields of one name together
    for (const auto& field : message) seen.emplace_back(field.name_string(), field.value());
    std::sort(seen.begin(), seen.end());
    std::sort(request.headers.begin(), request.headers.end());
    ASSERT_EQ(seen, request.headers) << text;
  }
  EXPECT_GT(accepted, 10'000U);
}

TEST_F(ServerTest, PipelinedRequestsOfBothKindsAreAnsweredInOrder) {
  Start({{"POST", "/{x}", RouteKind::kInline, Echo()}});
  std::string text;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    const std::string body = std::to_string(i);
    text += i % 3 == 0 ? fmt::format(
                             "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n"
                             "{}\r\n0\r\n\r\n",
                             body.size(), body)
                       : fmt::format("POST /p HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}",
                                     body.size(), body);
    expected += (i % 3 == 0 ? "c|" : "p|") + body + "\n";
  }
  RawConnection raw(server_->port());
  raw.Write(text + "POST /p HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  std::string answers = raw.ReadAll();
  std::string seen;
  for (std::size_t at = 0; (at = answers.find("\r\n\r\n", at)) != std::string::npos;) {
    at += 4;
    seen += answers.substr(at, answers.find("HTTP/1.1", at) - at) + "\n";
  }
  EXPECT_EQ(seen, expected + "p|\n");
}

}  // namespace
}  // namespace skerry
