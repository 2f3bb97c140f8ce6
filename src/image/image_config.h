// The config of an image: what runs in it, as whom, and how one asks whether it is well. Pure.
#pragma once

#include <string>
#include <vector>

#include "image/image.h"
#include "image/layer.h"

namespace skerry {

// The labels of config, manifest and index. `model` is the digest of the package as ModelPack, or
// empty.
Annotations ImageLabels(const ImageOptions& options, const Digest& model);

// OCI image-spec 1.1, config.md; `Healthcheck` is Docker's addition to it.
std::string ImageConfig(const ImageOptions& options, const std::string& architecture,
                        const std::vector<Layer>& layers, const Annotations& labels);

}  // namespace skerry
