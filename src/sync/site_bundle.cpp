#include "sync/site_bundle.h"

#include <algorithm>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "oci/manifest.h"
#include "sync/shipment_artifact.h"

namespace skerry {
namespace {

PartOutcome OutcomeOf(const BundlePart& part, PartResult result, std::string reason = "") {
  return {std::string(BundleKindName(part.kind)), part.name, result, std::move(reason)};
}

// A part that is not whole on this medium may come with another copy; a whole one that is not
// acceptable never will.
PartOutcome Failed(const BundlePart& part, const Error& error) {
  const bool damaged = error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kNotFound;
  return OutcomeOf(part, damaged ? PartResult::kMissing : PartResult::kRefused, error.message());
}

PartOutcome ApplyGrant(const SiteBundleParts& parts, const BundlePart& part,
                       const std::string& envelope) {
  const bool joined = parts.identity->joined();
  const Status applied = parts.identity->ApplyGrant(envelope);
  if (!applied) return Failed(part, applied.error());
  return OutcomeOf(part, joined ? PartResult::kRepeated : PartResult::kApplied);
}

PartOutcome ApplyReceipt(const SiteBundleParts& parts, const BundlePart& part,
                         const std::string& envelope) {
  const auto outcome = parts.outbox->ApplyReceipt(envelope, parts.identity->hub_keys());
  if (!outcome) return Failed(part, outcome.error());
  const bool changed =
      outcome->kind == ReceiptOutcome::Kind::kApplied &&
      (outcome->segments_deleted > 0 || outcome->gaps_closed > 0 || outcome->new_incarnation);
  return OutcomeOf(part, changed ? PartResult::kApplied : PartResult::kRepeated);
}

PartOutcome ApplyDesired(const SiteBundleParts& parts, const BundlePart& part,
                         const std::string& envelope) {
  const auto change = parts.identity->AcceptDesired(envelope);
  if (!change) return Failed(part, change.error());
  return OutcomeOf(part, *change == SiteIdentity::DesiredChange::kNewer ? PartResult::kApplied
                                                                        : PartResult::kRepeated);
}

PartOutcome ApplyDocument(const SiteBundleParts& parts, const BundleReader& reader,
                          const BundlePart& part) {
  const auto document = reader.ReadDocument(part, limits::kReceiptBytes);
  if (!document) return Failed(part, document.error());
  switch (part.kind) {
    case BundleKind::kJoinGrant: return ApplyGrant(parts, part, *document);
    case BundleKind::kReceipt: return ApplyReceipt(parts, part, *document);
    case BundleKind::kDesiredState: return ApplyDesired(parts, part, *document);
    default: return OutcomeOf(part, PartResult::kRefused, "it belongs to the hub");
  }
}

// A model's or policy's part, from what the deployer did with the digest.
PartOutcome FromDeployment(const BundleReader& reader, const BundlePart& part,
                           const std::vector<DeployOutcome>& deployed) {
  const auto found = std::ranges::find(deployed, part.manifest, &DeployOutcome::digest);
  if (found == deployed.end()) {
    if (const auto whole = reader.ReadArtifact(part); !whole) return Failed(part, whole.error());
    return OutcomeOf(part, PartResult::kRefused,
                     "the desired state that this site holds does not name it");
  }
  switch (found->result) {
    case DeployResult::kApplied: return OutcomeOf(part, PartResult::kApplied);
    case DeployResult::kHeld: return OutcomeOf(part, PartResult::kRepeated);
    case DeployResult::kNotHere: return OutcomeOf(part, PartResult::kMissing, found->reason);
    case DeployResult::kRefused: break;
  }
  return OutcomeOf(part, PartResult::kRefused, found->reason);
}

// A signature goes the way of its model.
PartOutcome FromSubject(const BundleReader& reader, const BundlePart& part,
                        const std::vector<DeployOutcome>& deployed) {
  const auto artifact = reader.ReadArtifact(part);
  if (!artifact) return Failed(part, artifact.error());
  const auto manifest = Manifest::Parse(artifact->manifest_bytes);
  if (!manifest) return Failed(part, manifest.error());
  if (!manifest->subject)
    return OutcomeOf(part, PartResult::kRefused, "it does not say what it signs");
  BundlePart subject = part;
  subject.manifest = manifest->subject->digest;
  const auto found = std::ranges::find(deployed, subject.manifest, &DeployOutcome::digest);
  if (found == deployed.end())
    return OutcomeOf(part, PartResult::kRefused,
                     "it signs what the desired state that this site holds does not name");
  return FromDeployment(reader, subject, deployed);
}

}  // namespace

Result<BundleReport> ExportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& directory) {
  BundleReport report;
  report.header = {RandomHex(16), BundleDirection::kToHub, parts.identity->site()};
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Shipment> shipments, parts.outbox->PendingShipments());
  SKERRY_ASSIGN_OR_RETURN(BundleWriter writer, BundleWriter::Create(directory, report.header));
  if (!parts.identity->joined() && parts.identity->has_token()) {
    SKERRY_ASSIGN_OR_RETURN(const JoinRequest request, parts.identity->MakeRequest());
    SKERRY_RETURN_IF_ERROR(
        writer.AddDocument(BundleKind::kJoinRequest, "join-request", request.ToJson()));
  }
  std::vector<PartOutcome> failed;
  for (const Shipment& shipment : shipments) {
    const auto artifact = MakeShipmentArtifact(shipment);
    Status added;
    if (artifact)
      added = writer.AddArtifact(BundleKind::kShipment, shipment.tag, *artifact);
    else
      added = tl::make_unexpected(artifact.error());
    if (added) continue;
    // A full medium concerns everything; a segment that cannot be read only its shipment.
    if (added.error().code() == ErrorCode::kResourceExhausted)
      return Propagate(std::move(added), directory.string());
    failed.push_back({std::string(BundleKindName(BundleKind::kShipment)), shipment.tag,
                      PartResult::kMissing, added.error().message()});
  }
  // Last, so that its counters and its list of what is pending cover every shipment above.
  SKERRY_ASSIGN_OR_RETURN(const std::string status, parts.make_status());
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kStatus, "status", status));
  SKERRY_RETURN_IF_ERROR(writer.Finish(), directory.string());
  for (const BundlePart& part : writer.parts())
    report.parts.push_back(OutcomeOf(part, PartResult::kWritten));
  std::ranges::move(failed, std::back_inserter(report.parts));
  LogInfo("bundle exported bundle={} parts={}", report.header.id, report.parts.size());
  return report;
}

Result<BundleReport> ImportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader, BundleReader::Open(directory));
  const std::string site = parts.identity->site();
  if (reader.header().direction != BundleDirection::kToSite)
    return Fail(ErrorCode::kInvalidArgument, "the bundle in {} is on its way to the hub",
                directory.string());
  if (reader.header().site != site)
    return Fail(ErrorCode::kPermissionDenied, "the bundle in {} is for site {}, this site is {}",
                directory.string(), reader.header().site, site);
  BundleReport report;
  report.header = reader.header();
  const auto is_artifact = [](const BundlePart& part) {
    return part.kind == BundleKind::kPolicy || part.kind == BundleKind::kModel ||
           part.kind == BundleKind::kSignature;
  };
  for (const BundlePart& part : reader.parts())
    if (!is_artifact(part)) report.parts.push_back(ApplyDocument(parts, reader, part));
  BundleSource source(reader);
  const std::vector<DeployOutcome> deployed = parts.deployer->Reconcile(source);
  for (const BundlePart& part : reader.parts()) {
    if (!is_artifact(part)) continue;
    report.parts.push_back(part.kind == BundleKind::kSignature
                               ? FromSubject(reader, part, deployed)
                               : FromDeployment(reader, part, deployed));
  }
  std::ranges::copy(reader.unknown_parts(), std::back_inserter(report.parts));
  LogInfo("bundle imported bundle={} applied={} refused={} missing={}", report.header.id,
          report.Count(PartResult::kApplied), report.Count(PartResult::kRefused),
          report.Count(PartResult::kMissing));
  return report;
}

}  // namespace skerry
