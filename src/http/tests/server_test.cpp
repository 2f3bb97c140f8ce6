#include "http/server.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "crypto/certificate.h"
#include "http/client.h"
#include "http/status.h"
#include "http/tests/raw_connection.h"
#include "storage/file.h"

namespace skerry {
namespace {

HttpCall Call(std::string method, std::string url, std::string body = "") {
  HttpCall call;
  call.method = std::move(method);
  call.url = std::move(url);
  call.body = std::move(body);
  return call;
}

Handler Echo() {
  return [](HttpRequest& request, Responder responder) {
    responder.Send(HttpResponse::Text(200, request.Param("x") + "|" + request.body));
  };
}

class ServerTest : public ::testing::Test {
 protected:
  void Start(std::vector<Route> routes, HttpServerOptions options = {}) {
    auto server = HttpServer::Start(std::move(options), std::move(routes), metrics_);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  std::string Url(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
  }
  Result<HttpReply> Send(std::string method, const std::string& path, std::string body = "") {
    return client_.Send(Call(std::move(method), Url(path), std::move(body)));
  }

  MetricRegistry metrics_;
  HttpClient client_{{}};
  std::unique_ptr<HttpServer> server_;
};

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

TEST_F(ServerTest, SlowHeaderAndSlowBodyEndTheConnection) {
  HttpServerOptions options;
  options.header_timeout = options.body_stall = std::chrono::milliseconds(50);
  Start({{"POST", "/a", RouteKind::kInline, Echo()}}, options);
  RawConnection header(server_->port());
  header.Write("POST /a HTTP/1.1\r\nHo");
  EXPECT_EQ(header.ReadAll(), "");
  RawConnection body(server_->port());
  body.Write("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(body.ReadAll(), "");
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
              if (!read || *read == 0) break;
              got.append(buffer, *read);
              changed.notify_all();
            }
            changed.notify_all();
            responder.Send(HttpResponse::Text(200, std::to_string(got.size())));
          }}});
  const std::string body(3'000'000, 'b');
  EXPECT_EQ(Send("PATCH", "/up", body).value().body, "3000000");
  EXPECT_EQ(got, body);
  got.clear();
  {
    RawConnection raw(server_->port());
    raw.Write("PATCH /up HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(70'000, 'c'));
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return got.size() == 70'000; });
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ended.has_value(); });
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

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    directory_.emplace(TemporaryDirectory::Create("skerry-tls").value());
    ca_.emplace(
        CertificateAuthority::LoadOrCreate(directory_->path() / "ca", "test CA", clock_).value());
    const PrivateKey key = PrivateKey::Generate().value();
    const std::vector<std::string> names{"127.0.0.1", "localhost"};
    HttpServerOptions options;
    options.tls = TlsServerOptions{ca_->IssueServer(key.public_key(), names).value(),
                                   key.ToPem().value(), ca_->certificate_pem()};
    Start({{"GET", "/who", RouteKind::kInline,
            [](HttpRequest& request, Responder responder) {
              responder.Send(HttpResponse::Text(
                  200, request.peer.certificate_name +
                           (request.peer.certificate_pem.empty() ? "" : "+pem")));
            }}},
          options);
  }
  Result<HttpReply> Who(HttpClientOptions options) {
    HttpClient client(std::move(options));
    return client.Send(Call("GET", fmt::format("https://127.0.0.1:{}/who", server_->port())));
  }

  SystemClock clock_;
  std::optional<TemporaryDirectory> directory_;
  std::optional<CertificateAuthority> ca_;
};

TEST_F(TlsTest, ClientCertificateIsOptionalAndSeen) {
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  EXPECT_EQ(Who(options).value().body, "");
  const PrivateKey key = PrivateKey::Generate().value();
  options.client_certificate_pem = ca_->IssueSite(key.public_key(), "north").value();
  options.client_key_pem = key.ToPem().value();
  EXPECT_EQ(Who(options).value().body, "north+pem");
}

TEST_F(TlsTest, OtherAuthoritiesAreNotTrustedByEitherSide) {
  const auto other_directory = TemporaryDirectory::Create("skerry-tls").value();
  const auto other =
      CertificateAuthority::LoadOrCreate(other_directory.path(), "other CA", clock_).value();
  HttpClientOptions options;
  options.ca_pem = other.certificate_pem();
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied);
  const PrivateKey key = PrivateKey::Generate().value();
  options.ca_pem = ca_->certificate_pem();
  options.client_certificate_pem = other.IssueSite(key.public_key(), "north").value();
  options.client_key_pem = key.ToPem().value();
  EXPECT_FALSE(Who(options));
}

}  // namespace
}  // namespace skerry
