// The commands of trust_command.h.
#include "cli/trust_command.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/tuf_limits.h"
#include "http/client.h"
#include "storage/file.h"
#include "trust/tuf_client.h"

namespace skerry {
namespace {

struct FetchArguments {
  std::string source, target, root, state, out;
  bool json = false;
};

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

Status FetchTarget(const FetchArguments& args) {
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

}  // namespace

CommandRun DeclareTrust(CLI::App& app) {
  auto args = std::make_shared<FetchArguments>();
  app.require_subcommand(1);
  CLI::App* sub = app.add_subcommand("fetch", "verify a TUF repository and fetch a target from it");
  sub->add_option("source", args->source, "URL or directory: metadata/ and targets/ are below it")
      ->required();
  sub->add_option("target", args->target, "its path: sites/north/desired.json")->required();
  sub->add_option("--state", args->state, "directory of what is trusted; made when absent")
      ->required();
  sub->add_option("--root", args->root, "the root to begin with")->type_name("FILE");
  sub->add_option("--out", args->out, "where to write the target")->type_name("FILE");
  sub->add_flag("--json", args->json, "print the facts as JSON");
  return [args] { return FetchTarget(*args); };
}

}  // namespace skerry
