#include "sync/bundle.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "oci/layout.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

struct KindFacts {
  BundleKind kind;
  std::string_view name;
  BundleDirection direction;
  std::string_view artifact_type;
  std::string_view document_type;  // empty: not a document
};

// In the order of the enum.
constexpr std::array<KindFacts, 9> kKinds{{
    {BundleKind::kJoinRequest, "join-request", BundleDirection::kToHub,
     media_types::kJoinRequestArtifact, media_types::kJoinRequestLayer},
    {BundleKind::kStatus, "status", BundleDirection::kToHub, media_types::kStatusArtifact,
     media_types::kStatusLayer},
    {BundleKind::kShipment, "shipment", BundleDirection::kToHub, media_types::kShipmentArtifact,
     ""},
    {BundleKind::kJoinGrant, "join-grant", BundleDirection::kToSite,
     media_types::kJoinGrantArtifact, media_types::kJoinGrantLayer},
    {BundleKind::kReceipt, "receipt", BundleDirection::kToSite, media_types::kReceiptArtifact,
     media_types::kReceiptLayer},
    {BundleKind::kDesiredState, "desired-state", BundleDirection::kToSite,
     media_types::kDesiredStateArtifact, media_types::kDesiredStateLayer},
    {BundleKind::kPolicy, "policy", BundleDirection::kToSite, media_types::kPolicyArtifact, ""},
    {BundleKind::kModel, "model", BundleDirection::kToSite, media_types::kModelArtifact, ""},
    {BundleKind::kSignature, "signature", BundleDirection::kToSite, media_types::kSigstoreBundle,
     ""},
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
  LayoutWriter layout;
  BundleDirection direction;
  std::vector<BundlePart> parts;
};

BundleWriter::BundleWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BundleWriter::BundleWriter(BundleWriter&&) noexcept = default;
BundleWriter& BundleWriter::operator=(BundleWriter&&) noexcept = default;
BundleWriter::~BundleWriter() = default;

Result<BundleWriter> BundleWriter::Create(const std::filesystem::path& directory,
                                          const BundleHeader& header) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", header.site));
  SKERRY_ASSIGN_OR_RETURN(LayoutWriter layout, LayoutWriter::Create(directory));
  layout.SetAnnotation(std::string(annotations::kBundle), header.id);
  layout.SetAnnotation(std::string(annotations::kDirection),
                       std::string(BundleDirectionName(header.direction)));
  layout.SetAnnotation(std::string(annotations::kSite), header.site);
  return BundleWriter(std::make_unique<Impl>(Impl{std::move(layout), header.direction, {}}));
}

Status BundleWriter::AddArtifact(BundleKind kind, std::string_view name, const Artifact& artifact) {
  const KindFacts& facts = FactsOf(kind);
  if (facts.direction != impl_->direction)
    return Fail(ErrorCode::kInvalidArgument, "a {} bundle carries no {}",
                BundleDirectionName(impl_->direction), facts.name);
  SKERRY_RETURN_IF_ERROR(impl_->layout.AddArtifact(
                             artifact, {{std::string(annotations::kKind), std::string(facts.name)},
                                        {std::string(annotations::kRefName), std::string(name)}}),
                         fmt::format("{} {}", facts.name, name));
  impl_->parts.push_back({kind, std::string(name), artifact.manifest.digest});
  return {};
}

Status BundleWriter::AddDocument(BundleKind kind, std::string_view name, std::string_view bytes) {
  const KindFacts& facts = FactsOf(kind);
  if (facts.document_type.empty())
    return Fail(ErrorCode::kInvalidArgument, "a {} is no document", facts.name);
  SKERRY_ASSIGN_OR_RETURN(
      const Artifact artifact,
      MakeDocumentArtifact(facts.artifact_type, facts.document_type, std::string(bytes)));
  return AddArtifact(kind, name, artifact);
}

Status BundleWriter::Finish() { return impl_->layout.Finish(); }

const std::vector<BundlePart>& BundleWriter::parts() const { return impl_->parts; }

struct BundleReader::Impl {
  LayoutReader layout;
  BundleHeader header;
  std::vector<BundlePart> parts;
  std::vector<PartOutcome> unknown;
};

BundleReader::BundleReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BundleReader::BundleReader(BundleReader&&) noexcept = default;
BundleReader& BundleReader::operator=(BundleReader&&) noexcept = default;
BundleReader::~BundleReader() = default;

Result<BundleReader> BundleReader::Open(const std::filesystem::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(LayoutReader layout, LayoutReader::Open(directory));
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
  for (const Descriptor& entry : impl->layout.entries()) {
    const std::string name = entry.Annotation(annotations::kRefName);
    const std::string kind_name = entry.Annotation(annotations::kKind);
    const auto kind = ParseBundleKind(kind_name);
    if (kind) {
      impl->parts.push_back({*kind, name, entry.digest});
    } else {
      impl->unknown.push_back({kind_name, name, PartResult::kRefused, kind.error().message()});
    }
  }
  std::ranges::stable_sort(impl->parts, {}, &BundlePart::kind);
  return BundleReader(std::move(impl));
}

const BundleHeader& BundleReader::header() const { return impl_->header; }
const std::vector<BundlePart>& BundleReader::parts() const { return impl_->parts; }
const std::vector<PartOutcome>& BundleReader::unknown_parts() const { return impl_->unknown; }

Result<Artifact> BundleReader::ReadArtifact(const BundlePart& part) const {
  for (const Descriptor& entry : impl_->layout.entries())
    if (entry.digest == part.manifest) return impl_->layout.Read(entry);
  return Fail(ErrorCode::kNotFound, "the bundle has no part {}", part.manifest.ToString());
}

Result<std::string> BundleReader::ReadDocument(const BundlePart& part,
                                               std::size_t max_bytes) const {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, ReadArtifact(part));
  return skerry::ReadDocument(artifact, FactsOf(part.kind).document_type, max_bytes);
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
