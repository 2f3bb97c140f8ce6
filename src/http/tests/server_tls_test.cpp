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
    ca_.emplace(CertificateAuthority::LoadOrCreate(directory_->path(), "test CA", clock_).value());
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
  EXPECT_EQ(Who(options).error().code(), ErrorCode::kPermissionDenied);
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
