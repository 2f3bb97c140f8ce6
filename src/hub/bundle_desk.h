// The hub's side of bundles: takes in what a courier brings from a site, and writes what one takes
// back. Everything ends in the functions that the link uses too, so what comes by both roads, or
// three times, is taken once.
//
// Borrows what it is given; thread-safe. Durable on return.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/age.h"
#include "hub/delta_desk.h"
#include "hub/desired_desk.h"
#include "hub/ingest.h"
#include "hub/join_desk.h"
#include "hub/model_shelf.h"
#include "hub/receipt_shelf.h"
#include "hub/store.h"
#include "oci/registry.h"
#include "outbox/site_status.h"
#include "sync/bundle.h"
#include "sync/custody.h"
#include "sync/supply.h"

namespace skerry {

struct BundleDeskParts {
  HubStore* store = nullptr;
  Registry* registry = nullptr;
  Ingest* ingest = nullptr;
  ReceiptShelf* receipts = nullptr;
  JoinDesk* join = nullptr;
  DesiredDesk* desired = nullptr;
  TrustDesk* trust = nullptr;
  ModelShelf* shelf = nullptr;
  DeltaDesk* deltas = nullptr;
  const Clock* clock = nullptr;
  CustodyList* custody = nullptr;
  PrivateKey hub_key;        // signs what the hub tells of custody
  AgeIdentity bundle_key{};  // opens bundles that are encrypted to the hub
};

// Which layers of a package a bundle carries: all, or of a site that has said what it holds, those
// that it lacks, as patches where these are smaller (docs/formats/delta.md).
enum class CarriedLayers : std::uint8_t { kWhole, kWhatIsMissing };

class BundleDesk {
 public:
  explicit BundleDesk(BundleDeskParts parts) : parts_(std::move(parts)) {}

  // Join request, status, shipments, in this order; one that is refused or damaged stops no other.
  // kInvalidArgument: no bundle, or one that goes to a site; nothing is applied then. Troubles of
  // this machine (kResourceExhausted, kInternal) end the import with what was done until then;
  // shipments that were copied ahead stay in the registry and are taken by the next import. The
  // receipt is made at the end, one for all shipments.
  Result<BundleReport> Import(const std::filesystem::path& path);

  // Grant (when the site has joined), receipt, desired state with its metadata and every root, and
  // the models with signatures and the policy that it names. For `path` see BundleWriter::Create.
  // `supply`: what of the hub's registry goes along for the site's own (sync/supply.h).
  Result<BundleReport> Export(std::string_view site, const std::filesystem::path& path,
                              CarriedLayers layers = CarriedLayers::kWhatIsMissing,
                              const std::optional<AgeRecipient>& receiver = std::nullopt,
                              std::span<const std::string> supply = {});
  // To whom bundles for the hub may be encrypted.
  const AgeRecipient& receiver() const { return parts_.bundle_key.recipient(); }

  const BundleProgress& progress() const { return progress_; }
  const CustodyList& custody() const { return *parts_.custody; }

 private:
  // A shipment that stands in the registry and is to be taken.
  struct Stored {
    ArrivedShipment shipment;
    std::map<std::string, std::uint64_t> rows;  // of the segments that came with it, by class
  };
  // Copies shipments ahead of the one that is taken: a disk's work beside a processor's.
  class Ahead;
  Result<PartOutcome> Apply(const BundleReader& reader, std::size_t at, Ahead& ahead);
  Result<bool> ApplyPart(const BundleReader& reader, const BundlePart& part, PartOutcome& outcome);
  // A certificate that it asks for is issued too, and goes to the site with the next bundle.
  Result<bool> ApplyStatus(const BundleReader& reader, const BundlePart& part,
                           PartOutcome& outcome);
  Result<Stored> StoreShipment(const BundleReader& reader, const BundlePart& part);
  Result<bool> TakeShipment(Stored stored, PartOutcome& outcome);
  Result<bool> ApplyCustody(const BundleReader& reader, const BundlePart& part);
  Status AddSupply(std::string_view site, std::span<const std::string> supply,
                   BundleWriter& writer);
  // What is to be said of parts, by name.
  using Remarks = std::map<std::string, std::string>;
  Status AddDesired(std::string_view site, CarriedLayers layers, BundleWriter& writer,
                    Remarks& remarks);
  // Nothing where the site runs it, as its newest status says, unless everything is to be carried.
  Status AddRelease(std::string_view site, const ReleaseRef& release, CarriedLayers layers,
                    BundleWriter& writer);
  Status AddModel(const ModelRef& model, const std::vector<Digest>& holds, BundleWriter& writer,
                  Remarks& remarks);
  // None when it would carry all the same.
  Result<std::optional<Artifact>> DeltaOf(const Artifact& package, const std::vector<Digest>& holds,
                                          std::string& remark);
  // The packages that the site holds, as its newest status says; none of a site that has joined
  // anew since, since its disk may be another.
  Result<std::vector<Digest>> HeldBy(std::string_view site);
  // The newest status, of a site that has not joined anew since.
  Result<std::optional<SiteStatus>> StatusOf(std::string_view site);
  Status Note(std::string_view action, const BundleReport& report);

  BundleDeskParts parts_;
  BundleProgress progress_;
};

}  // namespace skerry
