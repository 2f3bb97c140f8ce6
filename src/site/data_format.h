// Which form the data directory of a site has: one number for all of what is in it.
//
// A change after which an earlier skerry could not use the directory any more (a data base's
// schema, a new file without which rows would be lost) gets the next number. First a release that
// reads the new form goes out, then one that writes it: what runs now can always read what the next
// one writes, so an upgrade can go back (ADR 0030).
#pragma once

#include <filesystem>

#include "base/error.h"
#include "oci/release.h"

namespace skerry {

// Of this program.
inline constexpr DataFormats kDataFormats{.writes = 1, .reads_from = 1, .reads_to = 1};

// Refuses (kFailedPrecondition) a directory whose form this program does not read, and notes in
// `<data>/format.json` the form that it writes. A directory without that file is of form 1.
Status ClaimDataFormat(const std::filesystem::path& data);

}  // namespace skerry
