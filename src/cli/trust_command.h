// trust: what is believed of a TUF repository.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace skerry {

CommandRun DeclareTrust(CLI::App& app);

}  // namespace skerry
