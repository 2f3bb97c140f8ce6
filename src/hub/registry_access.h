// Who calls the registry, and whether that one may: the bearer-token flow of Docker's registries
// (distribution, "Token Authentication Specification"), by which `podman login`, `skopeo login`,
// `crane` and `oras` work.
//
// A client without a token is told where to get one (Challenge). It shows its account's name and
// secret there (Basic, or the OAuth2 form) and gets a token for the scopes that it asks for, as far
// as the account's rights go. A token is believed as far as both its scope and the account's rights
// at the time of use go, so a right that is taken away is gone at once. Tokens live for
// kTokenLife, and no longer than the process, which draws the key that they are made with; that
// time is told by the monotonic clock. Name and secret are taken with every request, too.
//
// Owned by Hub; thread-safe. Sites are not of its business: they show their certificate.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "http/message.h"
#include "hub/registry_accounts.h"
#include "oci/registry.h"

namespace skerry {

inline constexpr std::string_view kTokenPath = "/v1/registry/token";

class RegistryAccess {
 public:
  static constexpr std::chrono::minutes kTokenLife{5};

  RegistryAccess(const RegistryAccounts& accounts, const Clock& clock, std::string admin_token);

  // Of a caller that is not the admin by his own token. kUnauthenticated: no credentials, wrong
  // ones, or a token without this in its scope (Challenge says what to ask for);
  // kPermissionDenied: the account may not.
  Status Authorize(const HttpRequest& request, std::string_view repository,
                   RegistryAction action) const;
  // The header WWW-Authenticate of a 401. `origin`: by which URL the hub is reached, unless the
  // request says so.
  static std::string Challenge(const HttpRequest& request, std::string_view origin,
                               std::string_view repository, RegistryAction action);
  // GET and POST of kTokenPath.
  HttpResponse IssueToken(const HttpRequest& request) const;

 private:
  // What a token says, or what is asked for: may this be done there.
  struct Scope {
    std::string repository;
    bool pull = false, push = false, remove = false;
    bool Has(RegistryAction action) const;
  };
  struct Caller {
    RegistryAccount account;
    std::optional<std::vector<Scope>> scopes;  // of a token
  };
  Result<Caller> CallerOf(const HttpRequest& request) const;
  Result<Caller> CallerOfToken(std::string_view token) const;
  std::optional<RegistryAccount> LoginOf(std::string_view name, std::string_view secret) const;
  std::optional<RegistryAccount> FindAccount(std::string_view name) const;
  static std::vector<Scope> ScopesAsked(const HttpRequest& request);
  std::string MakeToken(const RegistryAccount& account, const std::vector<Scope>& asked) const;
  std::string Mac(std::string_view payload) const;

  const RegistryAccounts* const accounts_;
  const Clock* const clock_;
  const std::string admin_token_;
  const std::string key_;
};

}  // namespace skerry
