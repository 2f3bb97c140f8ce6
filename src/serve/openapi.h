// The OpenAPI document of the scoring API: src/serve/openapi.json, compiled in.
#pragma once

#include <string_view>

namespace skerry {

// OpenAPI 3.1, JSON. Every route of scoring_routes.h is in it, and no other.
std::string_view OpenApiDocument();

}  // namespace skerry
