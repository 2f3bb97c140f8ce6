// registry: what an operator does with the hub's registry, asked of the running hub.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/terminal.h"
#include "http/url.h"
#include "storage/file.h"

namespace skerry {
namespace {

struct RegistryArguments {
  std::string hub, account, out, prefix;
  std::vector<std::string> allow;
  std::uint64_t grace_hours = 0, days = 0, quota = 0;
  bool json = false, immutable_tags = false;
};

std::uint64_t CountOf(const Json& facts, const char* key) {
  return facts.value(key, std::uint64_t{0});
}

Status Collect(const RegistryArguments& args, bool with_grace) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  Json asked = Json::object();
  if (with_grace) asked["grace_s"] = args.grace_hours * 3'600;
  SKERRY_ASSIGN_OR_RETURN(const Json done, control.Post("/v1/registry/collect", asked));
  if (args.json) {
    std::fputs(DumpJsonPretty(done).c_str(), stdout);
    return {};
  }
  std::printf("removed %s blobs of %s bytes and %s abandoned uploads; %s blobs of %s bytes stay\n",
              WithThousands(CountOf(done, "blobs")).c_str(),
              WithThousands(CountOf(done, "bytes")).c_str(),
              WithThousands(CountOf(done, "uploads")).c_str(),
              WithThousands(CountOf(done, "kept_blobs")).c_str(),
              WithThousands(CountOf(done, "kept_bytes")).c_str());
  if (const std::uint64_t unread = CountOf(done, "unread_repositories"); unread > 0)
    std::printf("%s repositories have a manifest that cannot be read: nothing of theirs went\n",
                WithThousands(unread).c_str());
  return {};
}

// "images=push,delete" of --allow.
Result<Json> RightsOf(const std::vector<std::string>& allowed) {
  Json rights = Json::array();
  for (const std::string& text : allowed) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      return Fail(ErrorCode::kInvalidArgument,
                  "--allow {}: say PREFIX=RIGHTS, as in images/team=push,delete", text);
    Json may = Json::array();
    for (std::string_view words = std::string_view(text).substr(equals + 1); !words.empty();) {
      const std::string_view word = words.substr(0, words.find(','));
      may.push_back(word);
      words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    rights.push_back({{"prefix", text.substr(0, equals)}, {"may", std::move(may)}});
  }
  return rights;
}

std::string AccountPath(const std::string& account) {
  return "/v1/registry/accounts/" + PercentEncode(account);
}

Status AddAccount(const RegistryArguments& args) {
  const bool secret_less = args.account == "anonymous";
  if (args.out.empty() != secret_less)
    return Fail(ErrorCode::kInvalidArgument,
                "--out names the file for the account's secret; anonymous has none");
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  Json asked{{"name", args.account}};
  SKERRY_ASSIGN_OR_RETURN(asked["rights"], RightsOf(args.allow));
  if (args.days > 0)
    asked["expires_us"] =
        SystemClock().UtcMicros() + static_cast<std::int64_t>(args.days) * 86'400'000'000;
  SKERRY_ASSIGN_OR_RETURN(const Json made, control.Post("/v1/registry/accounts", asked));
  if (secret_less) {
    std::printf("anyone may pull there now, without an account\n");
    return {};
  }
  const Status kept = WriteSecret(args.out, made.value("secret", ""),
                                  fmt::format("the secret of {}, kept nowhere else", args.account));
  if (!kept) {  // an account whose secret nobody has would only hold its name
    SKERRY_RETURN_IF_ERROR(control.Call("DELETE", AccountPath(args.account), "", ""));
  }
  return kept;
}

Status SetRights(const RegistryArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  Json asked;
  SKERRY_ASSIGN_OR_RETURN(asked["rights"], RightsOf(args.allow));
  SKERRY_RETURN_IF_ERROR(control.Put(AccountPath(args.account), asked));
  std::printf("%s: its rights are those now\n", args.account.c_str());
  return {};
}

Status RemoveAccount(const RegistryArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_RETURN_IF_ERROR(control.Call("DELETE", AccountPath(args.account), "", ""));
  std::printf("%s: removed; its tokens are worth nothing\n", args.account.c_str());
  return {};
}

Status ListAccounts(const RegistryArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json answer, control.Get("/v1/registry/accounts"));
  if (args.json) {
    std::fputs(DumpJsonPretty(answer).c_str(), stdout);
    return {};
  }
  std::vector<std::vector<std::string>> rows{{"account", "rights", "until"}};
  for (const Json& account : answer.at("accounts")) {
    std::string rights;
    for (const Json& right : account.at("rights")) {
      rights += (rights.empty() ? "" : " ") + right.at("prefix").get<std::string>();
      const char* separator = "=";
      for (const Json& word : right.at("may")) {
        rights += separator + word.get<std::string>();
        separator = ",";
      }
    }
    const Json& expires = account.at("expires_us");
    rows.push_back({account.at("name").get<std::string>(), rights,
                    expires.is_null() ? "" : FormatUtc(expires.get<std::int64_t>())});
  }
  std::fputs(RenderColumns(rows).c_str(), stdout);
  return {};
}

Status SetRule(const RegistryArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  if (!args.immutable_tags && args.quota == 0) {
    SKERRY_RETURN_IF_ERROR(
        control.Call("DELETE", "/v1/registry/rules?prefix=" + PercentEncode(args.prefix), "", ""));
    std::printf("%s: no rule any more\n", args.prefix.c_str());
    return {};
  }
  SKERRY_RETURN_IF_ERROR(control.Put("/v1/registry/rules", {{"prefix", args.prefix},
                                                            {"immutable_tags", args.immutable_tags},
                                                            {"quota_bytes", args.quota}}));
  std::printf("%s: the rule is in force\n", args.prefix.c_str());
  return {};
}

Status ListRules(const RegistryArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json answer, control.Get("/v1/registry/rules"));
  if (args.json) {
    std::fputs(DumpJsonPretty(answer).c_str(), stdout);
    return {};
  }
  std::vector<std::vector<std::string>> rows{{"prefix", "tags", "quota", "used"}};
  for (const Json& rule : answer.at("rules")) {
    const std::uint64_t quota = CountOf(rule, "quota_bytes");
    rows.push_back({rule.at("prefix").get<std::string>(),
                    rule.at("immutable_tags").get<bool>() ? "immutable" : "",
                    quota == 0 ? "" : WithThousands(quota),
                    WithThousands(CountOf(rule, "used_bytes"))});
  }
  std::fputs(RenderColumns(rows).c_str(), stdout);
  return {};
}

}  // namespace

CommandRun DeclareRegistry(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  auto args = std::make_shared<RegistryArguments>();
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* summary) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_option("--hub", args->hub, "data directory of the running hub")->required();
    sub->add_flag("--json", args->json, "print the answer as JSON");
    return sub;
  };
  CLI::App* collect = add("collect", "remove what nothing names any more, now");
  CLI::Option* grace = collect->add_option(
      "--grace-hours", args->grace_hours,
      "for how long a blob may wait for its manifest; a week unless said. With less, pushes that "
      "take longer have to send their blobs again");
  collect->callback([=] { *chosen = [=] { return Collect(*args, grace->count() > 0); }; });
  const auto of_account = [&](const char* name, const char* summary,
                              Status (*run)(const RegistryArguments&)) {
    CLI::App* sub = add(name, summary);
    sub->add_option("account", args->account, "the account's name")->required();
    sub->callback([=] { *chosen = [=] { return run(*args); }; });
    return sub;
  };
  const auto with_rights = [args](CLI::App* sub) {
    sub->add_option("--allow", args->allow,
                    "PREFIX=RIGHTS: pull, push or delete (push and delete go with pull) in that "
                    "repository and below it; * for all but those of sites; may be repeated")
        ->required();
    return sub;
  };
  CLI::App* made = with_rights(of_account(
      "add", "make an account for a person or a pipeline; anonymous is anyone", &AddAccount));
  made->add_option("--out", args->out,
                   "the file to write its secret to, mode 0600; - writes to the output alone");
  made->add_option("--days", args->days, "for so many days; for ever unless said");
  with_rights(of_account("allow", "give an account other rights", &SetRights));
  of_account("remove", "remove an account, with its tokens", &RemoveAccount);
  add("accounts", "list the accounts")->callback([=] {
    *chosen = [=] { return ListAccounts(*args); };
  });
  CLI::App* rule = add("rule", "say what holds in a repository and below it; nothing ends it");
  rule->add_option("prefix", args->prefix, "the repository, or the front of several")->required();
  rule->add_flag("--immutable-tags", args->immutable_tags, "tags are neither moved nor deleted");
  rule->add_option("--quota", args->quota, "bytes, of all of it together: 20GB, 500MiB")
      ->transform(CLI::AsSizeValue(true));
  rule->callback([=] { *chosen = [=] { return SetRule(*args); }; });
  add("rules", "list the rules, and what is used")->callback([=] {
    *chosen = [=] { return ListRules(*args); };
  });
  return [chosen] { return (*chosen)(); };
}

}  // namespace skerry
