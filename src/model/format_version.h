// The `format` member of the package's documents: "<name>/<major>" or "<name>/<major>.<minor>".
#pragma once

#include <string_view>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

// OK for the given name and major version, whatever the minor. kInvalidArgument when the member is
// absent or of another document; kUnimplemented, naming both versions, for another major.
Status CheckFormat(const JsonObject& object, std::string_view name, unsigned major);

}  // namespace skerry
