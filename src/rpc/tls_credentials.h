// TLS of the gRPC server, whose certificate may be replaced while it runs. Internal to rpc.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>
#include <string>

#include "http/server.h"

namespace skerry::rpc_detail {

// Kept by the server; the library asks it for each new connection. Thread-safe.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(const TlsServerOptions& tls);
  ~TlsCredentials() override;

  // For the connections that come from now on. Whether clients need a certificate stays as it was.
  // kInvalidArgument as CheckTls: nothing changes.
  Status Replace(const TlsServerOptions& tls);

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override;

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override;
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  std::mutex mutex_;  // guards what follows
  TlsServerOptions tls_;
  bool fetched_ = false;  // as it is now

  grpc_server_credentials* credentials_;
};

}  // namespace skerry::rpc_detail
