// bundle: what a courier carries between a site and its hub.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/report_text.h"
#include "cli/terminal.h"
#include "storage/claimed_directory.h"
#include "sync/bundle.h"
#include "sync/bundle_stream.h"

namespace skerry {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{500};

struct BundleArguments {
  std::string path, data, hub, site, receiver, identity;
  std::vector<std::string> supply;
  bool json = false, whole = false;
};

void Print(const Json& answer, bool as_json, std::string (*text)(const Json&)) {
  std::fputs(as_json ? DumpJsonPretty(answer).c_str() : text(answer).c_str(), stdout);
}

// Waits for the end of the work; meanwhile `progress` says how far it is, to whoever looks.
template <typename T>
Result<T> Watch(std::future<Result<T>> work, const std::function<Json()>& progress) {
  if (!ShowsProgress()) return work.get();
  while (work.wait_for(kProgressInterval) != std::future_status::ready) {
    const Json now = progress();
    if (!now.value("running", false)) continue;
    const double bytes = now.value("bytes", 0.0), all_bytes = now.value("all_bytes", 0.0);
    const double parts = now.value("parts", 0.0), all_parts = now.value("all_parts", 0.0);
    const double share = all_bytes > 0 ? bytes / all_bytes : all_parts > 0 ? parts / all_parts : 0;
    PrintProgress(
        ProgressBar(share, fmt::format("{}: {:.0f} of {:.0f} parts, {:.1f} MB",
                                       now.value("verb", ""), parts, all_parts, bytes / 1e6)));
  }
  PrintProgress("");
  return work.get();
}

Result<std::string> DirectoryOf(const BundleArguments& args) {
  if (args.data.empty() == args.hub.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "give either --data (a site's directory) or --hub (the hub's directory)");
  return args.hub.empty() ? args.data : args.hub;
}

// Of root the rest of this process takes the user of the data directory, when that is another: what
// it makes there the serving process may read and write, and no link that such a user put there
// leads root elsewhere. Input and output are open already, whoever may open them.
Status BecomeOwnerOf(const std::filesystem::path& data) {
  struct stat owner{};
  if (::geteuid() != 0 || ::stat(data.c_str(), &owner) != 0 || owner.st_uid == 0) return {};
  if (::setgroups(0, nullptr) == 0 && ::setresgid(owner.st_gid, owner.st_gid, owner.st_gid) == 0 &&
      ::setresuid(owner.st_uid, owner.st_uid, owner.st_uid) == 0)
    return {};
  return Fail(ErrorCode::kPermissionDenied,
              "cannot act as user {}, whose {} is; run this as that user", owner.st_uid,
              data.string());
}

// A bundle that comes or goes as a stream ("-"), as through `kubectl exec`, is a tar below the data
// directory meanwhile, where the serving process may read and write.
Status CopyStream(std::FILE* from, std::FILE* to) {
  std::string piece(std::size_t{1} << 20U, '\0');
  for (std::size_t got = 0; (got = std::fread(piece.data(), 1, piece.size(), from)) > 0;)
    if (std::fwrite(piece.data(), 1, got, to) != got)
      return Fail(ErrorCode::kResourceExhausted, "cannot write all of the bundle");
  if (std::ferror(from) != 0 || std::fflush(to) != 0)
    return Fail(ErrorCode::kDataLoss, "cannot read or write all of the bundle");
  return {};
}

using OwnFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

Result<OwnFile> OpenFile(const std::filesystem::path& path, const char* mode) {
  OwnFile file(std::fopen(path.c_str(), mode), &std::fclose);
  if (file) return file;
  return Fail(ErrorCode::kPermissionDenied, "cannot open {}", path.string());
}

// The process that makes or takes the bundle: a site's, or the hub's for one site.
Status CallBundle(const BundleArguments& args, const char* verb) {
  SKERRY_ASSIGN_OR_RETURN(const std::string data, DirectoryOf(args));
  const bool streamed = args.path == "-";
  if (streamed) {
    SKERRY_RETURN_IF_ERROR(BecomeOwnerOf(data));
  }
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(ControlClient watch, ControlClient::ForData(data));
  const bool exported = std::string_view(verb) == "export";
  std::filesystem::path path = std::filesystem::absolute(args.path);
  std::optional<ClaimedDirectory> meanwhile;
  if (streamed) {
    SKERRY_ASSIGN_OR_RETURN(
        meanwhile, ClaimedDirectory::Create(kBundleStream, std::filesystem::absolute(data)));
    path = meanwhile->path() / "bundle.tar";
  }
  if (streamed && !exported) {
    SKERRY_ASSIGN_OR_RETURN(const OwnFile tar, OpenFile(path, "wb"));
    SKERRY_RETURN_IF_ERROR(CopyStream(stdin, tar.get()));
  }
  Json body{{"path", path.string()}};
  if (!args.hub.empty() && exported) {
    if (args.site.empty())
      return Fail(ErrorCode::kInvalidArgument, "say for which site: --site NAME");
    body["site"] = args.site;
    body["whole"] = args.whole;
    if (!args.supply.empty()) body["supply"] = args.supply;
  } else if (!args.supply.empty() || args.whole) {
    return Fail(ErrorCode::kInvalidArgument, "{} is for a hub's bundle: --hub DIR",
                args.whole ? "--whole" : "--with");
  }
  if (!args.receiver.empty()) body["receiver"] = args.receiver;
  SKERRY_ASSIGN_OR_RETURN(
      const Json report,
      Watch<Json>(
          std::async(std::launch::async,
                     [&] { return control.Post(fmt::format("/v1/bundles/{}", verb), body); }),
          [&] { return watch.Get("/v1/bundles/progress").value_or(Json::object()); }));
  if (!streamed || !exported) {
    Print(report, args.json, &BundleText);
    return {};
  }
  std::fputs((args.json ? DumpJsonPretty(report) : BundleText(report)).c_str(), stderr);
  SKERRY_ASSIGN_OR_RETURN(const OwnFile tar, OpenFile(path, "rb"));
  return CopyStream(tar.get(), stdout);
}

// What a bundle says of itself; with `read`, every byte of it compared with its digest.
Status ShowBundle(const BundleArguments& args, bool read) {
  std::optional<AgeIdentity> identity;
  if (!args.identity.empty()) {
    SKERRY_ASSIGN_OR_RETURN(identity, AgeIdentity::Load(args.identity));
  }
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader,
                          BundleReader::Open(args.path, identity ? &*identity : nullptr));
  BundleProgress progress;
  SKERRY_ASSIGN_OR_RETURN(const BundleProgress::Work work, progress.Begin("verify"));
  SKERRY_ASSIGN_OR_RETURN(
      const Json description,
      Watch<Json>(std::async(std::launch::async,
                             [&] { return Result<Json>(DescribeBundle(reader, read, &progress)); }),
                  [&] { return progress.ToJson(); }));
  Print(description, args.json, &BundleContentsText);
  const std::size_t damaged = description.value("damaged", std::size_t{0});
  if (damaged > 0 || !description["medium"].empty())
    return Fail(ErrorCode::kDataLoss,
                "{}: {} of {} parts are missing or damaged; the others can be imported", args.path,
                damaged, reader.parts().size());
  return {};
}

// Which bundle was exported and imported by whom, as this side knows it.
Status ShowCustody(const BundleArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(const std::string data, DirectoryOf(args));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(const Json list, control.Get("/v1/bundles"));
  Print(list, args.json, &CustodyText);
  return {};
}

// To whom others may encrypt bundles, so that this side alone reads them.
Status ShowReceiver(const BundleArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(const std::string data, DirectoryOf(args));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  SKERRY_ASSIGN_OR_RETURN(const Json list, control.Get("/v1/bundles"));
  const std::string receiver = list.value("receiver", "");
  if (args.json)
    std::fputs(DumpJsonPretty(Json{{"receiver", receiver}}).c_str(), stdout);
  else
    std::printf("%s\n", receiver.c_str());
  return {};
}

using BundleVerb = Status (*)(const BundleArguments&);

void DeclareShow(CLI::App& app, const char* verb, const char* summary, BundleVerb run,
                 const std::shared_ptr<CommandRun>& chosen) {
  auto args = std::make_shared<BundleArguments>();
  CLI::App* sub = app.add_subcommand(verb, summary);
  sub->add_option("path", args->path, "the bundle: a directory, or a tar")->required();
  sub->add_option("--identity", args->identity,
                  "of an encrypted bundle: the file with its receiver's key")
      ->type_name("FILE");
  sub->add_flag("--json", args->json, "print the answer as JSON");
  sub->callback([args, run, chosen] { *chosen = [args, run] { return run(*args); }; });
}

void DeclareCall(CLI::App& app, const char* verb, const char* summary,
                 const std::shared_ptr<CommandRun>& chosen) {
  auto args = std::make_shared<BundleArguments>();
  CLI::App* sub = app.add_subcommand(verb, summary);
  sub->add_option("path", args->path,
                  "the bundle: a directory, a file that ends in .tar, or - for a tar as a stream")
      ->required();
  sub->add_option("--data", args->data, "data directory of the running site");
  sub->add_option("--hub", args->hub, "data directory of the running hub");
  if (std::string_view(verb) == "export") {
    sub->add_option("--site", args->site, "the site that the hub's bundle is for");
    sub->add_option("--with", args->supply,
                    "an image, chart or other artifact of the hub's registry that goes along for "
                    "the site's own (skerry site --registry), REPOSITORY:TAG; may be repeated")
        ->type_name("REPOSITORY:TAG");
    sub->add_option("--encrypt-to", args->receiver,
                    "whom alone to let read it, as `skerry bundle receiver` prints it there")
        ->type_name("age1...");
    sub->add_flag("--whole", args->whole,
                  "the hub's: every layer of the packages, also those that the site has said it "
                  "holds or can make");
  }
  sub->add_flag("--json", args->json, "print the answer as JSON");
  sub->callback(
      [args, verb, chosen] { *chosen = [args, verb] { return CallBundle(*args, verb); }; });
}

void DeclareAsk(CLI::App& app, const char* verb, const char* summary, BundleVerb run,
                const std::shared_ptr<CommandRun>& chosen) {
  auto args = std::make_shared<BundleArguments>();
  CLI::App* sub = app.add_subcommand(verb, summary);
  sub->add_option("--data", args->data, "data directory of the running site");
  sub->add_option("--hub", args->hub, "data directory of the running hub");
  sub->add_flag("--json", args->json, "print the answer as JSON");
  sub->callback([args, run, chosen] { *chosen = [args, run] { return run(*args); }; });
}

}  // namespace

CommandRun DeclareBundle(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  app.require_subcommand(1);
  DeclareCall(app, "export",
              "write what the other side needs; goes on with an export that was interrupted",
              chosen);
  DeclareCall(app, "import", "take in what the other side wrote; repeats are harmless", chosen);
  DeclareShow(
      app, "inspect", "list the parts without reading them",
      [](const BundleArguments& args) { return ShowBundle(args, false); }, chosen);
  DeclareShow(
      app, "verify", "read every byte; name each part that is missing or damaged",
      [](const BundleArguments& args) { return ShowBundle(args, true); }, chosen);
  DeclareAsk(app, "custody", "who exported and imported which bundle, when", ShowCustody, chosen);
  DeclareAsk(app, "receiver", "to whom to encrypt bundles that this side alone is to read",
             ShowReceiver, chosen);
  return [chosen] { return (*chosen)(); };
}

}  // namespace skerry
