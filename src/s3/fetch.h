// Objects of S3 as files of this machine, for what reads files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "s3/client.h"

namespace skerry {

// A name without *, ? and [ is that object; any other is a pattern as for files (POSIX glob: *
// ends at a /, names that begin with a dot are to be named), whose matches follow in the order of
// their keys. kNotFound: no object; kInvalidArgument: no address, an object that is named twice;
// kTooLarge: more than limits::kFilesPerTable. Else errors of S3Client.
Result<std::vector<S3Object>> ExpandObjects(S3Client& client,
                                            const std::vector<std::string>& addresses);

struct FetchProgress {
  std::size_t files = 0, all_files = 0;  // files: whole ones
  std::uint64_t bytes = 0, all_bytes = 0;
};
using FetchSink = std::function<void(const FetchProgress&)>;

// Downloads the objects into directories of their own below `directory`, each under the last part
// of its key; the paths, in their order. `progress` may be empty. kTooLarge over
// limits::kFetchedBytes together, kResourceExhausted where the disk has less room than that: both
// before the first byte. Else errors of S3Client::Download.
Result<std::vector<std::filesystem::path>> FetchObjects(S3Client& client,
                                                        const std::vector<S3Object>& objects,
                                                        const std::filesystem::path& directory,
                                                        const FetchSink& progress);

}  // namespace skerry
