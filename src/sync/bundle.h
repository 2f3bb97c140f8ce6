// Bundles: what a courier carries between a site and its hub, as an OCI image layout in a directory
// or in one tar (a path that ends in ".tar").
//
// Role: the writer and the reader that both sides use, and the words for what came of each part.
// What the parts mean is not known here: the site applies them in sync/site_bundle.h, the hub in
// its own ingest. A bundle is trusted for nothing: every part is verified by its own signature or
// pinned digest by whoever applies it, and the layout's digests find damage on the way.
//   BundleWriter writer = BundleWriter::Create(path, {id, kToHub, "south"});
//   writer.AddDocument(BundleKind::kStatus, "status", envelope);
//   writer.AddArtifact(BundleKind::kShipment, tag, artifact);
//   writer.Finish();                                  // the plan, the blobs, index.json; synced
//   BundleReader reader = BundleReader::Open(path);   // header, parts; ReadDocument, ReadArtifact
//
// index.json carries the annotations org.skerry.bundle (id), org.skerry.direction (to-hub, to-site)
// and org.skerry.site; each manifest descriptor org.skerry.kind and
// org.opencontainers.image.ref.name. Format: docs/formats/bundle.md. Writer: one thread; reader:
// many. Errors: kDataLoss names a damaged or missing blob; kInvalidArgument a directory that is no
// bundle.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "crypto/age.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/layout.h"
#include "sync/bundle_progress.h"

namespace skerry {

enum class BundleKind : std::uint8_t {
  kJoinRequest,   // document, to the hub
  kStatus,        // document (DSSE), to the hub
  kShipment,      // artifact, to the hub
  kJoinGrant,     // document (DSSE), to the site
  kReceipt,       // document (DSSE), to the site; and back, for a hub that was restored
  kDesiredState,  // artifact: TUF metadata and the target (sync/tuf_artifact.h), to the site
  kPolicy,        // artifact, to the site
  kModel,         // artifact, to the site
  kSignature,     // artifact: a cosign bundle whose subject is a model of this bundle
  kCustody,       // document (DSSE), either way: sync/custody.h
  kDelta,         // artifact: a model in terms of one that the site holds (oci/delta_artifact.h)
  kSupply,        // document (DSSE), to the site: the list of what follows (sync/supply.h)
  kArtifact,      // artifact or image index of the hub's registry, to the site
  kRelease,       // artifact: a release of skerry (oci/release.h), to the site
};
std::string_view BundleKindName(BundleKind kind);  // "join-request", ...
Result<BundleKind> ParseBundleKind(std::string_view name);

enum class BundleDirection : std::uint8_t { kToHub, kToSite };
std::string_view BundleDirectionName(BundleDirection direction);  // "to-hub", "to-site"

struct BundleHeader {
  std::string id;  // RandomHex(16); the courier's number
  BundleDirection direction = BundleDirection::kToHub;
  std::string site;
};

struct BundlePart {
  BundleKind kind;
  std::string name;       // shipment tag, "milling:1", ...; for people and for the applier
  Digest manifest;        // of the part's manifest; of a delta, that of the model that it makes
  std::size_t entry = 0;  // its place in the index
};

// What came of a part. kWritten: by an export. kRepeated: it was held already, nothing changed.
// kMissing: not whole on this medium; another copy may bring it. kRefused: whole, and not
// acceptable.
enum class PartResult : std::uint8_t { kWritten, kApplied, kRepeated, kMissing, kRefused };
std::string_view PartResultName(PartResult result);

struct PartOutcome {
  std::string kind;  // BundleKindName, or what the bundle calls a kind that is not known here
  std::string name;
  PartResult result;
  std::string reason;  // of kMissing and kRefused; of others, what is to be said of them
  std::uint64_t bytes = 0;
  std::map<std::string, std::uint64_t> rows = {};  // of a shipment, by class
};

class BundleWriter {
 public:
  // `path` is made. A bundle of the same direction and site that was begun there and not finished
  // is gone on with, under its own id. Anything else that is there: kAlreadyExists.
  // With a `receiver` the bundle is a directory that the receiver alone can read (oci/medium.h);
  // one that was interrupted is begun again, under a new id.
  static Result<BundleWriter> Create(const std::filesystem::path& path, const BundleHeader& header,
                                     const std::optional<AgeRecipient>& receiver = std::nullopt,
                                     MediumBounds bounds = {});
  BundleWriter(BundleWriter&&) noexcept;
  BundleWriter& operator=(BundleWriter&&) noexcept;
  ~BundleWriter();

  const BundleHeader& header() const;
  // What Finish is to write. kInvalidArgument for a kind that goes the other way.
  Status AddArtifact(BundleKind kind, std::string_view name, Artifact artifact);
  // Wraps the bytes as an artifact of one layer.
  Status AddDocument(BundleKind kind, std::string_view name, std::string_view bytes);
  // What is to be written so far, as if it were.
  std::vector<PartOutcome> planned() const;
  // Writes everything, index.json last, and syncs. An artifact that cannot be read is missing in
  // the outcomes and the others go on; a full medium (kResourceExhausted) ends it, and another
  // writer goes on from there. Call once.
  Result<std::vector<PartOutcome>> Finish(BundleProgress* progress = nullptr);

 private:
  struct Impl;
  explicit BundleWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class BundleReader {
 public:
  // Bounded: limits::kBundleEntries, kIndexBytes, kMediumEntries. Links, devices and names that
  // leave the bundle are refused, and an encrypted one without the `identity` of its receiver
  // (kPermissionDenied). Missing or damaged blobs are found by Read*, part by part.
  static Result<BundleReader> Open(const std::filesystem::path& path,
                                   const AgeIdentity* identity = nullptr);
  BundleReader(BundleReader&&) noexcept;
  BundleReader& operator=(BundleReader&&) noexcept;
  ~BundleReader();

  const BundleHeader& header() const;
  // In the order in which they are to be applied: by BundleKind, then as written.
  const std::vector<BundlePart>& parts() const;
  // Entries of a kind that this version does not know, as refused outcomes for the report; and the
  // damage that concerns no single part, as missing ones of kind "medium".
  const std::vector<PartOutcome>& other_outcomes() const;
  // Every blob verified against its digest (large ones stay files). kDataLoss: says which blob.
  Result<Artifact> ReadArtifact(const BundlePart& part) const;
  // The same with blobs that are there but not read: whoever uses one verifies it. Of an image
  // index the document alone.
  Result<Artifact> LocateArtifact(const BundlePart& part) const;
  // The single layer's bytes; kTooLarge over `max_bytes`.
  Result<std::string> ReadDocument(const BundlePart& part, std::size_t max_bytes) const;
  // Reads all of a part and lists what is wrong with it; none when it is whole.
  std::vector<BlobFault> Check(const BundlePart& part) const;
  // Manifest and blobs, as the manifest tells; the manifest alone when it cannot be read.
  std::uint64_t BytesOf(const BundlePart& part) const;

 private:
  struct Impl;
  explicit BundleReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Reads all of a bundle: {"bundle","direction","site","whole":n,"damaged":n,"bytes","medium":[...],
// "parts":[{"kind","name","digest","bytes","state":"whole"|"damaged","faults":["blob sha256:... is
// missing"]}]}. With `read` false the blobs are not read, and the parts have no state.
Json DescribeBundle(const BundleReader& reader, bool read, BundleProgress* progress = nullptr);

// The member `receiver` of what was asked of an export; none where it is not there.
Result<std::optional<AgeRecipient>> ReceiverOf(const Json& body);

struct BundleReport {
  BundleHeader header;
  std::vector<PartOutcome> parts;

  std::size_t Count(PartResult result) const;
  // {"bundle","direction","site","written":n,"applied":n,"repeated":n,"missing":["kind name:
  // reason"],
  //  "refused":["kind name: reason"],"parts":[{"kind","name","result","reason"?}]}
  Json ToJson() const;
};

}  // namespace skerry
