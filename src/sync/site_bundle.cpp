#include "sync/site_bundle.h"

#include <algorithm>
#include <map>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/media_limits.h"
#include "oci/manifest.h"
#include "sync/shipment_artifact.h"
#include "sync/tuf_artifact.h"

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
  const auto change = parts.identity->ApplyGrant(envelope);
  if (!change) return Failed(part, change.error());
  return OutcomeOf(part, *change == SiteIdentity::GrantChange::kTaken ? PartResult::kApplied
                                                                      : PartResult::kRepeated);
}

PartOutcome ApplyReceipt(const SiteBundleParts& parts, const BundlePart& part,
                         const std::string& envelope) {
  const auto outcome = parts.outbox->ApplyReceipt(envelope, parts.identity->hub_keys());
  if (!outcome) return Failed(part, outcome.error());
  parts.identity->RaiseTimeFloor(outcome->issued_at_us);
  const bool changed = outcome->kind == ReceiptOutcome::Kind::kApplied &&
                       (outcome->segments_covered > 0 || outcome->gaps_closed > 0 ||
                        outcome->new_incarnation || outcome->segments_offered_again > 0 ||
                        outcome->gaps_told_again > 0 || outcome->records_lost > 0);
  return OutcomeOf(part, changed ? PartResult::kApplied : PartResult::kRepeated);
}

PartOutcome ApplyDesired(const SiteBundleParts& parts, const BundleReader& reader,
                         const BundlePart& part) {
  auto artifact = reader.ReadArtifact(part);
  if (!artifact) return Failed(part, artifact.error());
  auto source = ArtifactTufSource::Make(std::move(*artifact));
  if (!source) return Failed(part, source.error());
  const auto change = parts.identity->FollowDesired(*source);
  if (!change) return Failed(part, change.error());
  return OutcomeOf(part, *change == SiteIdentity::DesiredChange::kNewer ? PartResult::kApplied
                                                                        : PartResult::kRepeated);
}

PartOutcome ApplyCustody(const SiteBundleParts& parts, const BundlePart& part,
                         const std::string& envelope) {
  const auto entries =
      ReadCustody(envelope, parts.identity->hub_keys(), parts.identity->site(), "hub");
  if (!entries) return Failed(part, entries.error());
  const auto added = parts.custody->Add(*entries);
  if (!added) return Failed(part, added.error());
  return OutcomeOf(part, *added > 0 ? PartResult::kApplied : PartResult::kRepeated);
}

PartOutcome ApplyDocument(const SiteBundleParts& parts, const BundleReader& reader,
                          const BundlePart& part) {
  if (part.kind == BundleKind::kDesiredState) return ApplyDesired(parts, reader, part);
  const auto document = reader.ReadDocument(part, limits::kReceiptBytes);
  if (!document) return Failed(part, document.error());
  switch (part.kind) {
    case BundleKind::kJoinGrant: return ApplyGrant(parts, part, *document);
    case BundleKind::kReceipt: return ApplyReceipt(parts, part, *document);
    case BundleKind::kCustody: return ApplyCustody(parts, part, *document);
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
    case DeployResult::kApplied: return OutcomeOf(part, PartResult::kApplied, found->reason);
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
  PartOutcome outcome = FromDeployment(reader, subject, deployed);
  if (outcome.result == PartResult::kApplied) outcome.reason.clear();  // that of its model
  return outcome;
}

// Who this site is in a list of custody.
std::string NameOf(const SiteBundleParts& parts) { return "site:" + parts.identity->site(); }

bool IsSupply(const BundlePart& part) {
  return part.kind == BundleKind::kSupply || part.kind == BundleKind::kArtifact;
}

// The list that the hub has signed, and what it names; after the grant, which brings the hub's
// keys.
std::vector<PartOutcome> TakeSupply(const SiteBundleParts& parts, const BundleReader& reader) {
  std::vector<PartOutcome> outcomes;
  Result<SupplyList> list = Fail(ErrorCode::kPermissionDenied, "the hub has signed no list of it");
  for (const BundlePart& part : reader.parts()) {
    if (part.kind != BundleKind::kSupply) continue;
    const auto document = reader.ReadDocument(part, limits::kSupplyBytes * 2);
    list = document ? ReadSupply(*document, parts.identity->hub_keys(), parts.identity->site())
                    : tl::make_unexpected(document.error());
    outcomes.push_back(list ? OutcomeOf(part, PartResult::kApplied) : Failed(part, list.error()));
  }
  if (parts.registry == nullptr)
    list = Fail(ErrorCode::kFailedPrecondition,
                "this site keeps no images: start it with --registry 127.0.0.1:5000");
  if (parts.registry != nullptr) {
    std::ranges::move(parts.registry->Take(reader, list), std::back_inserter(outcomes));
    return outcomes;
  }
  for (const BundlePart& part : reader.parts())
    if (part.kind == BundleKind::kArtifact) outcomes.push_back(Failed(part, list.error()));
  return outcomes;
}

std::map<std::string, std::uint64_t> RowsOf(const Shipment& shipment) {
  std::map<std::string, std::uint64_t> rows;
  for (const auto& [digest, path] : shipment.segments)
    for (const SegmentEntry& segment : shipment.statement.segments)
      if (segment.digest == digest) rows[std::string(RecordClassName(segment.cls))] += segment.rows;
  return rows;
}

void AddRows(const std::map<std::string, std::map<std::string, std::uint64_t>>& rows,
             BundleReport& report) {
  for (PartOutcome& part : report.parts)
    if (const auto found = rows.find(part.name); found != rows.end()) part.rows = found->second;
}

}  // namespace

Result<BundleReport> ExportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& path,
                                      const std::optional<AgeRecipient>& receiver) {
  SKERRY_ASSIGN_OR_RETURN(const BundleProgress::Work work, parts.progress->Begin("export"));
  // The courier takes the latest rows along; what cannot be sealed, as on a full disk, stays here.
  if (const Status sealed = parts.outbox->SealNow(); !sealed)
    LogWarning("the bundle goes without the rows that are in no segment yet reason={}",
               sealed.error().ToString());
  SKERRY_ASSIGN_OR_RETURN(
      std::vector<Shipment> shipments,
      parts.outbox->PendingShipments(ShipmentPick::kAll, limits::kBundleShipments + 1));
  const bool more = shipments.size() > limits::kBundleShipments;
  if (more) shipments.pop_back();
  SKERRY_ASSIGN_OR_RETURN(
      BundleWriter writer,
      BundleWriter::Create(path, {RandomHex(16), BundleDirection::kToHub, parts.identity->site()},
                           receiver));
  if (!parts.identity->joined() && parts.identity->has_token()) {
    SKERRY_ASSIGN_OR_RETURN(const JoinRequest request, parts.identity->MakeRequest());
    SKERRY_RETURN_IF_ERROR(
        writer.AddDocument(BundleKind::kJoinRequest, "join-request", request.ToJson()));
  }
  // After the shipments were listed, so that its counters cover every one of them.
  SKERRY_ASSIGN_OR_RETURN(const std::string status, parts.make_status());
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kStatus, "status", status));
  // By its own receipt a hub that was restored from a back-up finds out.
  SKERRY_ASSIGN_OR_RETURN(const std::optional<HeldReceipt> held, parts.outbox->NewestReceipt());
  if (held)
    SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kReceipt, "receipt", held->envelope));
  std::vector<PartOutcome> failed;
  if (more)
    failed.push_back({std::string(BundleKindName(BundleKind::kShipment)), "the rest",
                      PartResult::kMissing,
                      fmt::format("more than {} shipments wait; export another bundle when the "
                                  "hub's receipt is back",
                                  limits::kBundleShipments)});
  std::map<std::string, std::map<std::string, std::uint64_t>> rows;  // by tag
  for (const Shipment& shipment : shipments) {
    auto artifact = MakeShipmentArtifact(shipment);
    if (artifact) {
      SKERRY_RETURN_IF_ERROR(
          writer.AddArtifact(BundleKind::kShipment, shipment.tag, std::move(*artifact)));
      rows[shipment.tag] = RowsOf(shipment);
    } else {
      failed.push_back({std::string(BundleKindName(BundleKind::kShipment)), shipment.tag,
                        PartResult::kMissing, artifact.error().message()});
    }
  }
  BundleReport report;
  report.header = writer.header();
  report.parts = writer.planned();
  AddRows(rows, report);
  CustodyEntry entry = MakeCustodyEntry(report, "export", NameOf(parts), *parts.clock);
  SKERRY_ASSIGN_OR_RETURN(const std::string custody,
                          parts.custody->Tell(entry, parts.identity->key()));
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kCustody, "custody", custody));
  SKERRY_ASSIGN_OR_RETURN(report.parts, writer.Finish(parts.progress), path.string());
  AddRows(rows, report);
  std::ranges::move(failed, std::back_inserter(report.parts));
  SKERRY_RETURN_IF_ERROR(parts.custody->Add({std::move(entry)}));
  LogInfo("bundle exported bundle={} parts={}", report.header.id, report.parts.size());
  return report;
}

Result<BundleReport> ImportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const BundleProgress::Work work, parts.progress->Begin("import"));
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader, BundleReader::Open(path, &parts.bundle_key));
  const std::string site = parts.identity->site();
  if (reader.header().direction != BundleDirection::kToSite)
    return Fail(ErrorCode::kInvalidArgument, "the bundle in {} is on its way to the hub",
                path.string());
  if (reader.header().site != site)
    return Fail(ErrorCode::kPermissionDenied, "the bundle in {} is for site {}, this site is {}",
                path.string(), reader.header().site, site);
  parts.progress->Expect(reader.parts().size(), 0);
  BundleReport report;
  report.header = reader.header();
  const auto is_artifact = [](const BundlePart& part) {
    return part.kind == BundleKind::kPolicy || part.kind == BundleKind::kModel ||
           part.kind == BundleKind::kSignature || part.kind == BundleKind::kDelta ||
           part.kind == BundleKind::kRelease;
  };
  for (const BundlePart& part : reader.parts())
    if (!is_artifact(part) && !IsSupply(part)) {
      report.parts.push_back(ApplyDocument(parts, reader, part));
      parts.progress->AddPart();
    }
  BundleSource source(reader, parts.scratch);
  const std::vector<DeployOutcome> deployed = parts.deployer->Reconcile(source);
  for (const BundlePart& part : reader.parts()) {
    if (!is_artifact(part)) continue;
    report.parts.push_back(part.kind == BundleKind::kSignature
                               ? FromSubject(reader, part, deployed)
                               : FromDeployment(reader, part, deployed));
  }
  std::ranges::move(TakeSupply(parts, reader), std::back_inserter(report.parts));
  for (std::size_t i = 0; i < report.parts.size(); ++i) {
    const auto part = std::ranges::find_if(reader.parts(), [&](const BundlePart& one) {
      return BundleKindName(one.kind) == report.parts[i].kind && one.name == report.parts[i].name;
    });
    if (part != reader.parts().end()) report.parts[i].bytes = reader.BytesOf(*part);
  }
  std::ranges::copy(reader.other_outcomes(), std::back_inserter(report.parts));
  SKERRY_RETURN_IF_ERROR(
      parts.custody->Add({MakeCustodyEntry(report, "import", NameOf(parts), *parts.clock)}));
  LogInfo("bundle imported bundle={} applied={} refused={} missing={}", report.header.id,
          report.Count(PartResult::kApplied), report.Count(PartResult::kRefused),
          report.Count(PartResult::kMissing));
  return report;
}

}  // namespace skerry
