// The options of access, and api-key: the keys with which clients score.
#include "cli/access_command.h"

#include <cstdio>
#include <memory>

#include "cli/command.h"

namespace skerry {

void DeclareAccess(CLI::App& app, AccessOptions& options) {
  app.add_option("--tls-cert", options.tls_cert,
                 "the server's certificate chain (PEM): speak TLS, over HTTP and gRPC");
  app.add_option("--tls-key", options.tls_key, "its private key (PEM, mode 0600)");
  app.add_option("--client-ca", options.client_ca,
                 "clients need a certificate that this authority signed (PEM)");
  app.add_option("--api-keys", options.api_keys,
                 "clients need a key of this file, made by 'skerry api-key'");
  app.add_flag("--plain-http", options.plain_http,
               "no TLS also on addresses that others reach; something in front speaks TLS");
  app.add_option(
      "--allow-origin", options.allow_origins,
      "a page of this origin may call in a browser (CORS), https://host:port; * for all");
}

void OverrideAccess(const AccessOptions& given, AccessOptions& options) {
  for (std::filesystem::path AccessOptions::* file :
       {&AccessOptions::tls_cert, &AccessOptions::tls_key, &AccessOptions::client_ca,
        &AccessOptions::api_keys})
    if (!(given.*file).empty()) options.*file = given.*file;
  if (given.plain_http) options.plain_http = true;
  if (!given.allow_origins.empty()) options.allow_origins = given.allow_origins;
}

CommandRun DeclareApiKey(CLI::App& app) {
  struct Arguments {
    std::string name, keys;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("name", args->name, "whose key it is")->required();
  app.add_option("--keys", args->keys, "the file that it is added to, made when absent, mode 0600")
      ->required();
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const std::string key, AddApiKey(args->keys, args->name));
    std::printf("%s\n", key.c_str());
    std::fprintf(stderr,
                 "%s: %s was added; the key is shown this once. Servers that are running know it "
                 "in a few seconds.\n",
                 args->keys.c_str(), args->name.c_str());
    return {};
  };
}

}  // namespace skerry
