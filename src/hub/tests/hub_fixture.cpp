#include "hub/tests/hub_fixture.h"

#include <fstream>

#include "oci/modelpack.h"

namespace skerry {

Receipt OpenReceipt(const std::string& envelope, const JoinGrant& grant) {
  const PublicKey key = Must(PublicKey::FromPem(grant.hub_key_pems.at(0)));
  return Must(VerifyReceipt(envelope, std::span(&key, 1)));
}

Artifact MakePackage(const std::filesystem::path& directory, const std::string& version) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "model.onnx") << "model " << version;
  std::ofstream(directory / "schema.json") << "{}";
  return Must(PackModel(directory, "milling", version));
}

void HubTest::StartHub(HubOptions options) {
  options.data = Data();
  options.listen_port = 0;
  hub_ = Must(Hub::Start(options, &clock_));
}

HttpClientOptions HubTest::NobodyOptions() const {
  HttpClientOptions options;
  options.ca_pem = hub_->ca_pem();
  return options;
}

HttpClientOptions HubTest::AdminOptions() const {
  HttpClientOptions options = NobodyOptions();
  options.bearer_token = hub_->admin_token();
  return options;
}

HttpClientOptions HubTest::SiteOptions(const FakeSite& site) const {
  HttpClientOptions options = NobodyOptions();
  options.client_certificate_pem = grants_.at(site.name()).certificate_pem;
  options.client_key_pem = Must(site.key().ToPem());
  return options;
}

HttpReply HubTest::Call(HttpClientOptions options, const std::string& method,
                        const std::string& path, const std::string& body) {
  HttpClient client(std::move(options));
  return Must(client.Send({.method = method, .url = hub_->url() + path, .body = body}));
}

Json HubTest::AdminJson(const std::string& method, const std::string& path,
                        const std::string& body) {
  const HttpReply reply = Admin(method, path, body);
  EXPECT_EQ(reply.status / 100, 2) << method << " " << path << ": " << reply.body;
  const auto json = ParseJson(reply.body);
  return json ? *json : Json();
}

JoinToken HubTest::NewToken(const std::string& site) {
  const HttpReply reply = Admin("POST", "/v1/tokens", R"({"site":")" + site + R"("})");
  EXPECT_EQ(reply.status, 201) << reply.body;
  return Must(JoinToken::FromJson(reply.body));
}

void HubTest::JoinSite(const FakeSite& site) {
  const JoinToken token = NewToken(site.name());
  const JoinRequest request = Must(MakeJoinRequest(token, site.key()));
  const HttpReply reply = Call(NobodyOptions(), "POST", "/v1/join", request.ToJson());
  ASSERT_EQ(reply.status, 200) << reply.body;
  grants_[site.name()] = Must(VerifyJoinGrant(reply.body, token, site.key().public_key()));
}

Result<PutReply> HubTest::Push(HttpClientOptions options, const std::string& repository,
                               const std::string& tag, const Artifact& artifact) {
  HttpClient client(std::move(options));
  return RegistryClient(hub_->url(), client).PushArtifact(repository, tag, artifact);
}

std::string HubTest::PushShipment(const FakeSite& site, const std::string& tag,
                                  const Artifact& artifact) {
  return Must(Push(SiteOptions(site), "sites/" + site.name() + "/outbox", tag, artifact)).body;
}

}  // namespace skerry
