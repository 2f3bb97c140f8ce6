#include "sync/supply.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/clock.h"
#include "base/ids.h"
#include "crypto/dsse.h"
#include "oci/reference.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kSupplyType = "application/vnd.skerry.supply.v1+json";
constexpr std::string_view kNewestFile = "supply-newest";  // µs UTC of the newest list

Result<SupplyItem> ReadItem(const Json& json, const std::string& path) {
  const JsonObject object(json, path);
  SupplyItem item;
  SKERRY_ASSIGN_OR_RETURN(item.repository, object.String("repository"));
  SKERRY_RETURN_IF_ERROR(CheckRepository(item.repository), path);
  SKERRY_ASSIGN_OR_RETURN(item.tag, object.StringOr("tag", ""));
  if (!item.tag.empty()) SKERRY_RETURN_IF_ERROR(CheckTag(item.tag), path);
  SKERRY_ASSIGN_OR_RETURN(const std::string digest, object.String("digest"));
  SKERRY_ASSIGN_OR_RETURN(item.digest, Digest::Parse(digest), path);
  return item;
}

// Collects a manifest with all that belongs to it.
class Gatherer {
 public:
  explicit Gatherer(Registry& registry) : registry_(&registry) {}

  Status Add(const std::string& repository, const std::string& tag, const Digest& digest) {
    if (!seen_.insert(digest).second && tag.empty()) return {};
    SKERRY_ASSIGN_OR_RETURN(Artifact artifact,
                            registry_->GetArtifact(repository, digest.ToString()));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
    for (const Descriptor& child : manifest.manifests)
      SKERRY_RETURN_IF_ERROR(Add(repository, "", child.digest));
    if (gathered_.items.size() >= limits::kSupplyItems)
      return Fail(ErrorCode::kTooLarge, "more than {} manifests belong to it (kSupplyItems)",
                  limits::kSupplyItems);
    gathered_.items.push_back({repository, tag, digest});
    gathered_.artifacts.push_back(std::move(artifact));
    SKERRY_ASSIGN_OR_RETURN(const auto referrers, registry_->Referrers(repository, digest, ""));
    for (const Descriptor& referrer : referrers)
      SKERRY_RETURN_IF_ERROR(Add(repository, "", referrer.digest));
    return {};
  }
  GatheredSupply Take() { return std::move(gathered_); }

 private:
  Registry* registry_;
  std::set<Digest> seen_;
  GatheredSupply gathered_;
};

PartOutcome OutcomeFor(const BundleReader& reader, const BundlePart& part,
                       const Result<bool>& taken) {
  PartOutcome outcome{std::string(BundleKindName(part.kind)), part.name, PartResult::kApplied, ""};
  outcome.bytes = reader.BytesOf(part);
  if (taken) {
    if (!*taken) outcome.result = PartResult::kRepeated;
    return outcome;
  }
  const ErrorCode code = taken.error().code();
  outcome.result = code == ErrorCode::kDataLoss || code == ErrorCode::kNotFound
                       ? PartResult::kMissing
                       : PartResult::kRefused;
  outcome.reason = taken.error().message();
  return outcome;
}

}  // namespace

std::string SupplyItem::Name() const {
  return tag.empty() ? fmt::format("{}@{}", repository, digest.ToString())
                     : fmt::format("{}:{}", repository, tag);
}

Result<std::string> SignSupply(const SupplyList& list, const PrivateKey& key) {
  Json items = Json::array();
  for (const SupplyItem& item : list.items) {
    Json json{{"repository", item.repository}, {"digest", item.digest.ToString()}};
    if (!item.tag.empty()) json["tag"] = item.tag;
    items.push_back(std::move(json));
  }
  const Json document{{"format", "skerry-supply/1"},
                      {"site", list.site},
                      {"issued_at", FormatUtc(list.issued_at_us)},
                      {"items", std::move(items)}};
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope,
                          SignDsse(kSupplyType, DumpJson(document), key));
  return envelope.ToJson();
}

Result<SupplyList> ReadSupply(std::string_view envelope, std::span<const PublicKey> keys,
                              std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          VerifyDsse(envelope, kSupplyType, keys, limits::kSupplyBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonObject object(json, "supply");
  SKERRY_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  if (format != "skerry-supply/1" && !format.starts_with("skerry-supply/1."))
    return Fail(ErrorCode::kUnimplemented, "the list has the format {}, this version reads 1",
                format);
  SupplyList list;
  SKERRY_ASSIGN_OR_RETURN(list.site, object.String("site"));
  if (list.site != site)
    return Fail(ErrorCode::kPermissionDenied, "the list is for site {}, this site is {}", list.site,
                site);
  SKERRY_ASSIGN_OR_RETURN(const std::string issued, object.String("issued_at"));
  SKERRY_ASSIGN_OR_RETURN(list.issued_at_us, ParseUtc(issued), "supply.issued_at");
  SKERRY_ASSIGN_OR_RETURN(const Json* items, object.Array("items"));
  if (items->size() > limits::kSupplyItems)
    return Fail(ErrorCode::kTooLarge, "the list has {} items, the limit is {} (kSupplyItems)",
                items->size(), limits::kSupplyItems);
  for (std::size_t i = 0; i < items->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(SupplyItem item, ReadItem((*items)[i], object.ElementPath("items", i)));
    list.items.push_back(std::move(item));
  }
  return list;
}

Result<GatheredSupply> GatherSupply(Registry& registry, std::span<const std::string> references) {
  Gatherer gatherer(registry);
  for (const std::string& text : references) {
    SKERRY_ASSIGN_OR_RETURN(const Reference reference, Reference::Parse(text));
    if (!reference.registry.empty() || reference.Locator().empty())
      return Fail(ErrorCode::kInvalidArgument,
                  "\"{}\" is no repository:tag or repository@digest of this hub's registry", text);
    if (reference.repository.starts_with("sites/"))
      return Fail(ErrorCode::kPermissionDenied, "{} is a site's: it goes to no other", text);
    if (reference.digest) {
      SKERRY_RETURN_IF_ERROR(gatherer.Add(reference.repository, "", *reference.digest), text);
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(const Digest digest,
                            registry.Resolve(reference.repository, reference.tag), text);
    SKERRY_RETURN_IF_ERROR(gatherer.Add(reference.repository, reference.tag, digest), text);
  }
  return gatherer.Take();
}

Result<std::unique_ptr<SiteRegistry>> SiteRegistry::Open(SiteRegistryOptions options) {
  SKERRY_ASSIGN_OR_RETURN(auto registry, Registry::Open(options.directory));
  return std::unique_ptr<SiteRegistry>(new SiteRegistry(std::move(options), std::move(registry)));
}

std::vector<Route> SiteRegistry::Routes() {
  std::vector<Route> routes = registry_->Routes();
  std::erase_if(routes, [](const Route& route) {
    return route.method != "GET" || route.pattern.find("/uploads") != std::string::npos;
  });
  return routes;
}

std::vector<PartOutcome> SiteRegistry::Take(const BundleReader& reader,
                                            const Result<SupplyList>& list) {
  std::vector<PartOutcome> outcomes;
  std::int64_t newest_us = 0;
  if (const auto text = ReadFile(options_.directory / kNewestFile, 64))
    std::from_chars(text->data(), text->data() + text->size(), newest_us);
  bool whole = list.has_value();
  for (const BundlePart& part : reader.parts()) {
    if (part.kind != BundleKind::kArtifact) continue;
    const Result<bool> taken =
        list ? TakePart(reader, part, *list, newest_us) : tl::make_unexpected(list.error());
    whole = whole && taken.has_value();
    outcomes.push_back(OutcomeFor(reader, part, taken));
  }
  // From now on an older list moves no tag.
  if (list && list->issued_at_us > newest_us) {
    const Status noted =
        WriteFileDurably(options_.directory / kNewestFile, std::to_string(list->issued_at_us));
    if (!noted)
      outcomes.push_back({std::string(BundleKindName(BundleKind::kSupply)), "supply",
                          PartResult::kRefused, noted.error().message()});
  }
  return outcomes;
}

Result<bool> SiteRegistry::TakePart(const BundleReader& reader, const BundlePart& part,
                                    const SupplyList& list, std::int64_t newest_us) {
  const auto item = std::ranges::find_if(list.items, [&](const SupplyItem& one) {
    return one.digest == part.manifest && one.Name() == part.name;
  });
  if (item == list.items.end())
    return Fail(ErrorCode::kPermissionDenied, "the hub's signed list does not name it");
  const bool held =
      registry_->ManifestBytes(item->repository, part.manifest.ToString()).has_value();
  const auto tagged = item->tag.empty() ? Result<Digest>(part.manifest)
                                        : registry_->Resolve(item->repository, item->tag);
  if (held && tagged && *tagged == part.manifest) return false;
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, reader.LocateArtifact(part));
  SKERRY_RETURN_IF_ERROR(CheckRoom(artifact));
  const bool moves = !item->tag.empty() && (!tagged || list.issued_at_us >= newest_us);
  SKERRY_RETURN_IF_ERROR(
      registry_->PutArtifact(item->repository, moves ? item->tag : "", artifact));
  return !held || moves;
}

Status SiteRegistry::CheckRoom(const Artifact& artifact) {
  std::uint64_t more = 0;
  for (const BlobSource& blob : artifact.blobs)
    if (!registry_->blobs().Has(blob.descriptor.digest)) more += blob.descriptor.size;
  if (more == 0) return {};
  std::uint64_t held = 0;
  SKERRY_RETURN_IF_ERROR(
      registry_->blobs().ForEach([&](const Digest&, std::uint64_t bytes) -> Status {
        held += bytes;
        return {};
      }));
  if (more > options_.quota_bytes || held > options_.quota_bytes - more)
    return Fail(ErrorCode::kResourceExhausted,
                "{} bytes more do not fit: the registry holds {} of {} (registry.quota_bytes)",
                more, held, options_.quota_bytes);
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t free, FreeBytes(options_.directory));
  if (free >= more && free - more >= limits::kSupplyLeavesBytes) return {};
  return Fail(ErrorCode::kResourceExhausted,
              "{} bytes more do not fit on the disk, of whose {} free ones {} are the outbox's",
              more, free, limits::kSupplyLeavesBytes);
}

}  // namespace skerry
