// The commands of release_command.h.
#include "cli/release_command.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "cli/control_client.h"
#include "cli/site_choice.h"
#include "cli/terminal.h"
#include "image/elf_file.h"
#include "model/smoke.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "site/data_format.h"
#include "storage/file.h"
#include "sync/release_installer.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

struct ReleaseArguments {
  std::string directory, out, name, version, release, hub, data;
  SiteChoice sites;
  bool older = false, json = false;
};

// What release.json beside the program says; where there is none, what the program says when it is
// started.
Result<ReleaseFacts> FactsIn(const fs::path& directory) {
  const fs::path file = directory / kReleaseJson;
  auto text = ReadFile(file, limits::kSmallReplyBytes);
  if (text) {
    SKERRY_ASSIGN_OR_RETURN(ReleaseFacts facts, ReleaseFacts::FromJson(*text), file.string());
    return facts;
  }
  if (text.error().code() != ErrorCode::kNotFound) return tl::make_unexpected(text.error());
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory work,
                          TemporaryDirectory::Create("skerry-release"));
  return AskRelease(fs::absolute(directory / "skerry"), work.path());
}

Status CheckArchitecture(const fs::path& program, const ReleaseFacts& facts) {
  SKERRY_ASSIGN_OR_RETURN(const ElfFile elf, ReadElf(program), program.string());
  const std::string_view found = ArchitectureOfMachine(elf.machine);
  if (found == facts.architecture) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is a program for {}, {} says {}", program.string(),
              found.empty() ? "another machine" : found, kReleaseJson, facts.architecture);
}

Status Pack(const ReleaseArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ReleaseFacts facts, FactsIn(args.directory));
  SKERRY_RETURN_IF_ERROR(CheckArchitecture(fs::path(args.directory) / "skerry", facts));
  if (!args.version.empty()) facts.version = args.version;
  facts.name =
      args.name.empty() ? fmt::format("skerry-{}-{}", facts.os, facts.architecture) : args.name;
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, PackRelease(args.directory, facts));
  SKERRY_ASSIGN_OR_RETURN(LayoutWriter writer, LayoutWriter::Create(args.out));
  SKERRY_RETURN_IF_ERROR(
      writer.AddArtifact(artifact, {{std::string(annotations::kRefName), facts.version},
                                    {std::string(annotations::kKind), "release"}}));
  SKERRY_RETURN_IF_ERROR(writer.Finish());
  std::uint64_t bytes = 0;
  for (const BlobSource& blob : artifact.blobs) bytes += blob.descriptor.size;
  std::printf("%s: %s:%s %s\n  build %s for %s/%s, data format %llu, %s bytes in %zu files\n",
              args.out.c_str(), facts.name.c_str(), facts.version.c_str(),
              artifact.manifest.digest.ToString().c_str(), facts.build.c_str(), facts.os.c_str(),
              facts.architecture.c_str(), static_cast<unsigned long long>(facts.data.writes),
              WithThousands(bytes).c_str(), artifact.blobs.size() - 1);
  return {};
}

Status Deploy(const ReleaseArguments& args) {
  const bool none = args.release == "none";
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> sites, ChosenSites(args.sites, control));
  for (const std::string& site : sites) {
    const Json wanted{{"release", none ? "" : args.release}, {"may_be_older", args.older}};
    SKERRY_RETURN_IF_ERROR(control.Put(fmt::format("/v1/sites/{}/release", site), wanted), site);
    std::printf("%s: %s\n", site.c_str(),
                none ? "stays with the release that it runs"
                     : fmt::format("should run {}", args.release).c_str());
  }
  return {};
}

std::string TextOf(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What the hub knows of each site.
Result<Json> FleetOf(ControlClient& control) {
  SKERRY_ASSIGN_OR_RETURN(const Json sites, control.Get("/v1/sites"));
  Json fleet = Json::array();
  for (const Json& listed : sites.at("sites")) {
    const std::string name = TextOf(listed, "site");
    SKERRY_ASSIGN_OR_RETURN(const Json site, control.Get("/v1/sites/" + name));
    const Json status = site.value("status", Json());
    const Json desired = site.value("desired", Json());
    Json row{{"site", name}, {"runs", nullptr}, {"wanted", nullptr}, {"alarms", Json::array()}};
    if (status.is_object() && status.contains("release")) row["runs"] = status.at("release");
    if (desired.is_object() && desired.contains("release")) row["wanted"] = desired.at("release");
    if (status.is_object())
      for (const Json& alarm : status.value("alarms", Json::array()))
        if (alarm.is_string() && alarm.get<std::string>().starts_with("release "))
          row["alarms"].push_back(alarm);
    fleet.push_back(std::move(row));
  }
  return fleet;
}

std::string FleetText(const Json& fleet) {
  std::vector<std::vector<std::string>> rows{{"site", "release", "standing", "wanted"}};
  std::string alarms;
  for (const Json& site : fleet) {
    const Json& runs = site.at("runs");
    const Json& wanted = site.at("wanted");
    rows.push_back(
        {TextOf(site, "site"), runs.is_null() ? "-" : TextOf(runs, "version"),
         runs.is_null() ? "-" : TextOf(runs, "standing"),
         wanted.is_null() ? "-" : TextOf(wanted, "name") + ":" + TextOf(wanted, "version")});
    for (const Json& alarm : site.at("alarms"))
      alarms += WrapText(TextOf(site, "site") + ": ", alarm.get<std::string>(), 2);
  }
  return RenderColumns(rows) + alarms;
}

std::string SiteText(const Json& site) {
  const Json& release = site.at("release");
  std::string text = fmt::format("{} runs release {} (build {} for {}, data format {}), {}\n",
                                 TextOf(site, "site"), TextOf(release, "version"),
                                 TextOf(release, "build"), TextOf(release, "architecture"),
                                 release.at("data_format").dump(), TextOf(release, "standing"));
  if (const Json& wanted = release.at("wanted"); wanted.is_object())
    text += fmt::format("wanted is {}:{}\n", TextOf(wanted, "name"), TextOf(wanted, "version"));
  for (const Json& alarm : site.at("alarms"))
    if (alarm.get<std::string>().starts_with("release "))
      text += WrapText("", alarm.get<std::string>(), 2);
  return text;
}

Status Show(const ReleaseArguments& args) {
  if (args.hub.empty() == args.data.empty())
    return Fail(ErrorCode::kInvalidArgument, "name a hub (--hub) or a site (--data)");
  if (!args.hub.empty()) {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
    SKERRY_ASSIGN_OR_RETURN(const Json fleet, FleetOf(control));
    std::fputs(args.json ? DumpJsonPretty(fleet).c_str() : FleetText(fleet).c_str(), stdout);
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.data));
  SKERRY_ASSIGN_OR_RETURN(const Json site, control.Get("/v1/site"));
  std::fputs(args.json ? DumpJsonPretty(site.at("release")).c_str() : SiteText(site).c_str(),
             stdout);
  return {};
}

using Act = Status (*)(const ReleaseArguments&);

CLI::App* AddAct(CLI::App& app, const char* name, const char* what, const char* example, Act act,
                 const std::shared_ptr<Act>& chosen) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->footer(std::string("Example: ") + example);
  sub->callback([act, chosen] { *chosen = act; });
  return sub;
}

}  // namespace

Result<std::string> ReleasesText(ControlClient& control) {
  SKERRY_ASSIGN_OR_RETURN(const Json fleet, FleetOf(control));
  const bool any = std::ranges::any_of(fleet, [](const Json& site) {
    return !site.at("wanted").is_null() || !site.at("alarms").empty();
  });
  return any ? FleetText(fleet) : std::string();
}

ReleaseFacts ThisRelease() {
  ReleaseFacts own;
  own.build = own.version = SKERRY_VERSION;
  own.os = "linux";
  own.architecture = OwnArchitecture();
  own.data = kDataFormats;
  return WithSetOf(own, SelfExecutable());
}

CommandRun DeclareRelease(CLI::App& app) {
  auto args = std::make_shared<ReleaseArguments>();
  auto chosen = std::make_shared<Act>(nullptr);
  app.require_subcommand(1);
  CLI::App* pack = AddAct(app, "pack", "make an OCI artifact of a release, as an image layout",
                          "skerry release pack skerry-0.2.0-linux-amd64/skerry --out release.oci",
                          &Pack, chosen);
  pack->add_option("directory", args->directory,
                   "as installed: skerry, lib/ and release.json; the directory skerry/ of an "
                   "offline installer is one")
      ->required();
  pack->add_option("--out", args->out, "the OCI image layout to make")->required();
  pack->add_option("--version", args->version,
                   "of this set of files; that of release.json by default");
  pack->add_option("--name", args->name, "skerry-linux-amd64, as its platform is, by default");
  CLI::App* deploy = AddAct(app, "deploy", "say which release sites should run",
                            "skerry release deploy skerry-linux-amd64:0.2.0 --sites north,south "
                            "--hub hub-data",
                            &Deploy, chosen);
  deploy
      ->add_option("release", args->release,
                   "NAME:VERSION in the hub's registry; none: that which they run")
      ->required();
  DeclareSiteChoice(*deploy, args->sites);
  deploy->add_flag("--older", args->older, "also to a site that has run a later one");
  deploy->add_option("--hub", args->hub, "data directory of the running hub")->required();
  CLI::App* show = AddAct(app, "show", "which release a site runs, or each site of a hub",
                          "skerry release show --hub hub-data", &Show, chosen);
  show->add_option("--hub", args->hub, "data directory of the running hub");
  show->add_option("--data", args->data, "instead: data directory of a running site");
  show->add_flag("--json", args->json, "print it as JSON");
  return [args, chosen]() -> Status { return (*chosen)(*args); };
}

}  // namespace skerry
