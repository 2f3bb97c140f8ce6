// The documents of OCI image-spec 1.1: descriptors, image manifests and image indexes, also in
// Docker's older spelling. Plain values; parsing is bounded, and members that we do not know are
// ignored. What identifies a manifest is its bytes, so a parsed one is never written back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/digest.h"

namespace skerry {

using Annotations = std::map<std::string, std::string>;

// Points at content by its digest.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  Annotations annotations;
  std::string artifact_type;        // of the manifest that it points at; often empty
  std::optional<std::string> data;  // the content itself, decoded, where it is embedded

  // The annotation's value, or "".
  std::string Annotation(std::string_view key) const;
  Json ToJson() const;
  // kInvalidArgument names the member by `path` ("layers[2].digest").
  static Result<Descriptor> FromJson(const Json& value, const std::string& path);
};

// An image manifest (config, layers) or an image index (manifests).
struct Manifest {
  std::string media_type;
  std::string artifact_type;          // as written; may be empty
  std::optional<Descriptor> config;   // always there in an image manifest
  std::vector<Descriptor> layers;     // at most limits::kLayersPerManifest
  std::vector<Descriptor> manifests;  // of an index; the same limit
  std::optional<Descriptor> subject;
  Annotations annotations;

  bool is_index() const;
  // What referrers lists show: `artifact_type`, or an image manifest's config media type.
  std::string EffectiveArtifactType() const;
  // Compact JSON with sorted keys; the same value gives the same bytes.
  std::string ToJson() const;

  // `media_type` is the Content-Type that came with the bytes, or "" to go by the document.
  // kInvalidArgument when it contradicts the document or a member is wrong; kTooLarge over
  // limits::kManifestBytes or too many layers.
  static Result<Manifest> Parse(std::string_view bytes, std::string_view media_type = {});
};

}  // namespace skerry
