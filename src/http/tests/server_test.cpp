#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "http/status.h"
#include "http/tests/raw_connection.h"
#include "http/tests/server_fixture.h"
#include "storage/file.h"

namespace skerry {
namespace {

TEST_F(ServerTest, InlineAndPooledRoutesAnswerWithBodyAndParameters) {
  Start({{"POST", "/in/{x}", RouteKind::kInline, Echo()},
         {"POST", "/pool/{x...}/end", RouteKind::kPooled, Echo()}});
  EXPECT_EQ(Send("POST", "/in/a%20b", "body").value().body, "a b|body");
  EXPECT_EQ(Send("POST", "/pool/a/b/end", std::string(1'000'000, 'z')).value().body,
            "a/b|" + std::string(1'000'000, 'z'));
}

TEST_F(ServerTest, UnknownPathIs404AndAnotherMethodIs405WithAllow) {
  Start({{"GET", "/a/{x}", RouteKind::kInline, Echo()},
         {"PUT", "/a/{x}", RouteKind::kInline, Echo()}});
  EXPECT_EQ(Send("GET", "/b").value().status, 404);
  const auto reply = Send("DELETE", "/a/1").value();
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.Header("allow"), "GET, PUT");
  EXPECT_EQ(Send("GET", "/a/").value().status, 404);
}

TEST_F(ServerTest, HeadHasTheLengthOfGetAndNoBody) {
  Start({{"GET", "/a", RouteKind::kInline, Echo()}});
  const auto reply = Send("HEAD", "/a").value();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("content-length"), "1");
  EXPECT_EQ(reply.body, "");
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start({{"GET", "/in/{x}", RouteKind::kInline, Echo()},
         {"GET", "/pool/{x}", RouteKind::kPooled, Echo()}});
  RawConnection raw(server_->port());
  raw.Write(
      "GET /pool/1 HTTP/1.1\r\n\r\nGET /in/2 HTTP/1.1\r\n\r\n"
      "GET /pool/3 HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string all = raw.ReadAll();
  const std::size_t one = all.find("1|"), two = all.find("2|"), three = all.find("3|");
  ASSERT_NE(three, std::string::npos) << all;
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
}

TEST_F(ServerTest, ExpectContinueIsAnswered) {
  Start({{"POST", "/a", RouteKind::kInline, Echo()}});
  RawConnection raw(server_->port());
  raw.Write(
      "POST /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_EQ(raw.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  raw.Write("hi");
  EXPECT_TRUE(raw.ReadAll().ends_with("|hi"));
}

// With a body that never comes: the peer is told before it sends one.
TEST_F(ServerTest, AGuardRefusesBeforeTheBodyIsRead) {
  std::vector<Route> routes = {{"POST", "/a", RouteKind::kInline, Echo()},
                               {"POST", "/s", RouteKind::kStreaming, Echo()}};
  for (Route& route : routes)
    route.guard = [](const HttpRequest& request) -> std::optional<HttpResponse> {
      if (request.Header("authorization") == "yes") return std::nullopt;
      return HttpResponse::Text(401, "no");
    };
  Start(std::move(routes));
  for (const char* path : {"/a", "/s"}) {
    RawConnection raw(server_->port());
    raw.Write(fmt::format("POST {} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", path));
    EXPECT_TRUE(raw.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 401 ")) << path;
    RawConnection expecting(server_->port());
    expecting.Write(
        fmt::format("POST {} HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", path));
    EXPECT_TRUE(expecting.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 401 ")) << path;
  }
  RawConnection whole(server_->port());
  whole.Write(
      "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
      "POST /a HTTP/1.1\r\nContent-Length: 2\r\nAuthorization: yes\r\nConnection: close\r\n\r\nyo");
  const std::string answers = whole.ReadAll();
  EXPECT_TRUE(answers.starts_with("HTTP/1.1 401 ")) << answers;
  EXPECT_TRUE(answers.ends_with("|yo")) << answers;
}

TEST_F(ServerTest, RequestStaysItsHandlersUntilThatReturns) {
  std::mutex mutex;
  std::condition_variable changed;
  bool go = false;
  std::vector<std::string> seen;
  Start({{"POST", "/a", RouteKind::kPooled, [&](HttpRequest& request, Responder responder) {
            responder.Send(HttpResponse::Text(200, request.body));
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return go; });
            seen.push_back(request.body);
          }}});
  RawConnection raw(server_->port());
  raw.Write(
      "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
      "POST /a HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo");
  EXPECT_TRUE(raw.ReadUntil("one").ends_with("one"));
  {
    const std::lock_guard lock(mutex);
    go = true;
    changed.notify_all();
  }
  EXPECT_TRUE(raw.ReadAll().ends_with("two"));
  server_.reset();
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "two"}));
}

TEST_F(ServerTest, HandlerThatThrowsAnswers500) {
  const Handler thrower = [](HttpRequest&, Responder) { throw std::runtime_error("broken"); };
  Start({{"GET", "/inline", RouteKind::kInline, thrower},
         {"GET", "/pooled", RouteKind::kPooled, thrower}});
  EXPECT_EQ(Send("GET", "/inline").value().status, 500);
  EXPECT_EQ(Send("GET", "/pooled").value().status, 500);
}

TEST_F(ServerTest, RefusalWithoutABodyKeepsTheConnectionAndHttp10IsTold) {
  Start({{"GET", "/a", RouteKind::kInline, Echo()}});
  RawConnection raw(server_->port());
  raw.Write("GET /none HTTP/1.1\r\n\r\nGET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(raw.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 404 "));
  const std::string second = raw.ReadUntil("|");
  EXPECT_NE(second.find("HTTP/1.1 200 OK"), std::string::npos);
  EXPECT_NE(second.find("Connection: keep-alive\r\n"), std::string::npos);
}

TEST_F(ServerTest, StreamingHandlerGetsWhatCameBeforeACut) {
  std::mutex mutex;
  std::condition_variable changed;
  std::string got;
  std::optional<ErrorCode> ended;
  Start({{"PATCH", "/up", RouteKind::kStreaming, [&](HttpRequest& request, Responder responder) {
            char buffer[1'000];
            while (true) {
              const auto read = request.stream->Read(buffer, sizeof buffer);
              const std::lock_guard lock(mutex);
              if (!read) ended = read.error().code();
              if (read) got.append(buffer, *read);
              changed.notify_all();
              if (!read || *read == 0) break;
            }
            const std::lock_guard lock(mutex);
            responder.Send(HttpResponse::Text(200, std::to_string(got.size())));
          }}});
  const std::string body(3'000'000, 'b');
  EXPECT_EQ(Send("PATCH", "/up", body).value().body, "3000000");
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(got, body);
    got.clear();
  }
  {
    RawConnection raw(server_->port());
    raw.Write("PATCH /up HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(70'000, 'c'));
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return got.size() == 70'000; });
  }
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ended.has_value(); });
  }
  server_.reset();  // no handler uses what dies here
  EXPECT_EQ(*ended, ErrorCode::kUnavailable);
  EXPECT_EQ(got, std::string(70'000, 'c'));
}

TEST_F(ServerTest, AnswerBeforeTheEndOfTheBodyArrives) {
  Start({{"PUT", "/up", RouteKind::kStreaming, [](HttpRequest&, Responder responder) {
            responder.Send(ErrorResponse(Error(ErrorCode::kPermissionDenied, "no")));
          }}});
  EXPECT_EQ(Send("PUT", "/up", std::string(5'000'000, 'x')).value().status, 403);
}

TEST_F(ServerTest, ResponderMayAnswerFromAnotherThreadOrNotAtAll) {
  std::vector<std::thread> threads;
  Start({{"GET", "/later", RouteKind::kInline,
          [&](HttpRequest&, Responder responder) {
            threads.emplace_back([moved = std::make_shared<Responder>(std::move(responder))] {
              moved->Send(HttpResponse::Text(200, "later"));
            });
          }},
         {"GET", "/never", RouteKind::kInline, [](HttpRequest&, Responder) {}}});
  EXPECT_EQ(Send("GET", "/later").value().body, "later");
  EXPECT_EQ(Send("GET", "/never").value().status, 500);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ServerTest, LateAnswerAfterTheServersEndIsDropped) {
  auto held = std::make_shared<std::optional<Responder>>();
  std::mutex mutex;
  std::condition_variable changed;
  Start({{"GET", "/a", RouteKind::kInline, [&](HttpRequest&, Responder responder) {
            const std::lock_guard lock(mutex);
            held->emplace(std::move(responder));
            changed.notify_all();
          }}});
  RawConnection raw(server_->port());
  raw.Write("GET /a HTTP/1.1\r\n\r\n");
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return held->has_value(); });
  }
  server_.reset();
  (*held)->Send(HttpResponse::Text(200, "late"));
  held->reset();
  EXPECT_EQ(raw.ReadAll(), "");
}

TEST_F(ServerTest, FileBodySendsTheAskedPart) {
  const auto directory = TemporaryDirectory::Create("skerry-http").value();
  const std::string content = std::string(700'000, 'a') + std::string(700'000, 'b');
  ASSERT_TRUE(WriteFileDurably(directory.path() / "f", content));
  Start({{"GET", "/f", RouteKind::kPooled, [&](HttpRequest&, Responder responder) {
            HttpResponse response = HttpResponse::Empty(206);
            response.file = FileBody{directory.path() / "f", 699'999, 600'002};
            responder.Send(std::move(response));
          }}});
  EXPECT_EQ(Send("GET", "/f").value().body, content.substr(699'999, 600'002));
}

TEST_F(ServerTest, DrainFinishesWhatIsUnderWay) {
  std::mutex mutex;
  std::condition_variable changed;
  bool inside = false, go = false;
  Start({{"GET", "/a", RouteKind::kPooled, [&](HttpRequest&, Responder responder) {
            std::unique_lock lock(mutex);
            inside = true;
            changed.notify_all();
            changed.wait(lock, [&] { return go; });
            responder.Send(HttpResponse::Text(200, "done"));
          }}});
  std::string body;
  std::thread asker([&] { body = Send("GET", "/a").value().body; });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return inside; });
  }
  std::thread drainer([&] { server_->Drain(std::chrono::seconds(20)); });
  // The listening socket is closed first; only then the handler goes on.
  while (RawConnection(server_->port()).connected()) std::this_thread::yield();
  {
    const std::lock_guard lock(mutex);
    go = true;
    changed.notify_all();
  }
  drainer.join();
  asker.join();
  EXPECT_EQ(body, "done");
}

TEST_F(ServerTest, CountsRequestsByRouteAndStatus) {
  Start({{"GET", "/a", RouteKind::kInline, Echo()}});
  ASSERT_TRUE(Send("GET", "/a"));
  ASSERT_TRUE(Send("GET", "/b"));
  server_.reset();
  const std::string text = metrics_.RenderPrometheusText();
  EXPECT_NE(text.find(R"(skerry_http_requests_total{route="GET /a",status="2xx"} 1)"),
            std::string::npos);
  EXPECT_NE(text.find(R"(skerry_http_requests_total{route="none",status="4xx"} 1)"),
            std::string::npos);
}

}  // namespace
}  // namespace skerry
