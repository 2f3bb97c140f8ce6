// Every media type and annotation key that our artifacts carry, in one place.
// Documented for readers outside in docs/formats/artifacts.md; a value here never changes its
// meaning, a new meaning gets a new value.
#pragma once

#include <string_view>

namespace skerry::media_types {

// OCI image-spec 1.1.
inline constexpr std::string_view kImageManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kImageIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kEmptyConfig = "application/vnd.oci.empty.v1+json";  // `{}`
inline constexpr std::string_view kImageConfig = "application/vnd.oci.image.config.v1+json";

// Docker's names for the same two documents; accepted and kept, never written by us.
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestList =
    "application/vnd.docker.distribution.manifest.list.v2+json";

// CNCF ModelPack (model-spec v0.0.7).
inline constexpr std::string_view kModelArtifact = "application/vnd.cncf.model.manifest.v1+json";
inline constexpr std::string_view kModelConfig = "application/vnd.cncf.model.config.v1+json";
inline constexpr std::string_view kModelWeightRaw = "application/vnd.cncf.model.weight.v1.raw";
inline constexpr std::string_view kModelWeightConfigRaw =
    "application/vnd.cncf.model.weight.config.v1.raw";
inline constexpr std::string_view kModelDocRaw = "application/vnd.cncf.model.doc.v1.raw";

// Signatures (cosign 3, Sigstore bundle v0.3, in-toto).
inline constexpr std::string_view kSigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
inline constexpr std::string_view kSimpleSigning =
    "application/vnd.dev.cosign.simplesigning.v1+json";
inline constexpr std::string_view kLegacySignature =
    "application/vnd.dev.cosign.artifact.sig.v1+json";
inline constexpr std::string_view kInTotoStatement = "application/vnd.in-toto+json";

// Ours. Artifact types and the type of the one document that each carries.
inline constexpr std::string_view kShipmentArtifact = "application/vnd.skerry.shipment.v1";
inline constexpr std::string_view kStatementConfig =
    "application/vnd.skerry.statement.v1.dsse+json";
inline constexpr std::string_view kSegmentLayer = "application/vnd.apache.parquet";
inline constexpr std::string_view kPolicyArtifact = "application/vnd.skerry.policy.v1";
inline constexpr std::string_view kPolicyLayer = "application/vnd.skerry.policy.v1+yaml";
inline constexpr std::string_view kReceiptArtifact = "application/vnd.skerry.receipt.v1";
inline constexpr std::string_view kReceiptLayer = "application/vnd.skerry.receipt.v1.dsse+json";
inline constexpr std::string_view kStatusArtifact = "application/vnd.skerry.status.v1";
inline constexpr std::string_view kStatusLayer = "application/vnd.skerry.status.v1.dsse+json";
inline constexpr std::string_view kTufArtifact = "application/vnd.skerry.tuf.v1";
inline constexpr std::string_view kTufLayer = "application/vnd.skerry.tuf.v1+json";
inline constexpr std::string_view kJoinRequestArtifact = "application/vnd.skerry.join-request.v1";
inline constexpr std::string_view kJoinRequestLayer = "application/vnd.skerry.join-request.v1+json";
inline constexpr std::string_view kJoinGrantArtifact = "application/vnd.skerry.join-grant.v1";
inline constexpr std::string_view kJoinGrantLayer =
    "application/vnd.skerry.join-grant.v1.dsse+json";
inline constexpr std::string_view kDeltaArtifact = "application/vnd.skerry.delta.v1";
inline constexpr std::string_view kPatchLayer = "application/vnd.skerry.delta.patch.v1+zstd";
inline constexpr std::string_view kDeltaManifestLayer =
    "application/vnd.skerry.delta.manifest.v1+json";
inline constexpr std::string_view kCustodyArtifact = "application/vnd.skerry.custody.v1";
inline constexpr std::string_view kCustodyLayer = "application/vnd.skerry.custody.v1.dsse+json";

}  // namespace skerry::media_types

namespace skerry::annotations {

// OCI and ModelPack.
inline constexpr std::string_view kTitle = "org.opencontainers.image.title";  // file name for oras
inline constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kVersion = "org.opencontainers.image.version";
inline constexpr std::string_view kModelFilePath = "org.cncf.model.filepath";

// Of a bundle's index.json.
inline constexpr std::string_view kBundle = "org.skerry.bundle";        // its id
inline constexpr std::string_view kDirection = "org.skerry.direction";  // to-hub | to-site
inline constexpr std::string_view kSite = "org.skerry.site";
// Of each manifest descriptor in it: shipment | status | join-request | join-grant |
// desired-state | receipt | model | signature | policy | custody | delta.
inline constexpr std::string_view kKind = "org.skerry.kind";

// Of a delta: the manifests of the package that it makes and of the one that it is made against.
inline constexpr std::string_view kDeltaTarget = "org.skerry.delta.target";
inline constexpr std::string_view kDeltaBase = "org.skerry.delta.base";
// Of a patch in it: the layer that it makes, and the one that it is made against (absent: none).
inline constexpr std::string_view kPatchLayerDigest = "org.skerry.delta.layer";
inline constexpr std::string_view kPatchBaseDigest = "org.skerry.delta.base-layer";
inline constexpr std::string_view kCreated = "org.opencontainers.image.created";

}  // namespace skerry::annotations
