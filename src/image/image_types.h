// Media types and annotations of container images and of what belongs to them (OCI image-spec 1.1),
// beside those of artifacts in oci/media_types.h.
#pragma once

#include <string_view>

namespace skerry::media_types {

inline constexpr std::string_view kImageLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kCycloneDx = "application/vnd.cyclonedx+json";  // an SBOM

}  // namespace skerry::media_types

namespace skerry::annotations {

inline constexpr std::string_view kDescription = "org.opencontainers.image.description";
inline constexpr std::string_view kLicenses = "org.opencontainers.image.licenses";
inline constexpr std::string_view kModelDigest = "org.skerry.model.digest";  // of a ModelPack

// Of descriptors in a layout's index.json (annotations::kKind).
inline constexpr std::string_view kKindImage = "image";
inline constexpr std::string_view kKindSbom = "sbom";

}  // namespace skerry::annotations
