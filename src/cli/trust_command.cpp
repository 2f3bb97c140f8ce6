// The commands of trust_command.h.
#include "cli/trust_command.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/tuf_limits.h"
#include "cli/control_client.h"
#include "http/client.h"
#include "storage/file.h"
#include "trust/tuf_client.h"
#include "trust/tuf_repository.h"

namespace skerry {
namespace {

struct TrustArguments {
  std::string hub, role, group, file, key, out, source, target, root, state;
  std::vector<std::string> keys, sites;
  std::uint64_t threshold = 1;
  bool json = false;
};

std::string Joined(const Json& list) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : ", ") + item.get<std::string>();
  return text;
}

void PrintFacts(const Json& facts, bool as_json) {
  if (as_json) {
    std::fputs(DumpJsonPretty(facts).c_str(), stdout);
    return;
  }
  std::printf("%-12s %10s  %-22s %s\n", "role", "version", "expires", "keys");
  for (const Json& role : facts["roles"]) {
    std::string keys = fmt::format("{} of", role["threshold"].get<std::uint64_t>());
    for (const Json& key : role["keys"])
      keys += fmt::format(" {}{}", key["id"].get<std::string>().substr(0, 12),
                          key["here"].get<bool>() ? "" : " (elsewhere)");
    if (role.contains("sites") && role["role"] != kTufSitesRole)
      keys += "; sites " + Joined(role["sites"]);
    std::printf("%-12s %10llu  %-22s %s\n", role["role"].get<std::string>().c_str(),
                static_cast<unsigned long long>(role["version"].get<std::uint64_t>()),
                role["expires"].get<std::string>().c_str(), keys.c_str());
  }
  const Json& draft = facts["draft"];
  if (draft.is_null()) return;
  std::printf(
      "root %llu waits for signatures: %llu of %llu of the old keys, %llu of %llu of the new\n"
      "  skerry trust draft --out root.json, sign-root root.json --key KEY, add-root root.json\n",
      static_cast<unsigned long long>(draft["version"].get<std::uint64_t>()),
      static_cast<unsigned long long>(draft["signed_by_old"].get<std::uint64_t>()),
      static_cast<unsigned long long>(draft["old_threshold"].get<std::uint64_t>()),
      static_cast<unsigned long long>(draft["signed_by_new"].get<std::uint64_t>()),
      static_cast<unsigned long long>(draft["new_threshold"].get<std::uint64_t>()));
}

Status Show(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json facts, control.Get("/v1/trust"));
  PrintFacts(facts, args.json);
  return {};
}

Status Rotate(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json facts,
                          control.Post("/v1/trust/rotate", Json{{"role", args.role}}));
  PrintFacts(facts, args.json);
  return {};
}

Status SetRootKeys(const TrustArguments& args) {
  Json pems = Json::array();
  for (const std::string& file : args.keys) {
    SKERRY_ASSIGN_OR_RETURN(const std::string pem, ReadFile(file, limits::kTufTimestampBytes));
    SKERRY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromPem(pem), file);
    pems.push_back(key.ToPem());
  }
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(
      const Json facts,
      control.Put("/v1/trust/root-keys", Json{{"threshold", args.threshold}, {"key_pems", pems}}));
  PrintFacts(facts, args.json);
  return {};
}

Status SetGroup(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json facts,
                          control.Put("/v1/groups/" + args.group, Json{{"sites", args.sites}}));
  PrintFacts(facts, args.json);
  return {};
}

Status WriteDraft(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const std::string draft,
                          control.Call("GET", "/v1/trust/draft", "", "application/json"));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(args.out, draft));
  std::printf("%s: have it signed with skerry trust sign-root\n", args.out.c_str());
  return {};
}

// Wherever the key is: no hub takes part.
Status SignRoot(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(args.file, limits::kTufRootBytes));
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, ParseTuf(text, "root", limits::kTufRootBytes),
                          args.file);
  SKERRY_ASSIGN_OR_RETURN(const TufRoot root, TufRoot::FromJson(document.body));
  SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Load(args.key));
  SKERRY_RETURN_IF_ERROR(SignTuf(document, key));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(args.file, document.ToJson()));
  std::printf("%s: root %llu is signed by %s, %zu signatures in all\n", args.file.c_str(),
              static_cast<unsigned long long>(root.version),
              TufKeyId(key.public_key()).substr(0, 12).c_str(), document.signatures.size());
  return {};
}

Status AddRoot(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(args.file, limits::kTufRootBytes));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const std::string answer,
                          control.Call("POST", "/v1/trust/root", text, "application/json"));
  SKERRY_ASSIGN_OR_RETURN(const Json facts, ParseJson(answer));
  PrintFacts(facts, args.json);
  return {};
}

// A repository in a directory, or at a URL.
class FetchedSource final : public TufSource {
 public:
  explicit FetchedSource(std::string base) : base_(std::move(base)) {}
  Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) override {
    if (!base_.starts_with("http://") && !base_.starts_with("https://"))
      return ReadFile(std::filesystem::path(base_) / name, max_bytes);
    HttpCall call;
    call.url = base_ + "/" + name;
    call.max_reply_bytes = max_bytes;
    SKERRY_ASSIGN_OR_RETURN(HttpReply reply, http_.Send(call));
    if (reply.status == 404) return Fail(ErrorCode::kNotFound, "{} is not there", call.url);
    if (reply.status != 200)
      return Fail(ErrorCode::kUnavailable, "{} answered {}", call.url, reply.status);
    return std::move(reply.body);
  }

 private:
  std::string base_;
  HttpClient http_{HttpClientOptions{}};
};

// What a site does, by hand.
Status FetchTarget(const TrustArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(TufClient client, TufClient::Open(args.state));
  if (!client.has_root()) {
    if (args.root.empty())
      return Fail(ErrorCode::kInvalidArgument, "{} has no root yet: name one with --root",
                  args.state);
    SKERRY_ASSIGN_OR_RETURN(const std::string root, ReadFile(args.root, limits::kTufRootBytes));
    SKERRY_RETURN_IF_ERROR(client.Trust(root), args.root);
  }
  FetchedSource source(args.source);
  SKERRY_RETURN_IF_ERROR(client.Update(source));
  SKERRY_ASSIGN_OR_RETURN(const TufTarget target, client.FindTarget(args.target, source));
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes, client.FetchTarget(args.target, target, source));
  if (!args.out.empty()) SKERRY_RETURN_IF_ERROR(WriteFileDurably(args.out, bytes));
  const TufExpiry expiry = client.expiry().value_or(TufExpiry{});
  const bool expired = SystemClock().UtcMicros() >= expiry.expires_us;
  const Json facts{{"target", args.target},
                   {"sha256", target.sha256.hex()},
                   {"bytes", target.length},
                   {"root_version", client.root_version()},
                   {"expires", FormatUtc(expiry.expires_us)},
                   {"expires_role", expiry.role},
                   {"expired", expired}};
  if (args.json)
    std::fputs(DumpJsonPretty(facts).c_str(), stdout);
  else
    std::printf("%s: %s, %llu bytes, by root %llu; %s %s (%s)\n", args.target.c_str(),
                target.sha256.ToString().c_str(), static_cast<unsigned long long>(target.length),
                static_cast<unsigned long long>(client.root_version()),
                expired ? "EXPIRED" : "expires", FormatUtc(expiry.expires_us).c_str(),
                expiry.role.c_str());
  return {};
}

using TrustVerb = Status (*)(const TrustArguments&);

CLI::App* Add(CLI::App& app, const char* verb, const char* summary, TrustVerb run,
              const std::shared_ptr<TrustArguments>& args,
              const std::shared_ptr<CommandRun>& chosen) {
  CLI::App* sub = app.add_subcommand(verb, summary);
  sub->callback([args, run, chosen] { *chosen = [args, run] { return run(*args); }; });
  return sub;
}

void OfHub(CLI::App* sub, const std::shared_ptr<TrustArguments>& args) {
  sub->add_option("--hub", args->hub, "data directory of the running hub")->required();
  sub->add_flag("--json", args->json, "print the answer as JSON");
}

void DeclareRoots(CLI::App& app, const std::shared_ptr<TrustArguments>& args,
                  const std::shared_ptr<CommandRun>& chosen) {
  CLI::App* sub = Add(app, "root-keys", "say who signs roots, and how many of them it takes",
                      SetRootKeys, args, chosen);
  sub->add_option("--key", args->keys, "a public key (PEM), once for each")
      ->required()
      ->type_name("FILE");
  sub->add_option("--threshold", args->threshold, "how many of them it takes")->required();
  OfHub(sub, args);
  sub = Add(app, "draft", "write the root that waits for signatures", WriteDraft, args, chosen);
  sub->add_option("--out", args->out, "where to")->required()->type_name("FILE");
  OfHub(sub, args);
  sub = Add(app, "sign-root", "sign a root with a key that no hub has", SignRoot, args, chosen);
  sub->add_option("file", args->file, "the root")->required();
  sub->add_option("--key", args->key, "the private key (PEM, mode 0600)")
      ->required()
      ->type_name("FILE");
  sub =
      Add(app, "add-root", "give the hub a root that was signed elsewhere", AddRoot, args, chosen);
  sub->add_option("file", args->file, "the root")->required();
  OfHub(sub, args);
}

}  // namespace

CommandRun DeclareTrust(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  auto args = std::make_shared<TrustArguments>();
  app.require_subcommand(1);
  OfHub(Add(app, "show", "roles, versions, keys, and the root that waits for signatures", Show,
            args, chosen),
        args);
  CLI::App* sub =
      Add(app, "rotate", "put a new key in the place of a role's", Rotate, args, chosen);
  sub->add_option("role", args->role, "root, timestamp, snapshot, targets, or a group")->required();
  OfHub(sub, args);
  sub = Add(app, "group", "say which sites a group has; it gets a key of its own", SetGroup, args,
            chosen);
  sub->add_option("group", args->group, "its name")->required();
  sub->add_option("--sites", args->sites, "all of them; none ends the group")->delimiter(',');
  OfHub(sub, args);
  DeclareRoots(app, args, chosen);
  sub = Add(app, "fetch", "verify a TUF repository and fetch a target, as a site does", FetchTarget,
            args, chosen);
  sub->add_option("source", args->source, "URL or directory: .../metadata and .../targets below it")
      ->required();
  sub->add_option("target", args->target, "its path: sites/north/desired.json")->required();
  sub->add_option("--state", args->state, "directory of what is trusted; made when absent")
      ->required();
  sub->add_option("--root", args->root, "the root to begin with")->type_name("FILE");
  sub->add_option("--out", args->out, "where to write the target")->type_name("FILE");
  sub->add_flag("--json", args->json, "print the facts as JSON");
  return [chosen] { return (*chosen)(); };
}

}  // namespace skerry
