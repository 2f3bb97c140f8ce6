// Who may use a scoring server and how its traffic is carried, for every protocol alike: what the
// command line or site.yaml says, and what is read from the files that it names.
//
//   SKERRY_ASSIGN_OR_RETURN(const Access access, LoadAccess(options, {"0.0.0.0"}));
// Read at the start; AccessWatch (serve/access_watch.h) reads the files again when they change.
// Told to people in docs/formats/scoring-api.md, "Access".
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http/server.h"
#include "serve/api_keys.h"

namespace skerry {

struct AccessOptions {
  std::filesystem::path tls_cert, tls_key;   // PEM; both, or neither for plain text
  std::filesystem::path client_ca;           // PEM; clients need a certificate that it signed
  std::filesystem::path api_keys;            // clients need one of the keys
  bool plain_http = false;                   // plain text on addresses that are not loopback
  std::vector<std::string> allow_origins{};  // whose pages may call in a browser; "*": all
};

struct Access {
  std::optional<TlsServerOptions> tls;
  PlainHttp plain = PlainHttp::kLoopback;
  std::optional<ApiKeys> keys;
  std::vector<std::string> allowed_origins{};

  const ApiKeys* api_keys() const { return keys ? &*keys : nullptr; }
  std::string_view scheme() const { return tls ? "https" : "http"; }
};

// `addresses` are those that will be listened on. kInvalidArgument for options that do not go
// together, plain text where it may not be, an origin that is none, and files that are no
// certificate or key; the errors of ApiKeys::Load; kPermissionDenied for a private key that other
// users may read.
Result<Access> LoadAccess(const AccessOptions& options, std::span<const std::string> addresses);

// Asks for a key on all of these routes but the health of the server, which probes ask for without
// one. `keys` outlives them.
void GuardRoutes(const ApiKeys& keys, std::vector<Route>& routes);

}  // namespace skerry
