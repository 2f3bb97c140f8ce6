// A directory of results that is made beside its place and appears there whole, or not at all.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "storage/file.h"

namespace skerry {

// Whether `out` can be made: kAlreadyExists, kInvalidArgument (no name, no parent directory); each
// says what to do.
Status CheckNewDirectory(const std::filesystem::path& out);

// Gives `written`, which lies beside it, the name `out`, by one rename, readable to all (0755) and
// synced. Errors are those of CheckNewDirectory; kInternal.
Status PublishDirectory(const TemporaryDirectory& written, const std::filesystem::path& out);

}  // namespace skerry
