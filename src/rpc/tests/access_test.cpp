// Keys and TLS of gRPC over loopback.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>

#include "crypto/certificate.h"
#include "open_inference.grpc.pb.h"
#include "rpc/server.h"
#include "serve/access.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using grpc::StatusCode;

class RpcAccessTest : public ServedModelsTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    ca_.emplace(CertificateAuthority::LoadOrCreate(directory_.path(), "test CA", clock_).value());
    key_ = AddApiKey(Path("keys"), "line-3").value();
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  AccessOptions Tls() const {
    const PrivateKey key = PrivateKey::Generate().value();
    const std::string certificate = ca_->IssueServer(key.public_key(), kAddresses).value();
    EXPECT_TRUE(WriteFileDurably(Path("server.pem"), certificate));
    EXPECT_TRUE(WriteFileDurably(Path("server.key"), key.ToPem().value(), 0600));
    AccessOptions options;
    options.tls_cert = Path("server.pem");
    options.tls_key = Path("server.key");
    return options;
  }
  void StartWith(const AccessOptions& options) {
    access_ = LoadAccess(options, kAddresses).value();
    RpcServerOptions server;
    server.tls = access_.tls;
    server.parts = Parts();
    server.parts.api_keys = access_.api_keys();
    server_ = RpcServer::Start(std::move(server)).value();
  }
  std::shared_ptr<grpc::Channel> Connect(
      const std::shared_ptr<grpc::ChannelCredentials>& how) const {
    return grpc::CreateChannel(fmt::format("127.0.0.1:{}", server_->port()), how);
  }
  static std::unique_ptr<grpc::ClientContext> Context(const std::string& key = "") {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    return context;
  }
  // An empty message to any method.
  static grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                           const std::string& key = "") {
    grpc::GenericStub stub(channel);
    const auto context = Context(key);
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> ended;
    stub.UnaryCall(context.get(), method, {}, &request, &response,
                   [&ended](grpc::Status status) { ended.set_value(std::move(status)); });
    return ended.get_future().get();
  }
  static grpc::Status Live(const std::shared_ptr<grpc::Channel>& channel) {
    return Call(channel, "/inference.GRPCInferenceService/ServerLive");
  }

  inline static const std::vector<std::string> kAddresses = {"127.0.0.1"};
  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-access").value();
  std::optional<CertificateAuthority> ca_;
  std::string key_;
  Access access_;
  std::unique_ptr<RpcServer> server_;
};

TEST_F(RpcAccessTest, EveryCallButHealthWantsAKey) {
  AccessOptions options;
  options.api_keys = Path("keys");
  StartWith(options);
  const auto channel = Connect(grpc::InsecureChannelCredentials());
  const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      "inference.GRPCInferenceService");
  ASSERT_NE(service, nullptr);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string name = service->method(i)->name();
    const std::string method = fmt::format("/inference.GRPCInferenceService/{}", name);
    const bool open = name == "ServerLive" || name == "ServerReady";
    EXPECT_EQ(Call(channel, method).error_code() == StatusCode::UNAUTHENTICATED, !open) << name;
    EXPECT_EQ(Call(channel, method, key_ + "0").error_code() == StatusCode::UNAUTHENTICATED, !open)
        << name;
    EXPECT_NE(Call(channel, method, key_).error_code(), StatusCode::UNAUTHENTICATED) << name;
  }
  EXPECT_TRUE(Call(channel, "/grpc.health.v1.Health/Check").ok());
}

TEST_F(RpcAccessTest, AStreamWithoutAKeyEndsUnauthenticated) {
  AccessOptions options;
  options.api_keys = Path("keys");
  StartWith(options);
  const auto stub =
      inference::GRPCInferenceService::NewStub(Connect(grpc::InsecureChannelCredentials()));
  const auto refused = Context();
  const auto stream = stub->ModelStreamInfer(refused.get());
  inference::ModelStreamInferResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::UNAUTHENTICATED);
  const auto allowed = Context(key_);
  const auto open = stub->ModelStreamInfer(allowed.get());
  ASSERT_TRUE(open->Write({}));
  open->WritesDone();
  EXPECT_TRUE(open->Read(&response));
  EXPECT_TRUE(open->Finish().ok());
}

TEST_F(RpcAccessTest, TlsIsSpokenAndPlainTextIsNot) {
  StartWith(Tls());
  EXPECT_TRUE(Live(Connect(grpc::SslCredentials({ca_->certificate_pem(), "", ""}))).ok());
  EXPECT_EQ(Live(Connect(grpc::InsecureChannelCredentials())).error_code(),
            StatusCode::UNAVAILABLE);
}

TEST_F(RpcAccessTest, AnotherCertificateAndClientCaCountForNewConnections) {
  AccessOptions options = Tls();
  options.client_ca = Path("ca.pem");
  StartWith(options);
  const PrivateKey key = PrivateKey::Generate().value();
  const std::string own = ca_->IssueSite(key.public_key(), "line-3").value();
  const auto with = [&](const std::string& ca, const std::string& certificate) {
    return grpc::SslCredentials({ca, key.ToPem().value(), certificate});
  };
  const auto open = Connect(with(ca_->certificate_pem(), own));
  EXPECT_TRUE(Live(open).ok());
  const auto other_directory = TemporaryDirectory::Create("skerry-access").value();
  const auto other =
      CertificateAuthority::LoadOrCreate(other_directory.path(), "another CA", clock_).value();
  TlsServerOptions next = *access_.tls;
  next.certificate_pem = "none";
  EXPECT_EQ(server_->ReplaceTls(next).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(Live(Connect(with(ca_->certificate_pem(), own))).ok());
  next = *access_.tls;
  next.certificate_pem =
      other.IssueServer(PrivateKey::FromPem(next.key_pem).value().public_key(), kAddresses).value();
  next.client_ca_pem = other.certificate_pem();
  ASSERT_TRUE(server_->ReplaceTls(next));
  EXPECT_TRUE(Live(open).ok()) << "a connection that is there goes on";
  const std::string foreign = other.IssueSite(key.public_key(), "line-3").value();
  EXPECT_FALSE(Live(Connect(with(ca_->certificate_pem(), own))).ok());
  EXPECT_FALSE(Live(Connect(with(other.certificate_pem(), own))).ok());
  EXPECT_TRUE(Live(Connect(with(other.certificate_pem(), foreign))).ok());
}

TEST_F(RpcAccessTest, AClientCaMakesCertificatesNecessary) {
  AccessOptions options = Tls();
  options.client_ca = Path("ca.pem");
  StartWith(options);
  EXPECT_EQ(Live(Connect(grpc::SslCredentials({ca_->certificate_pem(), "", ""}))).error_code(),
            StatusCode::UNAVAILABLE);
  const PrivateKey key = PrivateKey::Generate().value();
  const std::string own = ca_->IssueSite(key.public_key(), "line-3").value();
  EXPECT_TRUE(
      Live(Connect(grpc::SslCredentials({ca_->certificate_pem(), key.ToPem().value(), own}))).ok());
  const auto other_directory = TemporaryDirectory::Create("skerry-access").value();
  const auto other =
      CertificateAuthority::LoadOrCreate(other_directory.path(), "other CA", clock_).value();
  const std::string foreign = other.IssueSite(key.public_key(), "line-3").value();
  EXPECT_EQ(
      Live(Connect(grpc::SslCredentials({ca_->certificate_pem(), key.ToPem().value(), foreign})))
          .error_code(),
      StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace skerry
