// Signatures on artifacts, as cosign 3 makes and verifies them: a Sigstore bundle v0.3 whose DSSE
// envelope carries an in-toto statement about the manifest's digest, stored as a referrer of it.
// Key pairs only: no transparency log, no certificate. Pure functions; thread-safe.
// Source: sigstore protobuf-specs (bundle v0.3), in-toto Statement v1, DSSE v1.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// The referrer artifact to push beside `subject`: artifactType and layer
// application/vnd.dev.sigstore.bundle.v0.3+json, predicate https://sigstore.dev/cosign/sign/v1.
Result<Artifact> MakeCosignBundle(const Descriptor& subject, const PrivateKey& key);

// Whether the bundle is a signature of `subject` by one of `keys`. kPermissionDenied: no key
// matches, the signature is missing or false, or it is one of another digest (which is named);
// kInvalidArgument: not such a bundle.
Status VerifyCosignBundle(std::string_view bundle_json, const Digest& subject,
                          std::span<const PublicKey> keys);

}  // namespace skerry
