#include <gtest/gtest.h>

#include "crypto/certificate.h"
#include "http/tests/server_fixture.h"
#include "storage/file.h"

namespace skerry {
namespace {

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    directory_.emplace(TemporaryDirectory::Create("skerry-tls").value());
    ca_.emplace(
        CertificateAuthority::LoadOrCreate(directory_->path(), "test CA", clock_of_ca_).value());
    const PrivateKey key = PrivateKey::Generate().value();
    const std::vector<std::string> names{"127.0.0.1", "localhost"};
    HttpServerOptions options;
    tls_ = TlsServerOptions{ca_->IssueServer(key.public_key(), names).value(), key.ToPem().value(),
                            ca_->certificate_pem()};
    options.tls = tls_;
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

  static constexpr std::int64_t kDayUs = std::int64_t{24} * 3600 * 1'000'000;
  SystemClock clock_;
  FakeClock clock_of_ca_{clock_.UtcMicros()};
  TlsServerOptions tls_;
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
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(TlsTest, ClientCertificateCanBeRequired) {
  const PrivateKey server_key = PrivateKey::Generate().value();
  const std::vector<std::string> names{"127.0.0.1"};
  HttpServerOptions required;
  required.tls = TlsServerOptions{ca_->IssueServer(server_key.public_key(), names).value(),
                                  server_key.ToPem().value(), ca_->certificate_pem(),
                                  ClientCertificates::kRequired};
  Start({{"GET", "/who", RouteKind::kInline, Echo()}}, required);
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  EXPECT_FALSE(Who(options));
  const PrivateKey key = PrivateKey::Generate().value();
  options.client_certificate_pem = ca_->IssueSite(key.public_key(), "north").value();
  options.client_key_pem = key.ToPem().value();
  EXPECT_EQ(Who(options).value().status, 200);
}

TEST_F(TlsTest, ClientMayJudgeTheServersCertificateByAnotherTime) {
  clock_of_ca_.SetUtc(SystemClock().UtcMicros() - 400 * kDayUs);
  const PrivateKey key = PrivateKey::Generate().value();
  const std::vector<std::string> names{"127.0.0.1"};
  HttpServerOptions expired;
  expired.tls = TlsServerOptions{ca_->IssueServer(key.public_key(), names).value(),
                                 key.ToPem().value(), ca_->certificate_pem()};
  Start({{"GET", "/who", RouteKind::kInline, Echo()}}, expired);
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied) << "by this machine's clock";
  const std::int64_t end_us = clock_of_ca_.UtcMicros() / 1'000'000 * 1'000'000 + 365 * kDayUs;
  for (const std::int64_t time_us : {std::int64_t{0}, end_us - 1}) {
    options.certificate_time_us = [time_us] { return time_us; };
    HttpClient client(options);
    const auto url = fmt::format("https://127.0.0.1:{}/who", server_->port());
    EXPECT_EQ(client.Send(Call("GET", url)).value().status, 200) << time_us;
    EXPECT_EQ(client.server_certificate_expires_us(), end_us);
  }
  options.certificate_time_us = [end_us] { return end_us; };
  const auto refused = Who(options);
  EXPECT_EQ(refused.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(refused.error().message().find("expired"), std::string::npos);
  // The pinned authority is still what counts.
  const auto other_directory = TemporaryDirectory::Create("skerry-tls").value();
  options.ca_pem = CertificateAuthority::LoadOrCreate(other_directory.path(), "other CA", clock_)
                       .value()
                       .certificate_pem();
  options.certificate_time_us = [] { return std::int64_t{0}; };
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(TlsTest, ExpiredClientCertificateIsRefusedUnlessTheHandlerJudges) {
  clock_of_ca_.SetUtc(SystemClock().UtcMicros() - 400 * kDayUs);
  const PrivateKey key = PrivateKey::Generate().value();
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  options.client_certificate_pem = ca_->IssueSite(key.public_key(), "north").value();
  options.client_key_pem = key.ToPem().value();
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied);
  TlsServerOptions lenient = tls_;
  lenient.client_times = ClientTimes::kHandler;
  ASSERT_TRUE(server_->ReplaceTls(lenient));
  EXPECT_EQ(Who(options).value().body, "north+pem");
}

TEST_F(TlsTest, ReplacedCertificateIsShownToNewConnectionsAndOldOnesGoOn) {
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  options.certificate_time_us = [] { return std::int64_t{0}; };
  HttpClient before(options);
  const HttpCall call = Call("GET", fmt::format("https://127.0.0.1:{}/who", server_->port()));
  EXPECT_TRUE(before.Send(call));
  const std::int64_t first_us = before.server_certificate_expires_us();
  clock_of_ca_.Advance(10 * kDayUs);
  const std::vector<std::string> names{"127.0.0.1"};
  const PrivateKey key = PrivateKey::Generate().value();
  ASSERT_TRUE(server_->ReplaceTls({ca_->IssueServer(key.public_key(), names).value(),
                                   key.ToPem().value(), ca_->certificate_pem()}));
  TlsServerOptions bad = tls_;
  bad.key_pem = "none";
  EXPECT_EQ(server_->ReplaceTls(bad).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(before.Send(call));
  EXPECT_EQ(before.connections(), 1U);
  HttpClient after(options);
  EXPECT_TRUE(after.Send(call));
  EXPECT_EQ(after.server_certificate_expires_us(), first_us + 10 * kDayUs);
}

TEST_F(TlsTest, TextsThatAreWrongAreNamed) {
  const PrivateKey key = PrivateKey::Generate().value();
  const std::vector<std::string> names{"127.0.0.1"};
  const TlsServerOptions good{ca_->IssueServer(key.public_key(), names).value(),
                              key.ToPem().value(), ca_->certificate_pem()};
  EXPECT_TRUE(CheckTls(good));
  TlsServerOptions bad = good;
  bad.certificate_pem = "none";
  EXPECT_NE(CheckTls(bad).error().message().find("certificate"), std::string::npos);
  bad = good;
  bad.key_pem = PrivateKey::Generate().value().ToPem().value();
  EXPECT_NE(CheckTls(bad).error().message().find("key"), std::string::npos);
  bad = good;
  bad.client_ca_pem = "none";
  EXPECT_NE(CheckTls(bad).error().message().find("client CA"), std::string::npos);
}

// openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes128 -pass pass:x
constexpr const char* kEncryptedKey =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjbMGt8t44F4gICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEPY2ytlFYU07DRZX3RPTTlkEgZAY\n"
    "/1BT/b3OSm2exxt59QQo+5yOOk8g+Od5+toC8UY1KSZKGBx1TY0LWme4Q1W/Tu7I\n"
    "lHABIq5Fq9fwk6NVqnyoQqQxD+Vl6qV45JZJmgavA0mMRe/e1ye1P4eFr3mgKYIo\n"
    "Ss+9WNk4kNPVZ11ltY7VgTYrfeYKKqhvp7x6O2Lf9LDfoDBt6KRcxQyc+kTe1WE=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

TEST_F(TlsTest, AnEncryptedKeyIsAnErrorAndNoQuestionOnTheTerminal) {
  const PrivateKey key = PrivateKey::Generate().value();
  const std::vector<std::string> names{"127.0.0.1"};
  TlsServerOptions options{ca_->IssueServer(key.public_key(), names).value(), kEncryptedKey, ""};
  EXPECT_EQ(CheckTls(options).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(TlsTest, AnswerBeforeTheEndOfTheBodyArrives) {
  HttpClientOptions options;
  options.ca_pem = ca_->certificate_pem();
  HttpClient client(std::move(options));
  EXPECT_EQ(client
                .Send(Call("PUT", fmt::format("https://127.0.0.1:{}/who", server_->port()),
                           std::string(5'000'000, 'x')))
                .value()
                .status,
            405);
}

}  // namespace
}  // namespace skerry
