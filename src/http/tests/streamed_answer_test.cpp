// Answers that are written as they are made.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include "http/tests/raw_connection.h"
#include "http/tests/server_fixture.h"

namespace skerry {
namespace {

// Sends every piece of the body back as it comes.
void EchoPieces(HttpRequest& request, Responder responder) {
  char buffer[4'096];
  responder.Start(HttpResponse::Text(200, ""));
  while (true) {
    const auto got = request.stream->Read(buffer, sizeof buffer);
    if (!got || !responder.Write(std::string(buffer, *got))) return;
    if (*got == 0) return responder.Finish();
  }
}

using StreamedAnswerTest = ServerTest;

TEST_F(StreamedAnswerTest, PiecesArriveWhileTheBodyStillComesAndTheConnectionIsKept) {
  Start({{"POST", "/echo", RouteKind::kStreaming, EchoPieces},
         {"GET", "/a", RouteKind::kInline, Echo()}});
  RawConnection raw(server_->port());
  raw.Write("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  const std::string head = raw.ReadUntil("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(raw.ReadUntil("first\r\n"), "5\r\nfirst\r\n");
  raw.Write("6\r\nsecond\r\n");
  EXPECT_EQ(raw.ReadUntil("second\r\n"), "6\r\nsecond\r\n");
  raw.Write("0\r\n\r\nGET /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(raw.ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_TRUE(raw.ReadAll().ends_with("\r\n\r\n|"));
}

TEST_F(StreamedAnswerTest, LargeBodiesComeBackWhole) {
  Start({{"POST", "/echo", RouteKind::kStreaming, EchoPieces}});
  std::string body;
  for (int i = 0; body.size() < 900'000; ++i) body += std::to_string(i);
  EXPECT_EQ(Send("POST", "/echo", body).value().body, body);
}

TEST_F(StreamedAnswerTest, Http10GetsNoChunksAndTheEndOfTheConnection) {
  Start({{"POST", "/echo", RouteKind::kStreaming, EchoPieces}});
  RawConnection raw(server_->port());
  raw.Write("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
  const std::string all = raw.ReadAll();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\nhi")) << all;
}

TEST_F(StreamedAnswerTest, AnswerThatBreaksOffHasNoLastChunk) {
  Start({{"GET", "/a", RouteKind::kPooled, [](HttpRequest&, Responder responder) {
            responder.Start(HttpResponse::Text(200, ""));
            EXPECT_TRUE(responder.Write("abc"));
          }}});
  RawConnection raw(server_->port());
  raw.Write("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(raw.ReadAll().ends_with("3\r\nabc\r\n"));
}

TEST_F(StreamedAnswerTest, FinishedBeforeTheEndOfTheBodyClosesAfterTheAnswer) {
  Start({{"POST", "/a", RouteKind::kStreaming, [](HttpRequest&, Responder responder) {
            responder.Start(HttpResponse::Text(200, ""));
            EXPECT_TRUE(responder.Write("enough"));
            responder.Finish();
          }}});
  RawConnection raw(server_->port());
  raw.Write("POST /a HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx");
  EXPECT_TRUE(raw.ReadAll().ends_with("6\r\nenough\r\n0\r\n\r\n"));
}

TEST_F(StreamedAnswerTest, HeadGetsNoBody) {
  Start({{"GET", "/a", RouteKind::kPooled, [](HttpRequest&, Responder responder) {
            responder.Start(HttpResponse::Text(200, ""));
            EXPECT_TRUE(responder.Write("body"));
            responder.Finish();
          }}});
  RawConnection raw(server_->port());
  raw.Write("HEAD /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(raw.ReadAll().ends_with("\r\n\r\n"));
}

TEST_F(StreamedAnswerTest, PeerThatReadsNothingStopsTheHandlerAndIsLeft) {
  HttpServerOptions options;
  options.idle_timeout = std::chrono::milliseconds(300);
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<ErrorCode> ended;
  std::size_t pieces = 0;
  Start({{"GET", "/a", RouteKind::kPooled,
          [&](HttpRequest&, Responder responder) {
            responder.Start(HttpResponse::Text(200, ""));
            Status status;
            std::size_t written = 0;
            while (written < 1'000 && (status = responder.Write(std::string(1U << 20U, 'x'))))
              ++written;
            const std::lock_guard lock(mutex);
            if (!status) ended = status.error().code();
            pieces = written;
            changed.notify_all();
          }}},
        options);
  RawConnection raw(server_->port());
  raw.Write("GET /a HTTP/1.1\r\n\r\n");
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ended.has_value(); });
  EXPECT_EQ(*ended, ErrorCode::kUnavailable);
  EXPECT_LT(pieces, 100U) << "what nobody reads was taken";
}

TEST_F(StreamedAnswerTest, ServersEndEndsAnAnswerUnderWay) {
  std::promise<void> writing;
  Start({{"GET", "/a", RouteKind::kPooled, [&](HttpRequest&, Responder responder) {
            responder.Start(HttpResponse::Text(200, ""));
            if (responder.Write("first")) writing.set_value();
            while (responder.Write(std::string(1U << 16U, 'x'))) {
            }
          }}});
  RawConnection raw(server_->port());
  raw.Write("GET /a HTTP/1.1\r\n\r\n");
  writing.get_future().wait();
  server_.reset();  // returns
  EXPECT_FALSE(raw.ReadAll().ends_with("0\r\n\r\n"));
}

TEST_F(StreamedAnswerTest, KindOfARequestIsChosenByItsHead) {
  Route route{"POST", "/a", RouteKind::kInline, [](HttpRequest& request, Responder responder) {
                responder.Send(HttpResponse::Text(
                    200, (request.stream != nullptr ? "streamed " : "whole ") + request.body));
              }};
  route.choose_kind = [](const HttpRequest& request) {
    if (request.HasQuery("pooled")) return RouteKind::kPooled;
    return request.Header("Content-Type") == "text/csv" ? RouteKind::kStreaming
                                                        : RouteKind::kInline;
  };
  Start({route});
  EXPECT_EQ(Send("POST", "/a", "x").value().body, "whole x");
  EXPECT_EQ(Send("POST", "/a?pooled=1", "x").value().body, "whole x");
  HttpCall call = Call("POST", Url("/a"), "x");
  call.headers = {{"Content-Type", "text/csv"}};
  EXPECT_EQ(client_.Send(call).value().body, "streamed ");
}

}  // namespace
}  // namespace skerry
