#include "cli/site_choice.h"

#include "base/ids.h"

namespace skerry {
namespace {

constexpr std::string_view kOfAllOthers = "sites";  // the group of sites that are in no other

Result<std::vector<std::string>> SitesOfGroup(const std::string& group, ControlClient& hub) {
  SKERRY_ASSIGN_OR_RETURN(const Json facts, hub.Get("/v1/trust"));
  std::string known;
  for (const Json& role : facts.at("roles")) {
    const auto name = role.at("role").get<std::string>();
    if (!role.contains("sites") || name == kOfAllOthers) continue;
    if (name == group) return role.at("sites").get<std::vector<std::string>>();
    known += (known.empty() ? "" : ", ") + name;
  }
  return Fail(ErrorCode::kNotFound, "the hub has no group {}, its groups are: {}", group,
              known.empty() ? "none (skerry trust group makes one)" : known);
}

}  // namespace

void DeclareSiteChoice(CLI::App& app, SiteChoice& choice) {
  CLI::Option_group* const which = app.add_option_group("Which sites");
  which->add_option("--sites", choice.sites, "the sites")->delimiter(',');
  which->add_option("--group", choice.group,
                    "the sites that this group has now (skerry trust group)");
  which->require_option(1);
}

Result<std::vector<std::string>> ChosenSites(const SiteChoice& choice, ControlClient& hub) {
  for (const std::string& site : choice.sites) SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
  if (choice.group.empty()) return choice.sites;
  return SitesOfGroup(choice.group, hub);
}

}  // namespace skerry
