#include "hub/registry_access.h"

#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "codec/text.h"
#include "crypto/digest.h"
#include "http/query.h"
#include "oci/reference.h"
#include "oci/registry_limits.h"

namespace skerry {
namespace {

constexpr std::string_view kService = "skerry";
constexpr std::string_view kAdmin = "admin";
constexpr std::size_t kKeyBytes = 32;

std::string_view Word(RegistryAction action) {
  switch (action) {
    case RegistryAction::kPull: return "pull";
    case RegistryAction::kPush: return "pull,push";
    case RegistryAction::kDelete: return "delete";
  }
  return "";
}

struct Credentials {
  std::string name, secret;
};
std::optional<Credentials> BasicOf(const HttpRequest& request) {
  constexpr std::string_view kBasic = "Basic ";
  const std::string_view given = request.Header("Authorization");
  if (!given.starts_with(kBasic)) return std::nullopt;
  const auto text = DecodeBase64(given.substr(kBasic.size()));
  const std::size_t colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{text->substr(0, colon), text->substr(colon + 1)};
}

// The host as the client wrote it, when it is one.
std::string OriginOf(const HttpRequest& request, std::string_view origin) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]";
  const std::string_view host = request.Header("Host");
  const std::size_t mark = origin.find("://");
  if (host.empty() || mark == std::string_view::npos ||
      host.find_first_not_of(kAllowed) != std::string_view::npos)
    return std::string(origin);
  return fmt::format("{}://{}", origin.substr(0, mark), host);
}

HttpResponse TokenRefusal(std::string_view why) {
  HttpResponse response = HttpResponse::JsonText(
      401, DumpJson({{"errors", Json::array({{{"code", "UNAUTHORIZED"}, {"message", why}}})}}));
  response.SetHeader("WWW-Authenticate", fmt::format("Basic realm=\"{}\"", kService));
  return response;
}

// The admin as an account that may do everything.
RegistryAccount AdminAccount() {
  RegistryAccount admin;
  admin.name = kAdmin;
  admin.rights = {{.prefix = "*", .push = true, .remove = true},
                  {.prefix = "sites", .push = true, .remove = true}};
  return admin;
}

}  // namespace

RegistryAccess::RegistryAccess(const RegistryAccounts& accounts, const Clock& clock,
                               std::string admin_token)
    : accounts_(&accounts),
      clock_(&clock),
      admin_token_(std::move(admin_token)),
      key_(RandomHex(kKeyBytes)) {}

bool RegistryAccess::Scope::Has(RegistryAction action) const {
  switch (action) {
    case RegistryAction::kPull: return pull;
    case RegistryAction::kPush: return push;
    case RegistryAction::kDelete: return remove;
  }
  return false;
}

std::optional<RegistryAccount> RegistryAccess::FindAccount(std::string_view name) const {
  if (name == kAdmin) return AdminAccount();
  return accounts_->Find(name);
}

std::optional<RegistryAccount> RegistryAccess::LoginOf(std::string_view name,
                                                       std::string_view secret) const {
  if (name != kAdmin) return accounts_->Login(name, secret);
  if (!ConstantTimeEqual(secret, admin_token_)) return std::nullopt;
  return AdminAccount();
}

Result<RegistryAccess::Caller> RegistryAccess::CallerOf(const HttpRequest& request) const {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string_view given = request.Header("Authorization");
  if (given.starts_with(kBearer)) return CallerOfToken(given.substr(kBearer.size()));
  if (const auto basic = BasicOf(request)) {
    if (auto account = LoginOf(basic->name, basic->secret)) return Caller{std::move(*account), {}};
    return Fail(ErrorCode::kUnauthenticated, "unknown account, or not its secret");
  }
  if (auto anonymous = accounts_->Find(kAnonymousAccount)) return Caller{std::move(*anonymous), {}};
  return Fail(ErrorCode::kUnauthenticated,
              "the registry needs an account ('skerry registry add'), the admin token or a site's "
              "certificate");
}

Status RegistryAccess::Authorize(const HttpRequest& request, std::string_view repository,
                                 RegistryAction action) const {
  SKERRY_ASSIGN_OR_RETURN(const Caller caller, CallerOf(request));
  // Nobody in particular: a client that has credentials shows them only when it is asked to.
  const bool unnamed = caller.account.name == kAnonymousAccount;
  if (repository.empty() && (!unnamed || caller.scopes)) return {};
  if (repository.empty() || !caller.account.May(repository, action)) {
    if (unnamed)
      return Fail(ErrorCode::kUnauthenticated, "this needs an account ('skerry registry add')");
    return Fail(ErrorCode::kPermissionDenied, "the account {} may not {} in {}",
                caller.account.name, action == RegistryAction::kPush ? "push" : Word(action),
                repository);
  }
  if (!caller.scopes) return {};
  const bool in_scope = std::ranges::any_of(*caller.scopes, [&](const Scope& scope) {
    return scope.repository == repository && scope.Has(action);
  });
  if (in_scope) return {};
  return Fail(ErrorCode::kUnauthenticated, "the token was not asked for with this in its scope");
}

std::string RegistryAccess::Challenge(const HttpRequest& request, std::string_view origin,
                                      std::string_view repository, RegistryAction action) {
  std::string text = fmt::format("Bearer realm=\"{}{}\",service=\"{}\"", OriginOf(request, origin),
                                 kTokenPath, kService);
  if (!repository.empty())
    text += fmt::format(",scope=\"repository:{}:{}\"", repository, Word(action));
  if (request.Header("Authorization").starts_with("Bearer "))
    text += repository.empty() ? ",error=\"invalid_token\"" : ",error=\"insufficient_scope\"";
  return text;
}

// "repository:<name>:<action>,..."; several in one parameter or in several. What is none of a
// repository is left out, as the specification has it.
std::vector<RegistryAccess::Scope> RegistryAccess::ScopesAsked(const HttpRequest& request) {
  constexpr std::string_view kRepository = "repository:";
  std::vector<Scope> scopes;
  for (const std::string& parameter : QueryAll(request, "scope")) {
    std::string_view rest = parameter;
    while (!rest.empty() && scopes.size() < limits::kScopesPerToken) {
      std::string_view text = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), text.size() + 1));
      if (!text.starts_with(kRepository)) continue;
      text.remove_prefix(kRepository.size());
      const std::size_t colon = text.rfind(':');
      if (colon == std::string_view::npos || !CheckRepository(text.substr(0, colon))) continue;
      Scope scope{.repository = std::string(text.substr(0, colon))};
      for (std::string_view words = text.substr(colon + 1); !words.empty();) {
        const std::string_view word = words.substr(0, words.find(','));
        words.remove_prefix(std::min(words.size(), word.size() + 1));
        scope.pull = scope.pull || word == "pull" || word == "*";
        scope.push = scope.push || word == "push" || word == "*";
        scope.remove = scope.remove || word == "delete" || word == "*";
      }
      scopes.push_back(std::move(scope));
    }
  }
  return scopes;
}

std::string RegistryAccess::Mac(std::string_view payload) const {
  return EncodeBase64(HmacSha256(key_, payload));
}

std::string RegistryAccess::MakeToken(const RegistryAccount& account,
                                      const std::vector<Scope>& asked) const {
  const std::int64_t until_us =
      clock_->MonotonicMicros() + std::chrono::microseconds(kTokenLife).count();
  Json scopes = Json::array();
  for (const Scope& scope : asked) {
    std::string may;
    const auto grant = [&](RegistryAction action, char letter) {
      if (scope.Has(action) && account.May(scope.repository, action)) may += letter;
    };
    grant(RegistryAction::kPull, 'r');
    grant(RegistryAction::kPush, 'w');
    grant(RegistryAction::kDelete, 'd');
    if (!may.empty()) scopes.push_back(Json::array({scope.repository, may}));
  }
  const std::string payload = EncodeBase64(
      DumpJson({{"account", account.name}, {"until_us", until_us}, {"scopes", std::move(scopes)}}));
  return payload + "." + Mac(payload);
}

Result<RegistryAccess::Caller> RegistryAccess::CallerOfToken(std::string_view token) const {
  const auto unknown = [] {
    return Fail(ErrorCode::kUnauthenticated, "the token is none of this hub's, or has expired");
  };
  const std::size_t dot = token.find('.');
  if (dot == std::string_view::npos ||
      !ConstantTimeEqual(token.substr(dot + 1), Mac(token.substr(0, dot))))
    return unknown();
  // What follows is our own writing.
  SKERRY_ASSIGN_OR_RETURN(const std::string text, DecodeBase64(token.substr(0, dot)));
  SKERRY_ASSIGN_OR_RETURN(const Json payload, ParseJson(text));
  const JsonObject object(payload, "token");
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t until_us, object.Int("until_us"));
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("account"));
  if (until_us <= clock_->MonotonicMicros()) return unknown();
  auto account = FindAccount(name);
  if (!account) return unknown();
  std::vector<Scope> scopes;
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("scopes"));
  for (const Json& item : *list) {
    const std::string may = item.at(1).get<std::string>();
    scopes.push_back({.repository = item.at(0).get<std::string>(),
                      .pull = may.find('r') != std::string::npos,
                      .push = may.find('w') != std::string::npos,
                      .remove = may.find('d') != std::string::npos});
  }
  return Caller{std::move(*account), std::move(scopes)};
}

HttpResponse RegistryAccess::IssueToken(const HttpRequest& request) const {
  HttpRequest asked;  // the parameters, wherever they came
  asked.target = request.target;
  std::optional<Credentials> credentials = BasicOf(request);
  if (request.method == "POST") {
    asked.target = "?" + request.body;
    if (!credentials && asked.Query("grant_type") == "password")
      credentials = Credentials{asked.Query("username"), asked.Query("password")};
  }
  std::optional<RegistryAccount> account;
  if (credentials)
    account = LoginOf(credentials->name, credentials->secret);
  else if (request.Header("Authorization").empty() && !asked.HasQuery("grant_type"))
    account = accounts_->Find(kAnonymousAccount);
  if (!account) return TokenRefusal("unknown account, or not its secret");
  const std::string token = MakeToken(*account, ScopesAsked(asked));
  HttpResponse response = HttpResponse::JsonText(
      200, DumpJson({{"token", token},
                     {"access_token", token},
                     {"expires_in", std::chrono::seconds(kTokenLife).count()},
                     {"issued_at", FormatUtc(clock_->UtcMicros())}}));
  response.SetHeader("Cache-Control", "no-store");
  return response;
}

}  // namespace skerry
