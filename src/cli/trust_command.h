// trust: the keys by which sites believe what they should run (the hub's TUF repository).
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace skerry {

CommandRun DeclareTrust(CLI::App& app);

}  // namespace skerry
