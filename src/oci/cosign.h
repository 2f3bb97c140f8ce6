// Signatures on artifacts and attestations about them, as cosign 3 makes and verifies them: a
// Sigstore bundle v0.3 whose DSSE envelope carries an in-toto statement about the manifest's
// digest, stored as a referrer of it. A signature is the statement with cosign's own predicate type
// and nothing in it; any other predicate says something about the artifact and approves nothing.
// Key pairs only: no transparency log, no certificate. Pure functions; thread-safe.
// Source: sigstore protobuf-specs (bundle v0.3), in-toto Statement v1, DSSE v1.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// Predicate type of a signature.
inline constexpr std::string_view kCosignSignature = "https://sigstore.dev/cosign/sign/v1";

// The referrer artifact to push beside `subject`: artifactType and layer
// application/vnd.dev.sigstore.bundle.v0.3+json, predicate https://sigstore.dev/cosign/sign/v1.
Result<Artifact> MakeCosignBundle(const Descriptor& subject, const PrivateKey& key);

// The same with another predicate, as `cosign attest` stores it (`cosign verify-attestation --type
// predicate_type`).
Result<Artifact> MakeAttestation(const Descriptor& subject, std::string_view predicate_type,
                                 const Json& predicate, const PrivateKey& key);

// The form of cosign before version 3: an image at a tag of its own beside the subject, whose layer
// names the subject's digest and whose annotation is the signature of the layer. `reference` is
// what the subject was called where it was signed ("models/milling"); verifiers show it.
std::string LegacySignatureTag(const Digest& subject);  // "sha256-<hex>.sig"
Result<Artifact> MakeLegacySignature(const Descriptor& subject, std::string_view reference,
                                     const PrivateKey& key);
// Whether a layer of the image is a signature of `subject` by one of `keys`. Errors as of
// VerifyCosignBundle.
Status VerifyLegacySignature(const Artifact& image, const Digest& subject,
                             std::span<const PublicKey> keys);

// By what a registry or a layout tells of a bundle without opening it: whether it may be a
// signature, and not an attestation, whose bytes nobody needs who only asks for signatures.
bool MayBeSignature(const Descriptor& referrer);

// Which predicate type the bundle's statement has, whoever signed it. kInvalidArgument: not such a
// bundle.
Result<std::string> PredicateTypeOf(std::string_view bundle_json);

// The predicate, when the bundle is an attestation of that type about `subject` by one of `keys`.
// Errors as of VerifyCosignBundle.
Result<Json> VerifyAttestation(std::string_view bundle_json, const Digest& subject,
                               std::string_view predicate_type, std::span<const PublicKey> keys);

// Whether the bundle is a signature of `subject` by one of `keys`. kPermissionDenied: no key
// matches, the signature is missing or false, or it is one of another digest (which is named);
// kInvalidArgument: not such a bundle.
Status VerifyCosignBundle(std::string_view bundle_json, const Digest& subject,
                          std::span<const PublicKey> keys);

}  // namespace skerry
