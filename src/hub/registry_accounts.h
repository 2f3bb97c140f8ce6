// Who, besides the admin and the sites, may use the registry: accounts of people and pipelines,
// each with a secret that the hub has drawn and rights on repositories by prefix.
//
// Of a secret only its digest is kept: it is 256 random bits, which nobody finds by trying. The
// account `anonymous` has none and says what anyone may pull; without it nobody may anything.
// Owned by Hub; borrows the store; thread-safe: what is asked with each request is answered from
// memory. A change is durable, and in force, on return, and stands in the audit log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "hub/store.h"
#include "oci/registry.h"

namespace skerry {

inline constexpr std::string_view kAnonymousAccount = "anonymous";

// What may be done in a repository of the name `prefix` or below it ("images" is images and
// images/a/b, and not images2); "*" is every repository but those of sites. Push and delete go with
// pull.
struct RepositoryRight {
  std::string prefix;
  bool push = false;
  bool remove = false;

  bool Covers(std::string_view repository) const;
  Json ToJson() const;  // {"prefix":"images","may":["pull","push"]}
  // kInvalidArgument: a prefix against the grammar, an unknown word, or push and delete below
  // sites/, where only the site itself may write.
  static Result<RepositoryRight> FromJson(const Json& value, const std::string& path);
};

struct RegistryAccount {
  std::string name;
  std::string secret_sha256;  // hex; empty of `anonymous`
  std::vector<RepositoryRight> rights;
  std::int64_t created_us = 0;
  std::int64_t expires_us = 0;  // 0: never

  bool May(std::string_view repository, RegistryAction action) const;
  Json ToJson() const;  // without the secret
};

class RegistryAccounts {
 public:
  // kDataLoss for a row that cannot be read.
  static Result<std::unique_ptr<RegistryAccounts>> Open(HubStore& store, const Clock& clock);

  // The secret of the new account; "" of `anonymous`. kAlreadyExists; kInvalidArgument for a name
  // against the grammar, `admin`, or an `anonymous` that may do more than pull.
  Result<std::string> Add(std::string_view name, const std::vector<RepositoryRight>& rights,
                          std::int64_t expires_us);
  // kNotFound. Tokens that the account has now are worth what it may now.
  Status SetRights(std::string_view name, const std::vector<RepositoryRight>& rights);
  Status Remove(std::string_view name);  // kNotFound
  std::vector<RegistryAccount> List() const;

  // The account, when it is there and has not expired.
  std::optional<RegistryAccount> Find(std::string_view name) const;
  // The same, when the secret is its own.
  std::optional<RegistryAccount> Login(std::string_view name, std::string_view secret) const;

 private:
  RegistryAccounts(HubStore& store, const Clock& clock) : store_(&store), clock_(&clock) {}
  Status Load();
  Status Change(std::string_view action, std::string_view name, const Json& detail,
                const std::function<Status(Database&)>& change);

  HubStore* const store_;
  const Clock* const clock_;
  std::mutex changing_;       // one change at a time
  mutable std::mutex mutex_;  // guards accounts_
  std::map<std::string, RegistryAccount, std::less<>> accounts_;
};

}  // namespace skerry
