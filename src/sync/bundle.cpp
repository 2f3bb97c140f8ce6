#include "sync/bundle.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "oci/manifest.h"
#include "oci/media_types.h"
#include "oci/release.h"

namespace skerry {
namespace {

constexpr std::string_view kSupplyArtifact = "application/vnd.skerry.supply.v1";
constexpr std::string_view kSupplyLayer = "application/vnd.skerry.supply.v1.dsse+json";

struct KindFacts {
  BundleKind kind;
  std::string_view name;
  std::optional<BundleDirection> direction;  // none: either
  std::string_view artifact_type;
  std::string_view document_type;  // empty: not a document
};

// In the order of the enum.
constexpr std::array<KindFacts, 14> kKinds{{
    {BundleKind::kJoinRequest, "join-request", BundleDirection::kToHub,
     media_types::kJoinRequestArtifact, media_types::kJoinRequestLayer},
    {BundleKind::kStatus, "status", BundleDirection::kToHub, media_types::kStatusArtifact,
     media_types::kStatusLayer},
    {BundleKind::kShipment, "shipment", BundleDirection::kToHub, media_types::kShipmentArtifact,
     ""},
    {BundleKind::kJoinGrant, "join-grant", BundleDirection::kToSite,
     media_types::kJoinGrantArtifact, media_types::kJoinGrantLayer},
    {BundleKind::kReceipt, "receipt", std::nullopt, media_types::kReceiptArtifact,
     media_types::kReceiptLayer},
    {BundleKind::kDesiredState, "desired-state", BundleDirection::kToSite,
     media_types::kTufArtifact, ""},
    {BundleKind::kPolicy, "policy", BundleDirection::kToSite, media_types::kPolicyArtifact, ""},
    {BundleKind::kModel, "model", BundleDirection::kToSite, media_types::kModelArtifact, ""},
    {BundleKind::kSignature, "signature", BundleDirection::kToSite, media_types::kSigstoreBundle,
     ""},
    {BundleKind::kCustody, "custody", std::nullopt, media_types::kCustodyArtifact,
     media_types::kCustodyLayer},
    {BundleKind::kDelta, "delta", BundleDirection::kToSite, media_types::kDeltaArtifact, ""},
    {BundleKind::kSupply, "supply", BundleDirection::kToSite, kSupplyArtifact, kSupplyLayer},
    {BundleKind::kArtifact, "artifact", BundleDirection::kToSite, "", ""},
    {BundleKind::kRelease, "release", BundleDirection::kToSite, media_types::kReleaseArtifact, ""},
}};

const KindFacts& FactsOf(BundleKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Result<BundleDirection> ParseDirection(std::string_view name) {
  for (const BundleDirection direction : {BundleDirection::kToHub, BundleDirection::kToSite})
    if (BundleDirectionName(direction) == name) return direction;
  return Fail(ErrorCode::kInvalidArgument,
              "not a bundle of skerry: its direction is \"{}\", must be to-hub or to-site", name);
}

std::string Find(const Annotations& annotations, std::string_view key) {
  const auto found = annotations.find(std::string(key));
  return found == annotations.end() ? std::string() : found->second;
}

}  // namespace

std::string_view BundleKindName(BundleKind kind) { return FactsOf(kind).name; }

Result<BundleKind> ParseBundleKind(std::string_view name) {
  for (const KindFacts& facts : kKinds)
    if (facts.name == name) return facts.kind;
  return Fail(ErrorCode::kUnimplemented, "this version knows no bundle part of kind \"{}\"", name);
}

std::string_view BundleDirectionName(BundleDirection direction) {
  return direction == BundleDirection::kToHub ? "to-hub" : "to-site";
}

std::string_view PartResultName(PartResult result) {
  switch (result) {
    case PartResult::kWritten: return "written";
    case PartResult::kApplied: return "applied";
    case PartResult::kRepeated: return "repeated";
    case PartResult::kMissing: return "missing";
    case PartResult::kRefused: return "refused";
  }
  return "unknown";
}

struct BundleWriter::Impl {
  struct Queued {
    BundlePart part;
    Artifact artifact;
    Annotations annotations;
  };
  LayoutWriter layout;
  BundleHeader header;
  std::vector<Queued> queue;
};

BundleWriter::BundleWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BundleWriter::BundleWriter(BundleWriter&&) noexcept = default;
BundleWriter& BundleWriter::operator=(BundleWriter&&) noexcept = default;
BundleWriter::~BundleWriter() = default;

const BundleHeader& BundleWriter::header() const { return impl_->header; }

Result<BundleWriter> BundleWriter::Create(const std::filesystem::path& path,
                                          const BundleHeader& header,
                                          const std::optional<AgeRecipient>& receiver,
                                          MediumBounds bounds) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", header.site));
  const bool tar = path.extension() == ".tar";
  if (tar && receiver)
    return Fail(ErrorCode::kInvalidArgument,
                "{}: an encrypted bundle is a directory, not one tar: give a name without .tar",
                path.string());
  const MediumForm form = tar ? MediumForm::kArchive : MediumForm::kDirectory;
  SKERRY_ASSIGN_OR_RETURN(LayoutWriter layout, receiver
                                                   ? LayoutWriter::Seal(path, *receiver, bounds)
                                                   : LayoutWriter::Create(path, form, bounds));
  auto impl = std::make_unique<Impl>(Impl{std::move(layout), header, {}});
  const std::string direction(BundleDirectionName(header.direction));
  if (const auto& begun = impl->layout.unfinished()) {
    const std::string site = Find(*begun, annotations::kSite);
    if (site != header.site || Find(*begun, annotations::kDirection) != direction)
      return Fail(ErrorCode::kAlreadyExists,
                  "{} has an unfinished bundle of another kind or site ({}): give a new name",
                  path.string(), site);
    impl->header.id = Find(*begun, annotations::kBundle);
  }
  impl->layout.SetAnnotation(std::string(annotations::kBundle), impl->header.id);
  impl->layout.SetAnnotation(std::string(annotations::kDirection), direction);
  impl->layout.SetAnnotation(std::string(annotations::kSite), header.site);
  return BundleWriter(std::move(impl));
}

Status BundleWriter::AddArtifact(BundleKind kind, std::string_view name, Artifact artifact) {
  const KindFacts& facts = FactsOf(kind);
  if (facts.direction && facts.direction != impl_->header.direction)
    return Fail(ErrorCode::kInvalidArgument, "a {} bundle carries no {}",
                BundleDirectionName(impl_->header.direction), facts.name);
  BundlePart part{kind, std::string(name), artifact.manifest.digest, impl_->queue.size()};
  impl_->queue.push_back({std::move(part),
                          std::move(artifact),
                          {{std::string(annotations::kKind), std::string(facts.name)},
                           {std::string(annotations::kRefName), std::string(name)}}});
  return {};
}

Status BundleWriter::AddDocument(BundleKind kind, std::string_view name, std::string_view bytes) {
  const KindFacts& facts = FactsOf(kind);
  if (facts.document_type.empty())
    return Fail(ErrorCode::kInvalidArgument, "a {} is no document", facts.name);
  SKERRY_ASSIGN_OR_RETURN(
      Artifact artifact,
      MakeDocumentArtifact(facts.artifact_type, facts.document_type, std::string(bytes)));
  return AddArtifact(kind, name, std::move(artifact));
}

std::vector<PartOutcome> BundleWriter::planned() const {
  std::vector<PartOutcome> outcomes;
  for (const Impl::Queued& queued : impl_->queue) {
    PartOutcome outcome{std::string(BundleKindName(queued.part.kind)), queued.part.name,
                        PartResult::kWritten, ""};
    outcome.bytes = queued.artifact.manifest.size;
    for (const BlobSource& blob : queued.artifact.blobs) outcome.bytes += blob.descriptor.size;
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

Result<std::vector<PartOutcome>> BundleWriter::Finish(BundleProgress* progress) {
  BundleProgress unseen;
  BundleProgress& seen = progress != nullptr ? *progress : unseen;
  std::vector<Descriptor> plan;
  for (const Impl::Queued& queued : impl_->queue)
    plan.push_back(LayoutWriter::EntryOf(queued.artifact, queued.annotations));
  std::vector<PartOutcome> outcomes = planned();
  std::uint64_t bytes = 0;
  for (const PartOutcome& outcome : outcomes) bytes += outcome.bytes;
  seen.Expect(impl_->queue.size(), bytes);
  SKERRY_RETURN_IF_ERROR(impl_->layout.Plan(plan));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const Impl::Queued& queued = impl_->queue[i];
    const Status added =
        impl_->layout.AddArtifact(queued.artifact, queued.annotations,
                                  [&](std::uint64_t written) { seen.AddBytes(written); });
    if (!added) {
      // A full or broken medium concerns everything; a segment that cannot be read only its
      // shipment.
      if (added.error().code() != ErrorCode::kDataLoss &&
          added.error().code() != ErrorCode::kNotFound)
        return tl::make_unexpected(added.error());
      outcomes[i].result = PartResult::kMissing;
      outcomes[i].reason = added.error().message();
    }
    seen.AddPart();
  }
  SKERRY_RETURN_IF_ERROR(impl_->layout.Finish());
  return outcomes;
}

struct BundleReader::Impl {
  LayoutReader layout;
  BundleHeader header;
  std::vector<BundlePart> parts;
  std::vector<PartOutcome> others;
};

BundleReader::BundleReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BundleReader::BundleReader(BundleReader&&) noexcept = default;
BundleReader& BundleReader::operator=(BundleReader&&) noexcept = default;
BundleReader::~BundleReader() = default;

Result<BundleReader> BundleReader::Open(const std::filesystem::path& path,
                                        const AgeIdentity* identity) {
  SKERRY_ASSIGN_OR_RETURN(LayoutReader layout, LayoutReader::Open(path, identity));
  BundleHeader header;
  header.id = Find(layout.annotations(), annotations::kBundle);
  header.site = Find(layout.annotations(), annotations::kSite);
  SKERRY_ASSIGN_OR_RETURN(header.direction,
                          ParseDirection(Find(layout.annotations(), annotations::kDirection)));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", header.site), "bundle");
  if (header.id.empty() || header.id.size() > limits::kBundleIdBytes)
    return Fail(ErrorCode::kInvalidArgument, "the bundle's id has {} characters, must be 1 to {}",
                header.id.size(), limits::kBundleIdBytes);
  auto impl = std::make_unique<Impl>(Impl{std::move(layout), std::move(header), {}, {}});
  const std::vector<Descriptor>& entries = impl->layout.entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string name = entries[i].Annotation(annotations::kRefName);
    const std::string kind_name = entries[i].Annotation(annotations::kKind);
    const auto kind = ParseBundleKind(kind_name);
    if (kind) {
      impl->parts.push_back({*kind, name, entries[i].digest, i});
      // A delta that does not say of what is one of nothing, and read as damaged.
      if (*kind == BundleKind::kDelta)
        if (auto target = Digest::Parse(entries[i].Annotation(annotations::kDeltaTarget)))
          impl->parts.back().manifest = *std::move(target);
    } else {
      impl->others.push_back({kind_name, name, PartResult::kRefused, kind.error().message()});
    }
  }
  for (const std::string& sentence : impl->layout.damage())
    impl->others.push_back({"medium", path.filename().string(), PartResult::kMissing, sentence});
  std::ranges::stable_sort(impl->parts, {}, &BundlePart::kind);
  return BundleReader(std::move(impl));
}

const BundleHeader& BundleReader::header() const { return impl_->header; }
const std::vector<BundlePart>& BundleReader::parts() const { return impl_->parts; }
const std::vector<PartOutcome>& BundleReader::other_outcomes() const { return impl_->others; }

Result<Artifact> BundleReader::ReadArtifact(const BundlePart& part) const {
  return impl_->layout.Read(impl_->layout.entries().at(part.entry));
}

Result<Artifact> BundleReader::LocateArtifact(const BundlePart& part) const {
  const Descriptor& entry = impl_->layout.entries().at(part.entry);
  if (part.kind == BundleKind::kArtifact) {
    SKERRY_ASSIGN_OR_RETURN(Artifact artifact, impl_->layout.ReadManifest(entry));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
    if (manifest.is_index()) return artifact;
  }
  return impl_->layout.Locate(entry);
}

std::vector<BlobFault> BundleReader::Check(const BundlePart& part) const {
  return impl_->layout.Check(impl_->layout.entries().at(part.entry));
}

std::uint64_t BundleReader::BytesOf(const BundlePart& part) const {
  const Descriptor& entry = impl_->layout.entries().at(part.entry);
  std::uint64_t bytes = entry.size;
  const auto artifact = impl_->layout.ReadManifest(entry);
  if (!artifact) return bytes;
  const auto manifest = Manifest::Parse(artifact->manifest_bytes);
  if (!manifest) return bytes;
  if (manifest->config) bytes += manifest->config->size;
  for (const Descriptor& layer : manifest->layers) bytes += layer.size;
  return bytes;
}

Result<std::string> BundleReader::ReadDocument(const BundlePart& part,
                                               std::size_t max_bytes) const {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, ReadArtifact(part));
  return skerry::ReadDocument(artifact, FactsOf(part.kind).document_type, max_bytes);
}

Json DescribeBundle(const BundleReader& reader, bool read, BundleProgress* progress) {
  BundleProgress unseen;
  BundleProgress& seen = progress != nullptr ? *progress : unseen;
  std::uint64_t all_bytes = 0, whole = 0, damaged = 0;
  std::vector<std::uint64_t> bytes;
  for (const BundlePart& part : reader.parts()) {
    bytes.push_back(reader.BytesOf(part));
    all_bytes += bytes.back();
  }
  seen.Expect(reader.parts().size(), all_bytes);
  Json parts = Json::array();
  for (std::size_t i = 0; i < reader.parts().size(); ++i) {
    const BundlePart& part = reader.parts()[i];
    Json item{{"kind", BundleKindName(part.kind)},
              {"name", part.name},
              {"digest", part.manifest.ToString()},
              {"bytes", bytes[i]}};
    if (read) {
      Json faults = Json::array();
      for (const BlobFault& fault : reader.Check(part)) faults.push_back(fault.error.message());
      ++(faults.empty() ? whole : damaged);
      item["state"] = faults.empty() ? "whole" : "damaged";
      if (!faults.empty()) item["faults"] = std::move(faults);
    }
    seen.AddBytes(bytes[i]);
    seen.AddPart();
    parts.push_back(std::move(item));
  }
  Json medium = Json::array();
  for (const PartOutcome& other : reader.other_outcomes())
    medium.push_back(other.kind == "medium"
                         ? other.reason
                         : fmt::format("{} {}: {}", other.kind, other.name, other.reason));
  Json json{
      {"bundle", reader.header().id}, {"direction", BundleDirectionName(reader.header().direction)},
      {"site", reader.header().site}, {"bytes", all_bytes},
      {"medium", std::move(medium)},  {"parts", std::move(parts)}};
  if (read) {
    json["whole"] = whole;
    json["damaged"] = damaged;
  }
  return json;
}

Result<std::optional<AgeRecipient>> ReceiverOf(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          JsonObject(body, "body").StringOr("receiver", ""));
  if (text.empty()) return std::nullopt;
  SKERRY_ASSIGN_OR_RETURN(AgeRecipient receiver, AgeRecipient::Parse(text));
  return receiver;
}

std::size_t BundleReport::Count(PartResult result) const {
  return static_cast<std::size_t>(std::ranges::count(parts, result, &PartOutcome::result));
}

Json BundleReport::ToJson() const {
  Json list = Json::array();
  Json missing = Json::array();
  Json refused = Json::array();
  for (const PartOutcome& part : parts) {
    Json item{{"kind", part.kind}, {"name", part.name}, {"result", PartResultName(part.result)}};
    if (!part.reason.empty()) item["reason"] = part.reason;
    const std::string label = part.kind + " " + part.name;
    if (part.result == PartResult::kMissing) missing.push_back(label + ": " + part.reason);
    if (part.result == PartResult::kRefused) refused.push_back(label + ": " + part.reason);
    list.push_back(std::move(item));
  }
  return Json{{"bundle", header.id},
              {"direction", BundleDirectionName(header.direction)},
              {"site", header.site},
              {"written", Count(PartResult::kWritten)},
              {"applied", Count(PartResult::kApplied)},
              {"repeated", Count(PartResult::kRepeated)},
              {"missing", std::move(missing)},
              {"refused", std::move(refused)},
              {"parts", std::move(list)}};
}

}  // namespace skerry
