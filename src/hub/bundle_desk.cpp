#include "hub/bundle_desk.h"

#include <algorithm>
#include <deque>
#include <future>
#include <optional>
#include <set>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "hub/audit_log.h"
#include "hub/site_directory.h"
#include "oci/delta_artifact.h"
#include "oci/digest_file.h"
#include "oci/manifest.h"
#include "oci/media_types.h"
#include "outbox/site_status.h"
#include "sync/tuf_artifact.h"

namespace skerry {
namespace {

constexpr std::size_t kShipmentsAhead = 2;

// Whether an error says something about the machine rather than about the part.
bool IsTroubleHere(ErrorCode code) {
  return code == ErrorCode::kResourceExhausted || code == ErrorCode::kInternal ||
         code == ErrorCode::kUnavailable;
}

// Every layer is a segment that the site has signed for: an unsigned manifest brings nothing else
// onto this disk.
Status CheckLayers(const Manifest& manifest, const ShipmentStatement& statement) {
  const Digest empty = EmptyConfig().descriptor.digest;
  for (const Descriptor& layer : manifest.layers) {
    if (layer.digest == empty) continue;
    const auto signed_for =
        std::ranges::find(statement.segments, layer.digest, &SegmentEntry::digest);
    if (signed_for == statement.segments.end())
      return Fail(ErrorCode::kPermissionDenied, "the layer {} is not in the signed statement",
                  layer.digest.ToString());
    if (signed_for->bytes != layer.size)
      return Fail(ErrorCode::kPermissionDenied, "the layer {} has {} bytes, the statement says {}",
                  layer.digest.ToString(), layer.size, signed_for->bytes);
  }
  return {};
}

tl::unexpected<Error> EveryFault(const BundleReader& reader, const BundlePart& part) {
  std::string faults;
  for (const BlobFault& fault : reader.Check(part))
    faults += (faults.empty() ? "" : "; ") + fault.error.message();
  return Fail(ErrorCode::kDataLoss, "{}", faults);
}

}  // namespace

// Some at once, since a copy waits most of its time for the disk.
class BundleDesk::Ahead {
 public:
  Ahead(BundleDesk& desk, const BundleReader& reader) : desk_(&desk), reader_(&reader) {}

  // What StoreShipment gives for the part, a shipment; the parts are asked for in their order.
  Result<Stored> Next(std::size_t part) {
    const auto& parts = reader_->parts();
    for (begun_ = std::max(begun_, part);
         begun_ < parts.size() && begun_ <= part + kShipmentsAhead &&
         parts[begun_].kind == BundleKind::kShipment;
         ++begun_)
      copies_.push_back(
          std::async(std::launch::async, [desk = desk_, reader = reader_, &one = parts[begun_]] {
            return desk->StoreShipment(*reader, one);
          }));
    std::future<Result<Stored>> stored = std::move(copies_.front());
    copies_.pop_front();
    return stored.get();
  }

 private:
  BundleDesk* desk_;
  const BundleReader* reader_;
  std::size_t begun_ = 0;  // parts before it were begun, or are no shipments
  std::deque<std::future<Result<Stored>>> copies_;  // waited for when an import ends before them
};

Result<BundleReport> BundleDesk::Import(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const BundleProgress::Work work, progress_.Begin("import"));
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader, BundleReader::Open(path, &parts_.bundle_key));
  BundleReport report;
  report.header = reader.header();
  if (report.header.direction != BundleDirection::kToHub)
    return Fail(ErrorCode::kInvalidArgument, "this bundle goes to the site {}, not to a hub",
                report.header.site);
  SKERRY_RETURN_IF_ERROR(CheckName("site name", report.header.site));
  progress_.Expect(reader.parts().size(), 0);
  Ahead ahead(*this, reader);
  for (std::size_t i = 0; i < reader.parts().size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(PartOutcome outcome, Apply(reader, i, ahead));
    report.parts.push_back(std::move(outcome));
    progress_.AddPart();
  }
  // One receipt for all of them: it costs as many syncs of the disk as a shipment does.
  const auto taken = [](const PartOutcome& part) {
    return part.kind == BundleKindName(BundleKind::kShipment) &&
           (part.result == PartResult::kApplied || part.result == PartResult::kRepeated);
  };
  if (std::ranges::any_of(report.parts, taken)) {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::string receipt,
                            parts_.receipts->Newest(report.header.site));
  }
  const auto& others = reader.other_outcomes();
  report.parts.insert(report.parts.end(), others.begin(), others.end());
  SKERRY_RETURN_IF_ERROR(
      parts_.custody->Add({MakeCustodyEntry(report, "import", "hub", *parts_.clock)}));
  SKERRY_RETURN_IF_ERROR(Note("bundle.import", report));
  return report;
}

Result<PartOutcome> BundleDesk::Apply(const BundleReader& reader, std::size_t at, Ahead& ahead) {
  const BundlePart& part = reader.parts()[at];
  PartOutcome outcome{std::string(BundleKindName(part.kind)), part.name, PartResult::kApplied, ""};
  outcome.bytes = reader.BytesOf(part);
  const auto changed = part.kind == BundleKind::kShipment
                           ? ahead.Next(at).and_then([&](Stored stored) {
                               return TakeShipment(std::move(stored), outcome);
                             })
                           : ApplyPart(reader, part, outcome);
  if (changed) {
    if (!*changed) outcome.result = PartResult::kRepeated;
    return outcome;
  }
  if (IsTroubleHere(changed.error().code())) return tl::make_unexpected(changed.error());
  outcome.result =
      changed.error().code() == ErrorCode::kDataLoss ? PartResult::kMissing : PartResult::kRefused;
  outcome.reason = changed.error().message();
  LogWarning("bundle part not taken bundle={} part={} reason=\"{}\"", reader.header().id, part.name,
             outcome.reason);
  return outcome;
}

Result<bool> BundleDesk::ApplyPart(const BundleReader& reader, const BundlePart& part,
                                   PartOutcome& outcome) {
  const std::string& site = reader.header().site;
  switch (part.kind) {
    case BundleKind::kJoinRequest: {
      SKERRY_ASSIGN_OR_RETURN(const std::string text,
                              reader.ReadDocument(part, limits::kJoinDocumentBytes));
      SKERRY_ASSIGN_OR_RETURN(const JoinRequest request, JoinRequest::FromJson(text));
      if (request.site != site)
        return Fail(ErrorCode::kPermissionDenied, "the request is of the site {}, the bundle of {}",
                    request.site, site);
      SKERRY_ASSIGN_OR_RETURN(const JoinDesk::Answer answer,
                              parts_.join->Join(request, Road::kMedia));
      return !answer.repeated;
    }
    case BundleKind::kStatus: return ApplyStatus(reader, part, outcome);
    case BundleKind::kReceipt: {
      SKERRY_ASSIGN_OR_RETURN(const std::string envelope,
                              reader.ReadDocument(part, limits::kReceiptBytes));
      return parts_.ingest->TakeReceipt(site, envelope);
    }
    case BundleKind::kCustody: return ApplyCustody(reader, part);
    default:
      return Fail(ErrorCode::kInvalidArgument, "a {} does not go to a hub",
                  BundleKindName(part.kind));
  }
}

Result<bool> BundleDesk::ApplyStatus(const BundleReader& reader, const BundlePart& part,
                                     PartOutcome& outcome) {
  const std::string& site = reader.header().site;
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope,
                          reader.ReadDocument(part, limits::kStatementBytes));
  SKERRY_ASSIGN_OR_RETURN(const bool newer,
                          parts_.ingest->TakeStatus(site, envelope, Road::kMedia));
  // Of the newest status, whether or not it came with this bundle: asking twice is harmless.
  SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, parts_.store->Read([&](Database& db) {
    return SiteDirectory(db).Find(site);
  }));
  SKERRY_ASSIGN_OR_RETURN(const SiteStatus status, SiteStatus::FromJson(record.status_json));
  if (status.certificate_request.empty()) return newer;
  const auto renewed = parts_.join->Renew(site, status.certificate_request, Road::kMedia);
  if (!renewed) outcome.reason = "no new certificate: " + renewed.error().message();
  return newer;
}

Result<bool> BundleDesk::ApplyCustody(const BundleReader& reader, const BundlePart& part) {
  const std::string& site = reader.header().site;
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope,
                          reader.ReadDocument(part, limits::kStatementBytes));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<PublicKey> keys, parts_.store->Read([&](Database& db) {
    return SiteDirectory(db).Keys(site);
  }));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<CustodyEntry> entries,
                          ReadCustody(envelope, keys, site, "site:" + site));
  SKERRY_ASSIGN_OR_RETURN(const std::size_t added, parts_.custody->Add(entries));
  return added > 0;
}

Result<BundleDesk::Stored> BundleDesk::StoreShipment(const BundleReader& reader,
                                                     const BundlePart& part) {
  // Not read yet: storing a blob compares it, so that the medium is read once.
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, reader.LocateArtifact(part));
  Stored result;
  ArrivedShipment& shipment = result.shipment;
  shipment.site = reader.header().site;
  shipment.digest = artifact.manifest.digest;
  shipment.road = Road::kMedia;
  SKERRY_ASSIGN_OR_RETURN(shipment.manifest, Manifest::Parse(artifact.manifest_bytes));
  const BlobSource* config =
      shipment.manifest.config ? artifact.FindBlob(shipment.manifest.config->digest) : nullptr;
  if (config == nullptr) return Fail(ErrorCode::kInvalidArgument, "the shipment has no statement");
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope, config->Read(limits::kStatementBytes));
  SKERRY_RETURN_IF_ERROR(VerifyBytes(envelope, config->descriptor.digest, envelope.size()));
  // Before anything of it goes into the registry: what no site has signed is not stored.
  SKERRY_ASSIGN_OR_RETURN(const ShipmentStatement statement,
                          parts_.ingest->Check(shipment, envelope));
  SKERRY_RETURN_IF_ERROR(CheckLayers(shipment.manifest, statement));
  SKERRY_RETURN_IF_ERROR(CheckVersion("tag", part.name));
  const auto stored = parts_.registry->PutArtifact(fmt::format("sites/{}/outbox", shipment.site),
                                                   part.name, artifact);
  if (!stored && stored.error().code() == ErrorCode::kDataLoss) return EveryFault(reader, part);
  if (!stored) return tl::make_unexpected(stored.error());
  shipment.compared = true;
  for (const SegmentEntry& segment : statement.segments)
    if (artifact.FindBlob(segment.digest) != nullptr)
      result.rows[std::string(RecordClassName(segment.cls))] += segment.rows;
  return result;
}

Result<bool> BundleDesk::TakeShipment(Stored stored, PartOutcome& outcome) {
  SKERRY_ASSIGN_OR_RETURN(const IngestOutcome taken, parts_.ingest->Take(stored.shipment));
  outcome.rows = std::move(stored.rows);
  return taken.changed;
}

Result<BundleReport> BundleDesk::Export(std::string_view site, const std::filesystem::path& path,
                                        CarriedLayers layers,
                                        const std::optional<AgeRecipient>& receiver,
                                        std::span<const std::string> supply) {
  SKERRY_ASSIGN_OR_RETURN(const BundleProgress::Work work, progress_.Begin("export"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
  SKERRY_ASSIGN_OR_RETURN(const std::string receipt, parts_.receipts->Newest(site));
  SKERRY_ASSIGN_OR_RETURN(
      BundleWriter writer,
      BundleWriter::Create(path, {RandomHex(16), BundleDirection::kToSite, std::string(site)},
                           receiver));
  const auto grant = parts_.join->GrantOf(site);
  if (grant) {
    SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kJoinGrant, "join-grant", *grant));
  } else if (grant.error().code() != ErrorCode::kNotFound) {
    return tl::make_unexpected(grant.error());
  }
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kReceipt, "receipt", receipt));
  Remarks remarks;
  SKERRY_RETURN_IF_ERROR(AddDesired(site, layers, writer, remarks));
  SKERRY_RETURN_IF_ERROR(AddSupply(site, supply, writer));
  BundleReport report;
  report.header = writer.header();
  report.parts = writer.planned();
  CustodyEntry entry = MakeCustodyEntry(report, "export", "hub", *parts_.clock);
  SKERRY_ASSIGN_OR_RETURN(const std::string custody, parts_.custody->Tell(entry, parts_.hub_key));
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kCustody, "custody", custody));
  SKERRY_ASSIGN_OR_RETURN(report.parts, writer.Finish(&progress_), path.string());
  for (PartOutcome& part : report.parts)
    if (part.kind == BundleKindName(BundleKind::kDelta) && part.reason.empty())
      part.reason = remarks[part.name];
  SKERRY_RETURN_IF_ERROR(parts_.custody->Add({std::move(entry)}));
  SKERRY_RETURN_IF_ERROR(Note("bundle.export", report));
  return report;
}

Status BundleDesk::AddSupply(std::string_view site, std::span<const std::string> supply,
                             BundleWriter& writer) {
  if (supply.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(GatheredSupply gathered, GatherSupply(*parts_.registry, supply));
  SKERRY_ASSIGN_OR_RETURN(
      const std::string list,
      SignSupply({std::string(site), parts_.clock->UtcMicros(), gathered.items}, parts_.hub_key));
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kSupply, "supply", list));
  for (std::size_t i = 0; i < gathered.items.size(); ++i)
    SKERRY_RETURN_IF_ERROR(writer.AddArtifact(BundleKind::kArtifact, gathered.items[i].Name(),
                                              std::move(gathered.artifacts[i])));
  return {};
}

Result<std::optional<SiteStatus>> BundleDesk::StatusOf(std::string_view site) {
  std::string text;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SiteDirectory sites(db);
    SKERRY_ASSIGN_OR_RETURN(SiteRecord record, sites.Find(site));
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t joined_us, sites.NewestKeyUs(site));
    if (record.status_us > joined_us) text = std::move(record.status_json);
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  if (text.empty()) return std::optional<SiteStatus>();
  SKERRY_ASSIGN_OR_RETURN(SiteStatus status, SiteStatus::FromJson(text));
  return std::optional(std::move(status));
}

Result<std::vector<Digest>> BundleDesk::HeldBy(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(std::optional<SiteStatus> status, StatusOf(site));
  return status ? std::move(status->packages) : std::vector<Digest>();
}

Status BundleDesk::AddRelease(std::string_view site, const ReleaseRef& release,
                              CarriedLayers layers, BundleWriter& writer) {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<SiteStatus> status, StatusOf(site));
  if (status && status->release && layers == CarriedLayers::kWhatIsMissing) {
    const ReportedRelease& runs = *status->release;
    if (runs.digest ? *runs.digest == release.digest : runs.version == release.version) return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, parts_.shelf->ReleaseArtifact(release));
  SKERRY_RETURN_IF_ERROR(writer.AddArtifact(BundleKind::kRelease, release.ToString(), artifact));
  SKERRY_ASSIGN_OR_RETURN(const auto signatures, parts_.shelf->Signatures(release));
  for (const Artifact& signature : signatures)
    SKERRY_RETURN_IF_ERROR(
        writer.AddArtifact(BundleKind::kSignature, release.ToString(), signature));
  return {};
}

Status BundleDesk::AddDesired(std::string_view site, CarriedLayers layers, BundleWriter& writer,
                              Remarks& remarks) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<TufFile> files,
                          parts_.trust->FilesFor(DesiredStatePath(site)));
  SKERRY_ASSIGN_OR_RETURN(Artifact metadata, MakeTufArtifact(files));
  SKERRY_RETURN_IF_ERROR(
      writer.AddArtifact(BundleKind::kDesiredState, "desired-state", std::move(metadata)));
  SKERRY_ASSIGN_OR_RETURN(const std::optional<DesiredState> desired, parts_.desired->Current(site));
  if (!desired) return {};
  if (desired->policy) {
    SKERRY_ASSIGN_OR_RETURN(const Artifact policy, parts_.shelf->PolicyArtifact(*desired->policy));
    SKERRY_RETURN_IF_ERROR(
        writer.AddArtifact(BundleKind::kPolicy, desired->policy->ToString(), policy));
  }
  if (desired->release) SKERRY_RETURN_IF_ERROR(AddRelease(site, *desired->release, layers, writer));
  std::vector<Digest> holds;
  if (layers == CarriedLayers::kWhatIsMissing) {
    SKERRY_ASSIGN_OR_RETURN(holds, HeldBy(site));
  }
  SKERRY_RETURN_IF_ERROR(AddModel(desired->active, holds, writer, remarks));
  if (desired->fallback && desired->fallback->digest != desired->active.digest)
    return AddModel(*desired->fallback, holds, writer, remarks);
  return {};
}

namespace {

struct Saving {
  std::uint64_t whole_bytes = 0;   // of the package
  std::uint64_t held_bytes = 0;    // of it, of layers that are not carried
  std::uint64_t patch_bytes = 0;   // of the patches
  std::uint64_t target_bytes = 0;  // of the layers that they make
  std::string Text() const {
    return fmt::format("{} of {} bytes of layers: {} as patches of {} bytes, {} are at the site",
                       whole_bytes - held_bytes - target_bytes + patch_bytes, whole_bytes,
                       target_bytes, patch_bytes, held_bytes);
  }
};

}  // namespace

Result<std::optional<Artifact>> BundleDesk::DeltaOf(const Artifact& package,
                                                    const std::vector<Digest>& holds,
                                                    std::string& remark) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact delta,
                          parts_.deltas->Make(package.manifest.digest, holds));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(delta.manifest_bytes));
  const auto base = manifest.annotations.find(std::string(annotations::kDeltaBase));
  if (base == manifest.annotations.end()) return std::optional<Artifact>();
  SKERRY_ASSIGN_OR_RETURN(const Digest base_digest, Digest::Parse(base->second));
  SKERRY_ASSIGN_OR_RETURN(const std::string base_bytes,
                          parts_.registry->blobs().Read(base_digest, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const Manifest held, Manifest::Parse(base_bytes));
  std::set<Digest> held_layers;
  for (const Descriptor& layer : held.layers) held_layers.insert(layer.digest);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<LayerDelta> patches,
                          ReadDelta(manifest, package.manifest.digest));
  Saving saving;
  for (const BlobSource& blob : package.blobs) {
    const Descriptor& layer = blob.descriptor;
    saving.whole_bytes += layer.size;
    if (held_layers.contains(layer.digest)) saving.held_bytes += layer.size;
    const auto patch = std::ranges::find(patches, layer.digest, &LayerDelta::layer);
    if (patch == patches.end()) continue;
    saving.patch_bytes += patch->patch.size;
    saving.target_bytes += layer.size;
  }
  if (saving.held_bytes == 0 && patches.empty()) return std::optional<Artifact>();
  remark = saving.Text();
  SKERRY_ASSIGN_OR_RETURN(Artifact carried, MakeCarriedDelta(delta, package, held_layers));
  return std::optional(std::move(carried));
}

Status BundleDesk::AddModel(const ModelRef& model, const std::vector<Digest>& holds,
                            BundleWriter& writer, Remarks& remarks) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, parts_.shelf->ModelArtifact(model));
  std::optional<Artifact> delta;
  if (!holds.empty()) {
    auto made = DeltaOf(artifact, holds, remarks[model.ToString()]);
    if (made)
      delta = std::move(*made);
    else
      LogWarning("the bundle has whole layers: {}", made.error().message());
  }
  SKERRY_RETURN_IF_ERROR(writer.AddArtifact(delta ? BundleKind::kDelta : BundleKind::kModel,
                                            model.ToString(), delta ? *delta : artifact));
  SKERRY_ASSIGN_OR_RETURN(const auto signatures, parts_.shelf->Signatures(model));
  for (const Artifact& signature : signatures)
    SKERRY_RETURN_IF_ERROR(writer.AddArtifact(BundleKind::kSignature, model.ToString(), signature));
  return {};
}

Status BundleDesk::Note(std::string_view action, const BundleReport& report) {
  return parts_.store->Write([&](Database& db) {
    return AuditLog(db).Append(parts_.clock->UtcMicros(), "admin", action, report.header.site,
                               {{"bundle", report.header.id},
                                {"written", report.Count(PartResult::kWritten)},
                                {"applied", report.Count(PartResult::kApplied)},
                                {"repeated", report.Count(PartResult::kRepeated)},
                                {"missing", report.Count(PartResult::kMissing)},
                                {"refused", report.Count(PartResult::kRefused)}});
  });
}

}  // namespace skerry
