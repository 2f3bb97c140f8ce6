#include "rpc/tls_credentials.h"

#include <grpc/grpc.h>

#include "base/log.h"

namespace skerry::rpc_detail {
namespace {

grpc_ssl_client_certificate_request_type ClientsOf(const TlsServerOptions& tls) {
  if (tls.client_ca_pem.empty()) return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  return tls.client_certificates == ClientCertificates::kRequired
             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
             : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

}  // namespace

TlsCredentials::TlsCredentials(const TlsServerOptions& tls)
    : tls_(tls),
      credentials_(grpc_ssl_server_credentials_create_with_options(
          grpc_ssl_server_credentials_create_options_using_config_fetcher(ClientsOf(tls), &Fetch,
                                                                          this))) {}

TlsCredentials::~TlsCredentials() { grpc_server_credentials_release(credentials_); }

Status TlsCredentials::Replace(const TlsServerOptions& tls) {
  SKERRY_RETURN_IF_ERROR(CheckTls(tls));
  const std::lock_guard lock(mutex_);
  tls_ = tls;
  fetched_ = false;
  return {};
}

void TlsCredentials::SetAuthMetadataProcessor(
    const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) {
  LogError("the gRPC server checks keys call by call and takes no processor of metadata");
}

int TlsCredentials::AddPortToServer(const std::string& address, grpc_server* server) {
  return grpc_server_add_http2_port(server, address.c_str(), credentials_);
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto& own = *static_cast<TlsCredentials*>(self);
  const std::lock_guard lock(own.mutex_);
  if (own.fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair{own.tls_.key_pem.c_str(), own.tls_.certificate_pem.c_str()};
  // The library wants authorities for clients also where it asks no client for a certificate.
  const std::string& authorities =
      own.tls_.client_ca_pem.empty() ? own.tls_.certificate_pem : own.tls_.client_ca_pem;
  *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  own.fetched_ = true;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace skerry::rpc_detail
