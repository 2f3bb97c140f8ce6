// Deltas as artifacts: the patches that make the layers of one package out of those of another, and
// in a bundle everything else of the package that the site lacks. docs/formats/delta.md.
//
// A delta is a hint and trusted for nothing: whoever uses it compares the layer that comes out with
// the digest in the package's signed manifest. Pure functions on values.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// Where a hub's registry has its deltas.
inline constexpr std::string_view kDeltaRepository = "deltas";

// One layer as a patch: codec/patch.h on `base`, or on nothing.
struct LayerDelta {
  Digest layer;
  std::optional<Digest> base;
  Descriptor patch;
};

// A patch that was made.
struct MadePatch {
  Digest layer;
  std::optional<Digest> base;
  std::string bytes;
};

// `base` is a package's manifest; none: the patches are made against nothing. There may be no
// patches. `created` is RFC 3339.
Result<Artifact> MakeDelta(const Digest& target, const std::optional<Digest>& base,
                           std::vector<MadePatch> patches, std::string_view created);
// The patches of a delta for `target`; kInvalidArgument when it is none.
Result<std::vector<LayerDelta>> ReadDelta(const Manifest& delta, const Digest& target);
// The package that it makes; kInvalidArgument when it is no delta.
Result<Digest> TargetOf(const Manifest& delta);

// For a bundle: the delta with the package's manifest, its config, and the layers that are neither
// in it as patches nor among `held`.
Result<Artifact> MakeCarriedDelta(const Artifact& delta, const Artifact& package,
                                  const std::set<Digest>& held);
// The package's manifest in it, compared with `target`; kInvalidArgument without one.
Result<std::string> ReadCarriedManifest(const Artifact& carried, const Digest& target);

// The layer that a site which holds the package `base` would change into `layer`: the same file;
// null when it has none.
const Descriptor* BaseLayerOf(const Manifest& base, const Descriptor& layer);

}  // namespace skerry
