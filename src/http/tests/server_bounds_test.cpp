// What a server does with peers that are wrong, slow, or too many.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/limits.h"
#include "http/tests/raw_connection.h"
#include "http/tests/server_fixture.h"

namespace skerry {
namespace {

TEST_F(ServerTest, BodyAndHeaderOverTheirLimitsAreRefused) {
  Start({{"POST", "/a", RouteKind::kInline, Echo(), 100}});
  EXPECT_EQ(Send("POST", "/a", std::string(100, 'x')).value().status, 200);
  const auto large = Send("POST", "/a", std::string(101, 'x')).value();
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.body.find("limit of 100 bytes"), std::string::npos);
  RawConnection chunked(server_->port());
  chunked.Write("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" +
                std::string(0x65, 'x') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(chunked.ReadAll().starts_with("HTTP/1.1 413 "));
  RawConnection header(server_->port());
  header.Write("GET /a HTTP/1.1\r\nX: " + std::string(limits::kHeaderBytes, 'h') + "\r\n\r\n");
  EXPECT_TRUE(header.ReadAll().starts_with("HTTP/1.1 431 "));
}

TEST_F(ServerTest, MalformedRequestsAre400AndClose) {
  Start({{"GET", "/a", RouteKind::kInline, Echo()}});
  for (const std::string text :
       {"NONSENSE\r\n\r\n", "GET /a HTTP/9.9\r\n\r\n", "GET /a HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\n"}) {
    RawConnection raw(server_->port());
    raw.Write(text);
    EXPECT_TRUE(raw.ReadAll().starts_with("HTTP/1.1 400 ")) << text;
  }
}

TEST_F(ServerTest, SlowHeaderAndSlowBodyEndTheConnection) {
  HttpServerOptions options;
  options.header_timeout = options.body_stall = std::chrono::milliseconds(50);
  Start({{"POST", "/a", RouteKind::kInline, Echo()}}, options);
  RawConnection header(server_->port());
  header.Write("POST /a HTTP/1.1\r\nHo");
  EXPECT_TRUE(header.ReadAll().starts_with("HTTP/1.1 408 "));
  RawConnection body(server_->port());
  body.Write("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_TRUE(body.ReadAll().starts_with("HTTP/1.1 408 "));
}

TEST_F(ServerTest, BodyOfOneByteAtATimeIsTooSlowInTheEnd) {
  HttpServerOptions options;
  options.body_stall = std::chrono::milliseconds(200);
  std::mutex mutex;
  std::optional<ErrorCode> ended;
  Start({{"POST", "/whole", RouteKind::kInline, Echo()},
         {"POST", "/stream", RouteKind::kStreaming,
          [&](HttpRequest& request, Responder responder) {
            char byte = 0;
            auto got = request.stream->Read(&byte, 1);
            while (got && *got > 0) got = request.stream->Read(&byte, 1);
            const std::lock_guard lock(mutex);
            if (!got) ended = got.error().code();
            responder.Send(HttpResponse::Empty(400));
          }}},
        options);
  for (const char* path : {"/whole", "/stream"}) {
    RawConnection raw(server_->port());
    raw.Write(fmt::format("POST {} HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", path));
    // Always within the stall time-out, but far below the least rate.
    int sent = 0;
    while (sent < 1'000 && !raw.Readable(std::chrono::milliseconds(100)) && raw.Write("x")) ++sent;
    EXPECT_LT(sent, 100) << path;
  }
  server_.reset();
  EXPECT_EQ(ended, ErrorCode::kDeadlineExceeded);
}

TEST_F(ServerTest, StalledUploadsDoNotHoldOtherRoutesUp) {
  HttpServerOptions options;
  options.workers = options.stream_workers = 1;
  Start({{"PUT", "/up", RouteKind::kStreaming,
          [](HttpRequest& request, Responder responder) {
            char byte = 0;
            const auto got = request.stream->Read(&byte, 1);
            responder.Send(HttpResponse::Empty(got ? 200 : 400));
          }},
         {"GET", "/a", RouteKind::kPooled, Echo()}},
        options);
  RawConnection stalled(server_->port());
  stalled.Write("PUT /up HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
  EXPECT_EQ(Send("GET", "/a").value().status, 200);
}

TEST_F(ServerTest, TooManyWaitingRequestsAreSentAway) {
  std::mutex mutex;
  std::condition_variable changed;
  bool go = false;
  HttpServerOptions options;
  options.workers = 1;
  Start({{"GET", "/a", RouteKind::kPooled,
          [&](HttpRequest&, Responder responder) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return go; });
            responder.Send(HttpResponse::Text(200, "done"));
          }}},
        options);
  // One runs and kWaitingRequests wait, at the most; the others are answered at once.
  constexpr std::size_t kOver = 20;
  std::vector<std::unique_ptr<RawConnection>> all;
  for (std::size_t i = 0; i < limits::kWaitingRequests + 1 + kOver; ++i) {
    all.push_back(std::make_unique<RawConnection>(server_->port()));
    if (!all.back()->connected()) GTEST_SKIP() << "not enough file descriptors";
    all.back()->Write("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  }
  std::size_t refused = 0;
  for (const auto& raw : all) refused += raw->Readable(std::chrono::milliseconds(0)) ? 1 : 0;
  while (refused < kOver) {
    refused = 0;
    for (const auto& raw : all) refused += raw->Readable(std::chrono::milliseconds(1)) ? 1 : 0;
  }
  {
    const std::lock_guard lock(mutex);
    go = true;
    changed.notify_all();
  }
  std::size_t busy = 0, done = 0;
  for (const auto& raw : all) {
    const std::string answer = raw->ReadAll();
    busy += answer.starts_with("HTTP/1.1 503 ") ? 1 : 0;
    done += answer.ends_with("done") ? 1 : 0;
  }
  server_.reset();  // no handler uses what dies here
  EXPECT_GE(busy, kOver);
  EXPECT_EQ(busy + done, all.size());
}

TEST_F(ServerTest, ConnectionsOverTheLimitAreClosed) {
  HttpServerOptions options;
  options.max_connections = 1;
  Start({{"GET", "/a", RouteKind::kInline, Echo()}}, options);
  RawConnection first(server_->port());
  first.Write("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(first.ReadUntil("\r\n\r\n|").ends_with("|"));
  RawConnection second(server_->port());
  EXPECT_EQ(second.ReadAll(), "");
  first.Write("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(first.ReadAll().ends_with("|"));
}

TEST_F(ServerTest, HeadersOfAHandlerCannotBreakTheAnswer) {
  Start({{"GET", "/a", RouteKind::kInline, [](HttpRequest&, Responder responder) {
            HttpResponse response = HttpResponse::Text(200, "body");
            response.SetHeader("X", "1\r\nEvil: 2");
            response.SetHeader("content-length", "70");
            responder.Send(std::move(response));
          }}});
  const HttpReply get = Send("GET", "/a").value();
  EXPECT_EQ(get.Header("X"), "1  Evil: 2");
  EXPECT_EQ(get.Header("Evil"), "");
  EXPECT_EQ(get.Header("Content-Length"), "4");
  EXPECT_EQ(Send("HEAD", "/a").value().Header("Content-Length"), "70");
}

TEST_F(ServerTest, ConnectionsThatWaitTooLongAreClosed) {
  HttpServerOptions options;
  options.idle_timeout = std::chrono::milliseconds(60);
  Start({{"GET", "/a", RouteKind::kInline, Echo()}}, options);
  RawConnection silent(server_->port());
  RawConnection used(server_->port());
  used.Write("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_EQ(silent.ReadAll(), "");
  const std::string answer = used.ReadAll();  // ends when the server closes
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_TRUE(answer.ends_with("|")) << answer;
}

TEST_F(ServerTest, HalfClosedPeersGetTheirAnswers) {
  Start(
      {{"POST", "/in", RouteKind::kInline, Echo()}, {"POST", "/pool", RouteKind::kPooled, Echo()}});
  for (const std::string path : {"/in", "/pool"}) {
    RawConnection raw(server_->port());
    raw.Write("POST " + path + " HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    raw.EndWriting();
    const std::string answer = raw.ReadAll();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(answer.ends_with("|abc")) << answer;
  }
  for (const std::string part :
       {"", "POST /in HT", "POST /in HTTP/1.1\r\nContent-Length: 3\r\n\r\na"}) {
    RawConnection raw(server_->port());
    raw.Write(part);
    raw.EndWriting();
    EXPECT_FALSE(raw.ReadAll().starts_with("HTTP/1.1 200")) << part;  // and the connection ends
  }
}

TEST_F(ServerTest, TenThousandIdleConnectionsHoldNobodyUp) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  // Both ends are in this process.
  const std::size_t count = std::min<std::size_t>(10'000, (files.rlim_cur - 200) / 2);
  Start({{"POST", "/{x}", RouteKind::kInline, Echo()}});
  std::vector<std::unique_ptr<RawConnection>> idle;
  for (std::size_t i = 0; i < count; ++i) {
    idle.push_back(std::make_unique<RawConnection>(server_->port()));
    ASSERT_TRUE(idle.back()->connected()) << i;
    if (i % 2 == 1) idle.back()->Write("POST /x HTTP/1.1\r\nContent-Le");  // and then nothing
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Send("POST", "/y", "b").value().body, "y|b");
  idle.back()->Write("ngth: 1\r\n\r\nz");
  EXPECT_TRUE(idle.back()->ReadUntil("x|z").ends_with("x|z"));
}

TEST_F(ServerTest, ManyConnectionsAtOnce) {
  HttpServerOptions options;
  options.loops = 2;
  Start({{"POST", "/pool/{x}", RouteKind::kPooled, Echo()},
         {"POST", "/in/{x}", RouteKind::kInline, Echo()}},
        options);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 50; ++t)
    threads.emplace_back([&, t] {
      HttpClient client({});
      for (const char* kind : {"/in/", "/pool/"}) {
        const auto reply = client.Send(Call("POST", Url(kind + std::to_string(t)), "b"));
        if (reply && reply->body == std::to_string(t) + "|b") ++good;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 100);
}

TEST_F(ServerTest, PortInUseNamesItAndPlainHttpStaysOnLoopback) {
  HttpServerOptions options;
  options.loops = 2;
  Start({}, options);
  options.port = server_->port();
  const auto second = HttpServer::Start(options, {}, metrics_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message().find(std::to_string(options.port)), std::string::npos);
  options.address = "0.0.0.0";
  EXPECT_EQ(HttpServer::Start(options, {}, metrics_).error().code(), ErrorCode::kInvalidArgument);
}

// 127.0.0.1 in a spelling that does not count as loopback.
TEST_F(ServerTest, PlainHttpListensElsewhereWhenItIsToldTo) {
  HttpServerOptions options;
  options.address = "::ffff:127.0.0.1";
  EXPECT_EQ(HttpServer::Start(options, {}, metrics_).error().code(), ErrorCode::kInvalidArgument);
  options.plain = PlainHttp::kAnywhere;
  Start({{"GET", "/a", RouteKind::kInline, Echo()}}, options);
  EXPECT_EQ(Send("GET", "/a").value().status, 200);
}

}  // namespace
}  // namespace skerry
