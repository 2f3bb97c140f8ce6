// release: releases of skerry itself, packed, named to sites, and where they stand.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "oci/release.h"

namespace skerry {

CommandRun DeclareRelease(CLI::App& app);

// Which release each site runs and should run, as the hub of `control` knows it, as text; "" where
// no site has been told of one.
Result<std::string> ReleasesText(ControlClient& control);

// This program, and the set of files that it stands in.
ReleaseFacts ThisRelease();

}  // namespace skerry
