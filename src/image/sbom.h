// What an image is made of, as a CycloneDX document (ECMA-424, 1.6): the Debian packages of its
// base, the libraries that come with skerry or are compiled into it, and the model. Pure: the same
// image gives the same text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "image/image.h"
#include "image/system_root.h"

namespace skerry {

struct SbomSubject {
  const ImageOptions& options;
  const ImageFacts& facts;  // manifest and architecture are there
  const std::vector<DebianPackage>& packages;
  std::string debian_version;
  // Files of the model package and their digests.
  std::vector<std::pair<std::string, Digest>> model_files;
};

std::string MakeSbom(const SbomSubject& subject);

}  // namespace skerry
