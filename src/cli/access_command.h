// The options of TLS, client certificates and API keys, which `serve` and `site` have alike.
#pragma once

#include <CLI/CLI.hpp>

#include "serve/access.h"

namespace skerry {

// `options` outlives the parser.
void DeclareAccess(CLI::App& app, AccessOptions& options);

// Puts what was given on the command line over what a file said.
void OverrideAccess(const AccessOptions& given, AccessOptions& options);

}  // namespace skerry
