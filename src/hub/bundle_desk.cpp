#include "hub/bundle_desk.h"

#include <optional>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "hub/audit_log.h"
#include "oci/manifest.h"

namespace skerry {
namespace {

// Whether an error says something about the machine rather than about the part.
bool IsTroubleHere(ErrorCode code) {
  return code == ErrorCode::kResourceExhausted || code == ErrorCode::kInternal ||
         code == ErrorCode::kUnavailable;
}

}  // namespace

Result<BundleReport> BundleDesk::Import(const std::filesystem::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const BundleReader reader, BundleReader::Open(directory));
  BundleReport report;
  report.header = reader.header();
  if (report.header.direction != BundleDirection::kToHub)
    return Fail(ErrorCode::kInvalidArgument, "this bundle goes to the site {}, not to a hub",
                report.header.site);
  SKERRY_RETURN_IF_ERROR(CheckName("site name", report.header.site));
  for (const BundlePart& part : reader.parts()) {
    SKERRY_ASSIGN_OR_RETURN(PartOutcome outcome, Apply(reader, part));
    report.parts.push_back(std::move(outcome));
  }
  const auto& unknown = reader.unknown_parts();
  report.parts.insert(report.parts.end(), unknown.begin(), unknown.end());
  SKERRY_RETURN_IF_ERROR(Note("bundle.import", report));
  return report;
}

Result<PartOutcome> BundleDesk::Apply(const BundleReader& reader, const BundlePart& part) {
  PartOutcome outcome{std::string(BundleKindName(part.kind)), part.name, PartResult::kApplied, ""};
  const auto changed = ApplyPart(reader, part);
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

Result<bool> BundleDesk::ApplyPart(const BundleReader& reader, const BundlePart& part) {
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
    case BundleKind::kStatus: {
      SKERRY_ASSIGN_OR_RETURN(const std::string envelope,
                              reader.ReadDocument(part, limits::kStatementBytes));
      return parts_.ingest->TakeStatus(site, envelope, Road::kMedia);
    }
    case BundleKind::kShipment: return ApplyShipment(reader, part);
    default:
      return Fail(ErrorCode::kInvalidArgument, "a {} does not go to a hub",
                  BundleKindName(part.kind));
  }
}

Result<bool> BundleDesk::ApplyShipment(const BundleReader& reader, const BundlePart& part) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, reader.ReadArtifact(part));
  ArrivedShipment shipment{.site = reader.header().site,
                           .manifest = {},
                           .digest = artifact.manifest.digest,
                           .road = Road::kMedia};
  SKERRY_ASSIGN_OR_RETURN(shipment.manifest, Manifest::Parse(artifact.manifest_bytes));
  const BlobSource* config =
      shipment.manifest.config ? artifact.FindBlob(shipment.manifest.config->digest) : nullptr;
  if (config == nullptr) return Fail(ErrorCode::kInvalidArgument, "the shipment has no statement");
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope, config->Read(limits::kStatementBytes));
  // Before anything of it goes into the registry: what no site has signed is not stored.
  SKERRY_RETURN_IF_ERROR(parts_.ingest->Check(shipment, envelope));
  SKERRY_RETURN_IF_ERROR(CheckVersion("tag", part.name));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Digest stored,
                          parts_.registry->PutArtifact(
                              fmt::format("sites/{}/outbox", shipment.site), part.name, artifact));
  SKERRY_ASSIGN_OR_RETURN(const IngestOutcome outcome, parts_.ingest->Take(shipment));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::string receipt,
                          parts_.receipts->Newest(shipment.site));
  return outcome.changed;
}

Result<BundleReport> BundleDesk::Export(std::string_view site,
                                        const std::filesystem::path& directory) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
  SKERRY_ASSIGN_OR_RETURN(const std::string receipt, parts_.receipts->Newest(site));
  BundleReport report;
  report.header = {RandomHex(16), BundleDirection::kToSite, std::string(site)};
  SKERRY_ASSIGN_OR_RETURN(BundleWriter writer, BundleWriter::Create(directory, report.header));
  const auto grant = parts_.join->GrantOf(site);
  if (grant) {
    SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kJoinGrant, "join-grant", *grant));
  } else if (grant.error().code() != ErrorCode::kNotFound) {
    return tl::make_unexpected(grant.error());
  }
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kReceipt, "receipt", receipt));
  SKERRY_RETURN_IF_ERROR(AddDesired(site, writer));
  SKERRY_RETURN_IF_ERROR(writer.Finish());
  for (const BundlePart& part : writer.parts())
    report.parts.push_back(
        {std::string(BundleKindName(part.kind)), part.name, PartResult::kWritten, ""});
  SKERRY_RETURN_IF_ERROR(Note("bundle.export", report));
  return report;
}

Status BundleDesk::AddDesired(std::string_view site, BundleWriter& writer) {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<DesiredState> desired, parts_.desired->Current(site));
  if (!desired) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope, parts_.desired->Envelope(site));
  SKERRY_RETURN_IF_ERROR(writer.AddDocument(BundleKind::kDesiredState, "desired-state", envelope));
  if (desired->policy) {
    SKERRY_ASSIGN_OR_RETURN(const Artifact policy, parts_.shelf->PolicyArtifact(*desired->policy));
    SKERRY_RETURN_IF_ERROR(
        writer.AddArtifact(BundleKind::kPolicy, desired->policy->ToString(), policy));
  }
  SKERRY_RETURN_IF_ERROR(AddModel(desired->active, writer));
  if (desired->fallback && desired->fallback->digest != desired->active.digest)
    return AddModel(*desired->fallback, writer);
  return {};
}

Status BundleDesk::AddModel(const ModelRef& model, BundleWriter& writer) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, parts_.shelf->ModelArtifact(model));
  SKERRY_RETURN_IF_ERROR(writer.AddArtifact(BundleKind::kModel, model.ToString(), artifact));
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
