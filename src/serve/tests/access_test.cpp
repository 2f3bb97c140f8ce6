// Keys and TLS over real sockets, for every route that a scoring server has.
#include "serve/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "crypto/certificate.h"
#include "serve/access_watch.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kLoopback = {"127.0.0.1"};

class AccessTest : public ScoringHttpTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    ca_.emplace(CertificateAuthority::LoadOrCreate(directory_.path(), "test CA", clock_).value());
    const PrivateKey key = PrivateKey::Generate().value();
    WritePem("server.pem", ca_->IssueServer(key.public_key(), kLoopback).value());
    WritePem("server.key", key.ToPem().value());
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  void WritePem(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(WriteFileDurably(Path(name), text, 0600));
  }
  AccessOptions Tls() const {
    AccessOptions options;
    options.tls_cert = Path("server.pem");
    options.tls_key = Path("server.key");
    return options;
  }
  void StartWith(const AccessOptions& options) {
    access_ = LoadAccess(options, kLoopback).value();
    ScoringServerOptions server;
    server.http.tls = access_.tls;
    server.parts = Parts();
    server.parts.api_keys = access_.api_keys();
    server_ = ScoringServer::Start(std::move(server)).value();
  }
  Result<HttpReply> Send(const std::string& method, const std::string& path,
                         const HttpClientOptions& client = {}) {
    HttpCall call;
    call.method = method;
    call.url = fmt::format("{}://127.0.0.1:{}{}", access_.scheme(), server_->port(), path);
    if (method == "POST") call.body = R"([{"type":"M","torque_nm":42,"tool_wear_min":108}])";
    return HttpClient(client).Send(call);
  }
  // A path that the pattern takes.
  static std::string PathOf(std::string pattern) {
    for (const auto& [name, value] : {std::pair{"{model}", "milling"}, std::pair{"{version}", "1"}})
      if (const std::size_t at = pattern.find(name); at != std::string::npos)
        pattern.replace(at, std::string_view(name).size(), value);
    return pattern;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-access").value();
  std::optional<CertificateAuthority> ca_;
  Access access_;
};

TEST_F(AccessTest, EveryRouteButHealthWantsAKey) {
  AccessOptions options;
  options.api_keys = Path("keys");
  HttpClientOptions known;
  known.bearer_token = AddApiKey(options.api_keys, "line-3").value();
  HttpClientOptions unknown;
  unknown.bearer_token = known.bearer_token + "0";
  StartWith(options);
  std::vector<Route> routes = ScoringRoutes(Parts());
  routes.push_back({"GET", "/metrics", RouteKind::kPooled, nullptr});
  for (const Route& route : routes) {
    const std::string path = PathOf(route.pattern);
    const bool open = path == "/v2/health/live" || path == "/v2/health/ready";
    for (const HttpClientOptions& client : {HttpClientOptions{}, unknown}) {
      const HttpReply reply = Send(route.method, path, client).value();
      EXPECT_EQ(reply.status == 401, !open) << path << " -> " << reply.status;
      if (open) continue;
      EXPECT_THAT(reply.Header("www-authenticate"), HasSubstr("Bearer")) << path;
      EXPECT_THAT(reply.body, testing::StartsWith(R"({"error":)")) << path;
    }
    EXPECT_NE(Send(route.method, path, known).value().status, 401) << path;
  }
  EXPECT_EQ(Send("POST", "/v1/score", known).value().status, 200);
  EXPECT_EQ(Send("GET", "/absent").value().status, 404);
}

TEST_F(AccessTest, WithoutKeysNobodyIsAsked) {
  StartWith({});
  EXPECT_EQ(Send("POST", "/v1/score").value().status, 200);
  EXPECT_EQ(Send("GET", "/metrics").value().status, 200);
}

TEST_F(AccessTest, AClientCaMakesCertificatesNecessary) {
  AccessOptions options = Tls();
  options.client_ca = Path("ca.pem");
  StartWith(options);
  HttpClientOptions client;
  client.ca_pem = ca_->certificate_pem();
  EXPECT_FALSE(Send("GET", "/v2/health/live", client)) << "no certificate, no handshake";
  const PrivateKey key = PrivateKey::Generate().value();
  client.client_key_pem = key.ToPem().value();
  client.client_certificate_pem = ca_->IssueSite(key.public_key(), "line-3").value();
  EXPECT_EQ(Send("POST", "/v1/score", client).value().status, 200);
}

TEST_F(AccessTest, CertificateAndKeyAreBothNecessaryWhereBothAreAskedFor) {
  AccessOptions options = Tls();
  options.client_ca = Path("ca.pem");
  options.api_keys = Path("keys");
  HttpClientOptions client;
  client.ca_pem = ca_->certificate_pem();
  client.bearer_token = AddApiKey(options.api_keys, "line-3").value();
  StartWith(options);
  EXPECT_FALSE(Send("POST", "/v1/score", client));
  const PrivateKey key = PrivateKey::Generate().value();
  client.client_key_pem = key.ToPem().value();
  client.client_certificate_pem = ca_->IssueSite(key.public_key(), "line-3").value();
  EXPECT_EQ(Send("POST", "/v1/score", client).value().status, 200);
  client.bearer_token.clear();
  EXPECT_EQ(Send("POST", "/v1/score", client).value().status, 401);
}

TEST_F(AccessTest, OptionsThatDoNotGoTogetherSayWhatToDo) {
  AccessOptions certificate_alone;
  certificate_alone.tls_cert = Path("server.pem");
  AccessOptions ca_alone;
  ca_alone.client_ca = Path("ca.pem");
  AccessOptions both = Tls();
  both.plain_http = true;
  for (const auto& [options, words] :
       {std::pair{certificate_alone, "--tls-key"}, std::pair{ca_alone, "--tls-cert"},
        std::pair{both, "--plain-http"}}) {
    const auto access = LoadAccess(options, kLoopback);
    ASSERT_FALSE(access) << words;
    EXPECT_EQ(access.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(access.error().message(), HasSubstr(words));
  }
}

TEST_F(AccessTest, PlainTextBeyondLoopbackHasToBeAskedFor) {
  const std::vector<std::string> addresses = {"127.0.0.1", "0.0.0.0"};
  const auto refused = LoadAccess({}, addresses);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("0.0.0.0"));
  EXPECT_THAT(refused.error().message(), HasSubstr("--plain-http"));
  AccessOptions asked;
  asked.plain_http = true;
  EXPECT_EQ(LoadAccess(asked, addresses).value().plain, PlainHttp::kAnywhere);
  EXPECT_TRUE(LoadAccess(Tls(), addresses));
}

TEST_F(AccessTest, FilesThatAreNoCertificateOrKeyAreNamed) {
  const auto message = [](const AccessOptions& options) {
    const auto access = LoadAccess(options, kLoopback);
    return access ? "no error" : access.error().message();
  };
  AccessOptions absent = Tls();
  absent.tls_cert = Path("absent.pem");
  EXPECT_THAT(message(absent), HasSubstr("absent.pem"));
  WritePem("no.pem", "no certificate\n");
  AccessOptions certificate = Tls();
  certificate.tls_cert = Path("no.pem");
  EXPECT_THAT(message(certificate), HasSubstr("no.pem"));
  AccessOptions key = Tls();
  key.tls_key = Path("no.pem");
  EXPECT_THAT(message(key), HasSubstr("no.pem"));
  AccessOptions ca = Tls();
  ca.client_ca = Path("no.pem");
  EXPECT_THAT(message(ca), HasSubstr("client CA"));
  WritePem("other.key", PrivateKey::Generate().value().ToPem().value());
  AccessOptions other = Tls();
  other.tls_key = Path("other.key");
  EXPECT_THAT(message(other), HasSubstr("other.key"));
  AccessOptions open = Tls();
  ASSERT_EQ(chmod(open.tls_key.c_str(), 0644), 0);
  EXPECT_THAT(message(open), HasSubstr("chmod 600"));
}

// Reads what changed into the server that StartWith has started.
class AccessWatchTest : public AccessTest {
 protected:
  void Watch(const AccessOptions& options) {
    StartWith(options);
    watch_.emplace(options, kLoopback, access_,
                   [this](const TlsServerOptions& tls) { return server_->ReplaceTls(tls); });
  }
  std::optional<AccessWatch> watch_;
};

TEST_F(AccessWatchTest, KeysAreAddedAndTakenBackWhileTheServerRuns) {
  AccessOptions options;
  options.api_keys = Path("keys");
  HttpClientOptions first;
  first.bearer_token = AddApiKey(options.api_keys, "line-3").value();
  const std::string one_key = ReadFile(options.api_keys, 1'000).value();
  Watch(options);
  EXPECT_FALSE(watch_->Look().value()) << "nothing has changed";
  HttpClientOptions second;
  second.bearer_token = AddApiKey(options.api_keys, "line-4").value();
  EXPECT_EQ(Send("POST", "/v1/score", second).value().status, 401);
  EXPECT_TRUE(watch_->Look().value());
  EXPECT_EQ(Send("POST", "/v1/score", first).value().status, 200);
  EXPECT_EQ(Send("POST", "/v1/score", second).value().status, 200);
  WritePem("keys", one_key);
  EXPECT_TRUE(watch_->Look().value());
  EXPECT_EQ(Send("POST", "/v1/score", first).value().status, 200);
  EXPECT_EQ(Send("POST", "/v1/score", second).value().status, 401);
  WritePem("keys", "line-3 no digest\n");
  EXPECT_EQ(watch_->Look().error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(watch_->problem(), HasSubstr("keys"));
  EXPECT_FALSE(watch_->Look().value()) << "told once";
  EXPECT_EQ(Send("POST", "/v1/score", first).value().status, 200) << "those before hold";
  WritePem("keys", "# nobody\n");
  EXPECT_TRUE(watch_->Look().value());
  EXPECT_EQ(watch_->problem(), "");
  EXPECT_EQ(Send("POST", "/v1/score", first).value().status, 401) << "the last key is taken back";
}

TEST_F(AccessWatchTest, ARenewedCertificateIsShownWhenItFitsItsKey) {
  Watch(Tls());
  HttpClientOptions old_ca;
  old_ca.ca_pem = ca_->certificate_pem();
  const auto other_directory = TemporaryDirectory::Create("skerry-access").value();
  const auto other =
      CertificateAuthority::LoadOrCreate(other_directory.path(), "another CA", clock_).value();
  HttpClientOptions new_ca;
  new_ca.ca_pem = other.certificate_pem();
  const PrivateKey key = PrivateKey::Generate().value();
  WritePem("server.pem", other.IssueServer(key.public_key(), kLoopback).value());
  EXPECT_FALSE(watch_->Look()) << "the key is still the old certificate's";
  EXPECT_THAT(watch_->problem(), HasSubstr("server.key"));
  EXPECT_TRUE(Send("GET", "/v2/health/live", old_ca));
  WritePem("server.key", key.ToPem().value());
  EXPECT_TRUE(watch_->Look().value());
  EXPECT_FALSE(Send("GET", "/v2/health/live", old_ca));
  EXPECT_TRUE(Send("GET", "/v2/health/live", new_ca));
  ASSERT_TRUE(RemoveFile(Path("server.pem")));
  EXPECT_FALSE(watch_->Look());
  EXPECT_TRUE(Send("GET", "/v2/health/live", new_ca)) << "what was read goes on";
}

TEST_F(AccessWatchTest, AnotherClientCaCountsForNewConnections) {
  AccessOptions options = Tls();
  options.client_ca = Path("clients.pem");
  WritePem("clients.pem", ca_->certificate_pem());
  HttpClientOptions client;
  client.ca_pem = ca_->certificate_pem();
  const PrivateKey key = PrivateKey::Generate().value();
  client.client_key_pem = key.ToPem().value();
  client.client_certificate_pem = ca_->IssueSite(key.public_key(), "line-3").value();
  Watch(options);
  EXPECT_TRUE(Send("GET", "/v2/health/live", client));
  const auto other_directory = TemporaryDirectory::Create("skerry-access").value();
  const auto other =
      CertificateAuthority::LoadOrCreate(other_directory.path(), "another CA", clock_).value();
  WritePem("clients.pem", other.certificate_pem());
  EXPECT_TRUE(watch_->Look().value());
  EXPECT_FALSE(Send("GET", "/v2/health/live", client));
  client.client_certificate_pem = other.IssueSite(key.public_key(), "line-3").value();
  EXPECT_TRUE(Send("GET", "/v2/health/live", client));
}

}  // namespace
}  // namespace skerry
