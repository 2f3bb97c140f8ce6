#include "hub/registry_accounts.h"

#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "crypto/digest.h"
#include "hub/audit_log.h"
#include "oci/reference.h"
#include "oci/registry_limits.h"
#include "oci/repository_usage.h"

namespace skerry {
namespace {

constexpr std::size_t kSecretBytes = 32;
constexpr std::string_view kEverything = "*";
constexpr std::string_view kSites = "sites";

Json RightsToJson(const std::vector<RepositoryRight>& rights) {
  Json list = Json::array();
  for (const RepositoryRight& right : rights) list.push_back(right.ToJson());
  return list;
}

Result<std::vector<RepositoryRight>> RightsFromJson(const Json& list) {
  std::vector<RepositoryRight> rights;
  for (std::size_t i = 0; i < list.size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(RepositoryRight right,
                            RepositoryRight::FromJson(list[i], fmt::format("rights[{}]", i)));
    rights.push_back(std::move(right));
  }
  return rights;
}

Status CheckAccount(std::string_view name, const std::vector<RepositoryRight>& rights) {
  SKERRY_RETURN_IF_ERROR(CheckName("account name", name));
  if (name == "admin")
    return Fail(ErrorCode::kInvalidArgument, "admin is the holder of admin.token; take another");
  if (rights.empty() || rights.size() > limits::kRightsPerAccount)
    return Fail(ErrorCode::kInvalidArgument, "an account has 1 to {} rights, {} has {}",
                limits::kRightsPerAccount, name, rights.size());
  const bool pulls_only = std::ranges::none_of(
      rights, [](const RepositoryRight& right) { return right.push || right.remove; });
  if (name == kAnonymousAccount && !pulls_only)
    return Fail(ErrorCode::kInvalidArgument, "anyone is anonymous: it may pull, and nothing else");
  return {};
}

}  // namespace

bool RepositoryRight::Covers(std::string_view repository) const {
  if (prefix == kEverything) return !IsAtOrBelow(repository, kSites);
  return IsAtOrBelow(repository, prefix);
}

Json RepositoryRight::ToJson() const {
  Json may = Json::array({"pull"});
  if (push) may.push_back("push");
  if (remove) may.push_back("delete");
  return {{"prefix", prefix}, {"may", std::move(may)}};
}

Result<RepositoryRight> RepositoryRight::FromJson(const Json& value, const std::string& path) {
  const JsonObject object(value, path);
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"prefix", "may"}));
  RepositoryRight right;
  SKERRY_ASSIGN_OR_RETURN(right.prefix, object.String("prefix"));
  while (right.prefix.ends_with('/')) right.prefix.pop_back();
  if (right.prefix != kEverything)
    SKERRY_RETURN_IF_ERROR(CheckRepository(right.prefix), path + ".prefix");
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> words, object.Strings("may"));
  for (const std::string& word : words) {
    if (word != "pull" && word != "push" && word != "delete")
      return Fail(ErrorCode::kInvalidArgument, "{}.may: \"{}\" is none of pull, push, delete", path,
                  word);
    right.push = right.push || word == "push";
    right.remove = right.remove || word == "delete";
  }
  if (words.empty())
    return Fail(ErrorCode::kInvalidArgument, "{}.may: say pull, push or delete", path);
  if ((right.push || right.remove) && IsAtOrBelow(right.prefix, kSites))
    return Fail(ErrorCode::kInvalidArgument,
                "{}: below sites/ only the site itself writes; an account may pull there", path);
  return right;
}

bool RegistryAccount::May(std::string_view repository, RegistryAction action) const {
  return std::ranges::any_of(rights, [&](const RepositoryRight& right) {
    if (!right.Covers(repository)) return false;
    switch (action) {
      case RegistryAction::kPull: return true;
      case RegistryAction::kPush: return right.push;
      case RegistryAction::kDelete: return right.remove;
    }
    return false;
  });
}

Json RegistryAccount::ToJson() const {
  return {{"name", name},
          {"rights", RightsToJson(rights)},
          {"created_us", created_us},
          {"expires_us", expires_us == 0 ? Json() : Json(expires_us)}};
}

Result<std::unique_ptr<RegistryAccounts>> RegistryAccounts::Open(HubStore& store,
                                                                 const Clock& clock) {
  std::unique_ptr<RegistryAccounts> accounts(new RegistryAccounts(store, clock));
  SKERRY_RETURN_IF_ERROR(accounts->Load());
  return accounts;
}

Status RegistryAccounts::Load() {
  std::map<std::string, RegistryAccount, std::less<>> loaded;
  const Status read = store_->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                            db.Prepare("SELECT name, secret_sha256, rights, created_us, expires_us "
                                       "FROM registry_accounts"));
    while (true) {
      SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return {};
      RegistryAccount account{.name = std::string(select.Text(0)),
                              .secret_sha256 = std::string(select.Text(1)),
                              .rights = {},
                              .created_us = select.Int(3),
                              .expires_us = select.Int(4)};
      SKERRY_ASSIGN_OR_RETURN(const Json rights, ParseJson(select.Text(2)), account.name);
      SKERRY_ASSIGN_OR_RETURN(account.rights, RightsFromJson(rights), account.name);
      loaded.emplace(account.name, std::move(account));
    }
  });
  SKERRY_RETURN_IF_ERROR(read);
  const std::lock_guard lock(mutex_);
  accounts_ = std::move(loaded);
  return {};
}

Status RegistryAccounts::Change(std::string_view action, std::string_view name, const Json& detail,
                                const std::function<Status(Database&)>& change) {
  Status written = store_->Write([&](Database& db) -> Status {
    SKERRY_RETURN_IF_ERROR(change(db));
    return AuditLog(db).Append(clock_->UtcMicros(), "admin", action, name, detail);
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return Load();
}

Result<std::string> RegistryAccounts::Add(std::string_view name,
                                          const std::vector<RepositoryRight>& rights,
                                          std::int64_t expires_us) {
  SKERRY_RETURN_IF_ERROR(CheckAccount(name, rights));
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard lock(mutex_);
    if (accounts_.contains(name))
      return Fail(ErrorCode::kAlreadyExists, "there is an account {} already", name);
    if (accounts_.size() >= limits::kRegistryAccounts)
      return Fail(ErrorCode::kResourceExhausted, "there are {} accounts (kRegistryAccounts)",
                  accounts_.size());
  }
  std::string secret = name == kAnonymousAccount ? "" : RandomHex(kSecretBytes);
  const std::string digest = secret.empty() ? "" : std::string(Digest::Sha256(secret).hex());
  const Json granted = RightsToJson(rights);
  Status added =
      Change("registry.account.add", name, {{"rights", granted}}, [&](Database& db) -> Status {
        SKERRY_ASSIGN_OR_RETURN(
            SqlStatement insert,
            db.Prepare("INSERT INTO registry_accounts(name, secret_sha256, rights, created_us, "
                       "expires_us) VALUES(?, ?, ?, ?, ?)"));
        return insert.Bind(1, name)
            .Bind(2, digest)
            .Bind(3, DumpJson(granted))
            .Bind(4, clock_->UtcMicros())
            .Bind(5, expires_us)
            .Run();
      });
  SKERRY_RETURN_IF_ERROR(std::move(added));
  return secret;
}

Status RegistryAccounts::SetRights(std::string_view name,
                                   const std::vector<RepositoryRight>& rights) {
  SKERRY_RETURN_IF_ERROR(CheckAccount(name, rights));
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard lock(mutex_);
    if (!accounts_.contains(name))
      return Fail(ErrorCode::kNotFound, "there is no account {}", name);
  }
  const Json granted = RightsToJson(rights);
  return Change("registry.account.rights", name, {{"rights", granted}},
                [&](Database& db) -> Status {
                  SKERRY_ASSIGN_OR_RETURN(
                      SqlStatement update,
                      db.Prepare("UPDATE registry_accounts SET rights = ? WHERE name = ?"));
                  return update.Bind(1, DumpJson(granted)).Bind(2, name).Run();
                });
}

Status RegistryAccounts::Remove(std::string_view name) {
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard lock(mutex_);
    if (!accounts_.contains(name))
      return Fail(ErrorCode::kNotFound, "there is no account {}", name);
  }
  return Change("registry.account.remove", name, Json::object(), [&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(SqlStatement remove,
                            db.Prepare("DELETE FROM registry_accounts WHERE name = ?"));
    return remove.Bind(1, name).Run();
  });
}

std::vector<RegistryAccount> RegistryAccounts::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<RegistryAccount> list;
  for (const auto& [name, account] : accounts_) list.push_back(account);
  return list;
}

std::optional<RegistryAccount> RegistryAccounts::Find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = accounts_.find(name);
  if (found == accounts_.end()) return std::nullopt;
  const RegistryAccount& account = found->second;
  if (account.expires_us != 0 && account.expires_us <= clock_->UtcMicros()) return std::nullopt;
  return account;
}

std::optional<RegistryAccount> RegistryAccounts::Login(std::string_view name,
                                                       std::string_view secret) const {
  std::optional<RegistryAccount> account = Find(name);
  if (!account || account->secret_sha256.empty() ||
      !ConstantTimeEqual(Digest::Sha256(secret).hex(), account->secret_sha256))
    return std::nullopt;
  return account;
}

}  // namespace skerry
