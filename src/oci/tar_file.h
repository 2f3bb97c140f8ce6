// The tables of archives (tar_reader.h) that stand in files. What cannot be read of a file is
// damage: it costs the entries that stand there. Thread-safe.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "oci/age_file.h"
#include "oci/tar_reader.h"

namespace skerry {

// The errors of ReadTarTable; also kNotFound, and kPermissionDenied for a link or device.
Result<TarTable> ReadTarFile(const std::filesystem::path& path);
// Of the plain text of a sealed one; offsets are in the plain text.
Result<TarTable> ReadSealedTar(const AgeFile& file);

}  // namespace skerry
