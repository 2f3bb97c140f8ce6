// The layer that all images of one release share: of the system, what the binary and its libraries
// need and no more.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "image/layer.h"
#include "image/system_root.h"

namespace skerry {

inline constexpr unsigned kImageUser = 65'532;  // and group; "nonroot" in others' images

struct BaseLayer {
  LayerTree tree{"base"};
  std::string architecture;             // amd64, arm64
  std::vector<DebianPackage> packages;  // whose files are in it
  std::vector<SystemLibrary> libraries;
};

// Of what `programs` need; the errors of SystemRoot::LibrariesOf, and kUnimplemented for a
// processor that we have no name for.
Result<BaseLayer> MakeBaseLayer(const SystemRoot& root,
                                const std::vector<std::filesystem::path>& programs,
                                const std::filesystem::path& beside);

}  // namespace skerry
