// What is attested of a model package beside its signature: SLSA provenance (v1) and a CycloneDX
// SBOM (1.6), both made of the package's own provenance.json, report.json and manifest. No time, no
// random number and no name of a machine is in them: the same package gives the same statements.
// Pure functions; thread-safe.
// Sources: slsa.dev/spec/v1.0/provenance, CycloneDX 1.6 (machine-learning-model, data).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "oci/artifact.h"

namespace skerry {

// Predicate types, as `cosign verify-attestation --type` takes them.
inline constexpr std::string_view kSlsaProvenance = "https://slsa.dev/provenance/v1";
inline constexpr std::string_view kCycloneDxBom = "https://cyclonedx.org/bom";

// The predicates for a packed model. A package without provenance.json has a BOM of its files alone
// and no provenance (null). kInvalidArgument: a package whose documents are not what they should
// be.
Result<Json> SlsaPredicateOf(const Artifact& model);
Result<Json> CycloneDxOf(const Artifact& model);

// The referrers to push beside the model: provenance (where there is one) and SBOM, signed.
Result<std::vector<Artifact>> AttestModel(const Artifact& model, const PrivateKey& key);

}  // namespace skerry
