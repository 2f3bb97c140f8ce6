#include "serve/access.h"

#include <string_view>

#include "base/limits.h"
#include "http/status.h"
#include "http/url.h"
#include "storage/file.h"

namespace skerry {
namespace {

Status CheckTogether(const AccessOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "TLS needs both its certificate and its key: --tls-cert FILE --tls-key FILE");
  if (!options.client_ca.empty() && options.tls_cert.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "client certificates need TLS: give --tls-cert and --tls-key beside --client-ca");
  if (options.plain_http && !options.tls_cert.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "--plain-http and --tls-cert exclude each other; leave one out");
  return {};
}

Status CheckPlain(std::span<const std::string> addresses) {
  for (const std::string& address : addresses)
    if (!IsLoopback(address))
      return Fail(ErrorCode::kInvalidArgument,
                  "{} is no loopback address, and plain text would show rows and keys to the "
                  "network: give --tls-cert and --tls-key, or --plain-http where something in "
                  "front of this server speaks TLS",
                  address);
  return {};
}

Result<TlsServerOptions> ReadTls(const AccessOptions& options) {
  TlsServerOptions tls;
  SKERRY_ASSIGN_OR_RETURN(tls.certificate_pem,
                          ReadFile(options.tls_cert, limits::kCertificateBytes));
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(options.tls_key));
  SKERRY_ASSIGN_OR_RETURN(tls.key_pem, ReadFile(options.tls_key, limits::kKeyFileBytes));
  std::string files = fmt::format("{}, {}", options.tls_cert.string(), options.tls_key.string());
  if (!options.client_ca.empty()) {
    SKERRY_ASSIGN_OR_RETURN(tls.client_ca_pem,
                            ReadFile(options.client_ca, limits::kCertificateBytes));
    if (tls.client_ca_pem.empty())
      return Fail(ErrorCode::kInvalidArgument, "{} is empty", options.client_ca.string());
    tls.client_certificates = ClientCertificates::kRequired;
    files += ", " + options.client_ca.string();
  }
  SKERRY_RETURN_IF_ERROR(CheckTls(tls), files);
  return tls;
}

// As browsers send them (RFC 6454 6.2): no path, no slash at the end.
Status CheckOrigins(const std::vector<std::string>& origins) {
  for (const std::string& origin : origins) {
    if (origin == "*" && origins.size() == 1) continue;
    const auto url = Url::Parse(origin);
    if (url && url->path == "/" && !origin.ends_with('/')) continue;
    return Fail(
        ErrorCode::kInvalidArgument,
        "\"{}\" is no origin: write https://host or https://host:port, nothing behind it, or "
        "\"*\" alone",
        origin);
  }
  return {};
}

HttpResponse Refusal(const Error& error) {
  HttpResponse response = ErrorResponse(error);
  response.SetHeader("WWW-Authenticate", "Bearer realm=\"skerry\"");
  return response;
}

}  // namespace

Result<Access> LoadAccess(const AccessOptions& options, std::span<const std::string> addresses) {
  SKERRY_RETURN_IF_ERROR(CheckTogether(options));
  SKERRY_RETURN_IF_ERROR(CheckOrigins(options.allow_origins));
  Access access;
  access.allowed_origins = options.allow_origins;
  if (options.plain_http) access.plain = PlainHttp::kAnywhere;
  if (!options.tls_cert.empty()) {
    SKERRY_ASSIGN_OR_RETURN(access.tls, ReadTls(options));
  } else if (!options.plain_http) {
    SKERRY_RETURN_IF_ERROR(CheckPlain(addresses));
  }
  if (!options.api_keys.empty()) {
    SKERRY_ASSIGN_OR_RETURN(access.keys, ApiKeys::Load(options.api_keys));
  }
  return access;
}

void GuardRoutes(const ApiKeys& keys, std::vector<Route>& routes) {
  for (Route& route : routes) {
    if (route.pattern == "/v2/health/live" || route.pattern == "/v2/health/ready") continue;
    route.guard = [&keys](const HttpRequest& request) -> std::optional<HttpResponse> {
      const Status allowed = keys.Check(request.Header("authorization"));
      if (allowed) return std::nullopt;
      return Refusal(allowed.error());
    };
  }
}

}  // namespace skerry
