// A runnable container image of skerry itself, made without a daemon, without root and without a
// network: an OCI image layout that podman, containerd and every registry tool take.
//
// Layers, from the bottom: base (C library, the libraries that the binary is linked with, the
// certificates of authorities, users), onnxruntime, skerry (the binary), duckdb and xgboost where
// they are needed, model. Each is the same bytes for the same content, so that images of one
// release share all but the last. docs/formats/image.md; docs/adr/0026-images.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/layout.h"
#include "oci/registry_client.h"

namespace skerry {

// What the image runs.
enum class ImagePurpose : std::uint8_t { kServe, kSite, kHub };
Result<ImagePurpose> ParseImagePurpose(std::string_view name);  // "serve", "site", "hub"
std::string_view ImagePurposeName(ImagePurpose purpose);

struct ImageOptions {
  ImagePurpose purpose = ImagePurpose::kServe;
  std::filesystem::path model;       // a model package's directory; of kServe alone
  std::string name, version;         // the image's, and the model's where there is one
  std::filesystem::path binary;      // libraries are sought in lib/ beside it
  std::filesystem::path root = "/";  // system_root.h
  std::filesystem::path join;        // a layout whose images of other platforms are taken in
  std::int64_t created_s = 0;        // UTC; what `created` says, and nothing else
  std::string skerry_version;
};

struct ImageLayerFacts {
  std::string name;
  Digest digest, diff_id;
  std::uint64_t bytes = 0;  // compressed
};

struct ImageFacts {
  Digest index, manifest, sbom;
  std::string architecture;  // as Go calls it: amd64, arm64
  std::vector<ImageLayerFacts> layers;
  std::vector<std::string> platforms;  // of the index: "linux/amd64"
};

// Writes the layout `out`: a directory, or one archive where its name ends in .tar. It must not be
// there (kAlreadyExists). The same input gives the same index digest. kNotFound names what is
// missing (a library, a package file); kInvalidArgument for a purpose that takes no model, or
// wants one.
Result<ImageFacts> BuildImage(const ImageOptions& options, const std::filesystem::path& out);

// Pushes the images of a layout that BuildImage wrote, their index as `tag`, and then their SBOMs.
// Returns the index's digest. kInvalidArgument when the layout holds no image.
Result<Digest> PushImage(const LayoutReader& layout, RegistryClient& registry,
                         std::string_view repository, std::string_view tag);

}  // namespace skerry
