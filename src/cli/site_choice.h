// Which sites a command is about: those that it names, or those of a group (`skerry trust group`).
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/control_client.h"

namespace skerry {

struct SiteChoice {
  std::vector<std::string> sites;
  std::string group;
};

// --sites and --group, one of which is to be given. `choice` outlives the parser.
void DeclareSiteChoice(CLI::App& app, SiteChoice& choice);

// Their names, each a valid one: a group's as the hub has it now. kInvalidArgument names what is no
// name; kNotFound lists the groups that there are.
Result<std::vector<std::string>> ChosenSites(const SiteChoice& choice, ControlClient& hub);

}  // namespace skerry
