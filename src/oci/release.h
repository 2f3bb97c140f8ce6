// Releases of skerry itself as OCI artifacts: a config that says what the release is, and one raw
// layer a file, named by org.opencontainers.image.title. docs/formats/release.md.
//
// A release is a directory as it is installed: `skerry`, and below `lib/` the libraries that come
// with it. Pure functions on files; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/manifest.h"
#include "oci/modelpack.h"

namespace skerry {

namespace media_types {
inline constexpr std::string_view kReleaseArtifact = "application/vnd.skerry.release.v1";
inline constexpr std::string_view kReleaseConfig = "application/vnd.skerry.release.config.v1+json";
inline constexpr std::string_view kReleaseFile = "application/vnd.skerry.release.file.v1";
}  // namespace media_types

namespace limits {
constexpr std::size_t kReleaseFiles = 512;
constexpr std::uint64_t kReleaseBytes = std::uint64_t{2} << 30U;  // of its files, all together
}  // namespace limits

// Which forms of the data directory a program writes and reads; each change that an earlier program
// could not read gets the next number.
struct DataFormats {
  std::uint64_t writes = 1;
  std::uint64_t reads_from = 1;
  std::uint64_t reads_to = 1;
  bool operator==(const DataFormats&) const = default;
};

struct ReleaseFacts {
  std::string name;              // of the repository; "" of a program that was not packed
  std::string version;           // of the set of files
  std::string build;             // of the program in it, as compiled
  std::string os, architecture;  // as Go calls them: linux, amd64
  DataFormats data;

  std::string ToJson() const;
  // kInvalidArgument names the member; kUnimplemented for another major version.
  static Result<ReleaseFacts> FromJson(std::string_view text);
  bool operator==(const ReleaseFacts&) const = default;
};

// The name of this file in a release's directory.
inline constexpr std::string_view kReleaseJson = "release.json";

// "amd64", "arm64"; empty for what we have no name for. By the ELF machine, and of this program.
std::string_view ArchitectureOfMachine(std::uint16_t elf_machine);
std::string_view OwnArchitecture();

// The files of an installed release by their names in it: `skerry` and what is below `lib/`. Links
// to a file beside them are left out (names for linkers). kInvalidArgument names what does not
// belong.
Result<std::map<std::string, std::filesystem::path>> ReleaseFilesIn(
    const std::filesystem::path& directory);

// Reproducible: the same files and facts give the same digest wherever and whenever. The artifact
// refers to the files, which must stay.
Result<Artifact> PackRelease(const std::filesystem::path& directory, const ReleaseFacts& facts);

// The artifact's kind, its number of files and bytes; nothing of it is read. kInvalidArgument,
// kTooLarge.
Status CheckReleaseManifest(const Manifest& manifest);

// The name of a layer's file; kPermissionDenied for one that may not be.
Result<std::string> ReleaseFileName(const Descriptor& layer);

// Writes the files and release.json (the config's bytes) into the new directory `target`, all
// executable, each verified and synced. Errors as of UnpackModel.
Status UnpackRelease(const Manifest& manifest, const BlobGetter& get_blob,
                     const std::filesystem::path& target);

}  // namespace skerry
