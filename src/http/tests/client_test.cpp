#include "http/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "http/server.h"
#include "http/tcp_proxy.h"
#include "http/tests/raw_connection.h"
#include "http/url.h"
#include "storage/file.h"

namespace skerry {
namespace {

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<Route> routes{
        {"PUT", "/count", RouteKind::kStreaming,
         [this](HttpRequest& request, Responder responder) {
           char buffer[4'096];
           std::uint64_t size = 0;
           while (true) {
             const auto got = request.stream->Read(buffer, sizeof buffer);
             if (!got || *got == 0) break;
             size += *got;
           }
           received_.store(size);
           responder.Send(HttpResponse::Text(200, std::to_string(size)));
         }},
        {"GET", "/big", RouteKind::kInline,
         [](HttpRequest&, Responder responder) {
           responder.Send(HttpResponse::Text(200, std::string(100'000, 'x')));
         }},
        {"GET", "/error", RouteKind::kInline,
         [](HttpRequest&, Responder responder) {
           responder.Send(HttpResponse::JsonText(409, R"({"error":"taken already"})"));
         }},
        {"GET", "/headers", RouteKind::kInline, [](HttpRequest& request, Responder responder) {
           responder.Send(
               HttpResponse::Text(200, fmt::format("{}|{}|{}", request.Header("AUTHORIZATION"),
                                                   request.Query("q"), request.HasQuery("none"))));
         }}};
    server_ = HttpServer::Start({}, std::move(routes), metrics_).value();
    proxy_ = TcpProxy::Start(server_->port()).value();
  }
  HttpCall Get(const std::string& path, std::uint16_t port) {
    HttpCall call;
    call.url = fmt::format("http://127.0.0.1:{}{}", port, path);
    return call;
  }

  MetricRegistry metrics_;
  std::atomic<std::uint64_t> received_{0};
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<TcpProxy> proxy_;
  HttpClient client_{{}};
};

TEST_F(ClientTest, UploadsThePartOfAFile) {
  const auto directory = TemporaryDirectory::Create("skerry-client").value();
  ASSERT_TRUE(WriteFileDurably(directory.path() / "f", std::string(2'000'000, 'f')));
  HttpCall call = Get("/count", server_->port());
  call.method = "PUT";
  call.file = FileBody{directory.path() / "f", 500'000, 1'400'000};
  EXPECT_EQ(client_.Send(call).value().body, "1400000");
  EXPECT_EQ(client_.sent_body_bytes(), 1'400'000U);
}

TEST_F(ClientTest, SinkGetsTheBodyAndItsErrorEndsTheCall) {
  HttpCall call = Get("/big", server_->port());
  std::size_t size = 0;
  call.sink = [&](std::string_view piece) -> Status {
    size += piece.size();
    return {};
  };
  EXPECT_EQ(client_.Send(call).value().body, "");
  EXPECT_EQ(size, 100'000U);
  call.sink = [](std::string_view) -> Status { return Fail(ErrorCode::kDataLoss, "stop"); };
  EXPECT_EQ(client_.Send(call).error().code(), ErrorCode::kDataLoss);
}

TEST_F(ClientTest, AnswersOverTheLimitAreRefused) {
  HttpCall call = Get("/big", server_->port());
  call.max_reply_bytes = 99'999;
  EXPECT_EQ(client_.Send(call).error().code(), ErrorCode::kTooLarge);
}

TEST_F(ClientTest, ErrorsOfTheServerKeepItsWords) {
  const auto reply = client_.Send(Get("/error", server_->port())).value();
  const Error error = ErrorOfReply(reply, "joining");
  EXPECT_EQ(error.code(), ErrorCode::kConflict);
  EXPECT_EQ(error.message(), "joining: taken already");
}

TEST_F(ClientTest, TokenAndQueryArrive) {
  HttpClientOptions options;
  options.bearer_token = "secret";
  HttpClient client(options);
  EXPECT_EQ(client.Send(Get("/headers?q=a%2Bb+c", server_->port())).value().body,
            "Bearer secret|a+b c|false");
}

// Keeps the account that a budget keeps.
class CountingGate final : public TransferGate {
 public:
  std::size_t piece_bytes() override { return 10'000; }
  Status Begin() override {
    if (refuse_begin) return Fail(ErrorCode::kUnavailable, "the day is over");
    reserved += TransferGate::kReserveBytes;
    return {};
  }
  Status Pass(std::size_t bytes, std::size_t from_reserve) override {
    if (refuse_pass) return Fail(ErrorCode::kUnavailable, "the rest is for tomorrow");
    used += bytes;
    reserved -= from_reserve;
    return {};
  }
  void Charge(std::size_t bytes, std::size_t from_reserve) override {
    used += bytes;
    reserved -= from_reserve;
  }
  bool refuse_begin = false, refuse_pass = false;
  std::size_t used = 0, reserved = 0;
};

TEST_F(ClientTest, GateHearsOfEveryByteAndOfNoneThatItDidNotLetBegin) {
  CountingGate gate;
  HttpClientOptions options;
  options.gate = &gate;
  HttpClient client(options);
  const auto passed = [&] { return proxy_->bytes_to_upstream() + proxy_->bytes_from_upstream(); };
  gate.refuse_begin = true;
  const auto refused = client.Send(Get("/big", proxy_->port()));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("the day is over"), std::string::npos);
  EXPECT_EQ(passed(), 0U);
  gate.refuse_begin = false;
  EXPECT_TRUE(client.Send(Get("/error", proxy_->port())));
  EXPECT_TRUE(client.Send(Get("/big", proxy_->port())));
  HttpCall put = Get("/count", proxy_->port());
  put.method = "PUT";
  put.body = std::string(50'000, 'b');
  EXPECT_EQ(client.Send(put).value().body, "50000");
  EXPECT_EQ(gate.used, passed());
  EXPECT_EQ(gate.reserved, 0U);
  gate.refuse_pass = true;
  EXPECT_FALSE(client.Send(Get("/error", proxy_->port())));
  EXPECT_EQ(gate.used, passed()) << "an answer that was not let in has come all the same";
  EXPECT_EQ(gate.reserved, 0U);
}

TEST_F(ClientTest, NobodyThereIsUnavailable) {
  std::uint16_t port = 0;
  {
    MetricRegistry metrics;
    port = HttpServer::Start({}, {}, metrics).value()->port();
  }
  EXPECT_EQ(client_.Send(Get("/", port)).error().code(), ErrorCode::kUnavailable);
}

TEST_F(ClientTest, ProxyCutsAfterTheAskedBytesAndComesUpAgain) {
  HttpCall call = Get("/count", proxy_->port());
  call.method = "PUT";
  call.body = std::string(1'000'000, 'u');
  EXPECT_EQ(client_.Send(call).value().body, "1000000");
  const std::uint64_t before = proxy_->bytes_to_upstream();
  proxy_->CutAfterBytes(300'000);
  EXPECT_EQ(client_.Send(call).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(proxy_->bytes_to_upstream() - before, 300'000U);
  EXPECT_TRUE(proxy_->is_down());
  EXPECT_EQ(client_.Send(call).error().code(), ErrorCode::kUnavailable);
  proxy_->SetUp();
  EXPECT_EQ(client_.Send(call).value().body, "1000000");
  proxy_->SetDown();
  EXPECT_FALSE(client_.Send(call));
}

TEST_F(ClientTest, ProxyCutsExactlyOverSeveralConnections) {
  proxy_->CutAfterBytes(700'000);
  std::vector<std::thread> senders;
  for (int i = 0; i < 4; ++i)
    senders.emplace_back([&] {
      HttpClient client({});
      HttpCall call = Get("/count", proxy_->port());
      call.method = "PUT";
      call.body = std::string(1'000'000, 'u');
      EXPECT_FALSE(client.Send(call));
    });
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(proxy_->bytes_to_upstream(), 700'000U);
}

TEST(Url, ParsesAndRefuses) {
  const Url url = Url::Parse("https://hub.example:8443/v1/sites?x=1").value();
  EXPECT_EQ(url.Origin(), "https://hub.example:8443");
  EXPECT_EQ(url.path, "/v1/sites?x=1");
  EXPECT_EQ(Url::Parse("http://[::1]:80").value().host, "::1");
  EXPECT_EQ(Url::Parse("http://h").value().port, 80);
  for (const char* bad : {"ftp://h", "hub:8443", "http://", "http://u:p@h/", "http://h:99999/"})
    EXPECT_FALSE(Url::Parse(bad)) << bad;
}

TEST(PercentEncoding, RoundTripsAndRefusesBrokenEscapes) {
  EXPECT_EQ(PercentEncode("a b/ü"), "a%20b%2F%C3%BC");
  EXPECT_EQ(PercentDecode("a%20b%2f").value(), "a b/");
  for (const char* bad : {"%", "%4", "%zz"}) EXPECT_FALSE(PercentDecode(bad)) << bad;
}

}  // namespace
}  // namespace skerry
