// The files that a person means by names and patterns.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

// A name that exists is that file, whatever characters it has; any other with *, ? or [ is a
// pattern (POSIX glob) whose matches follow in the order of their names. kNotFound: a name or a
// pattern without a file. kInvalidArgument: a directory, a file that is named twice, more than
// limits::kFilesPerTable files.
Result<std::vector<std::filesystem::path>> ExpandFiles(const std::vector<std::string>& names);

}  // namespace skerry
