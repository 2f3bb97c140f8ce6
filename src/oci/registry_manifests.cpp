#include <algorithm>
#include <charconv>
#include <span>

#include "http/query.h"
#include "http/url.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "oci/reference.h"
#include "oci/registry_limits.h"
#include "oci/registry_state.h"

namespace skerry {
namespace {

// Layers that a registry need not have: Docker's and OCI's older types for content that may only
// be had from its own source.
bool IsNondistributable(std::string_view media_type) {
  return media_type.find(".nondistributable.") != std::string_view::npos ||
         media_type.find(".foreign.") != std::string_view::npos;
}

bool IsDigest(std::string_view reference) { return reference.find(':') != std::string_view::npos; }

HttpResponse ManifestError(const Error& error) {
  return RegistryError(
      error, error.code() == ErrorCode::kNotFound ? "MANIFEST_UNKNOWN" : "MANIFEST_INVALID");
}

// What a PUT is stored as: by digest in that digest's algorithm, by tag in sha256. With a digest,
// tags may come as parameters (distribution-spec 1.2, "Pushing Manifests").
struct Address {
  Digest digest;
  std::vector<std::string> tags;
};
Result<Address> AddressOf(const HttpRequest& request, std::string_view bytes) {
  const std::string& reference = request.Param("reference");
  if (!IsDigest(reference)) {
    SKERRY_RETURN_IF_ERROR(CheckTag(reference));
    return Address{Digest::Sha256(bytes), {reference}};
  }
  SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(reference));
  std::vector<std::string> tags = QueryAll(request, "tag");
  if (tags.size() > limits::kTagsPerManifestPut)
    return Fail(ErrorCode::kInvalidArgument,
                "{} tags at once, the limit is {} "
                "(kTagsPerManifestPut)",
                tags.size(), limits::kTagsPerManifestPut);
  for (const std::string& tag : tags) SKERRY_RETURN_IF_ERROR(CheckTag(tag));
  const Digest have = DigestOf(bytes, digest.algorithm());
  if (have != digest)
    return Fail(ErrorCode::kInvalidArgument, "the manifest has the digest {}, not {}",
                have.ToString(), digest.ToString());
  return Address{std::move(digest), std::move(tags)};
}

}  // namespace

Result<Digest> Registry::State::Resolve(std::string_view repository,
                                        std::string_view reference) const {
  if (!IsDigest(reference)) return repositories->FindTag(repository, reference);
  SKERRY_ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(reference));
  SKERRY_ASSIGN_OR_RETURN(const Descriptor found, repositories->FindManifest(repository, digest));
  return found.digest;
}

HttpResponse Registry::State::GetManifest(HttpRequest& request, const std::string& repository) {
  const std::string& reference = request.Param("reference");
  const auto digest = Resolve(repository, reference);
  if (!digest) {
    const bool unknown = digest.error().code() == ErrorCode::kNotFound;
    if (!unknown && IsDigest(reference)) return RegistryError(digest.error(), "DIGEST_INVALID");
    const ErrorCode code = digest.error().code();
    if (code == ErrorCode::kUnavailable || code == ErrorCode::kInternal)
      return ManifestError(digest.error());
    return RegistryError(404, "MANIFEST_UNKNOWN", digest.error().message());
  }
  const auto descriptor = repositories->FindManifest(repository, *digest);
  if (!descriptor) return ManifestError(descriptor.error());
  auto bytes = blobs.Read(*digest, options.max_manifest_bytes);
  if (!bytes) return ManifestError(bytes.error());
  HttpResponse response = HttpResponse::Empty(200);
  response.SetHeader("Content-Type", descriptor->media_type);
  response.SetHeader("Docker-Content-Digest", digest->ToString());
  response.body = std::move(*bytes);
  return response;
}

ContentLeases::Lease Registry::State::LeaseAll(const Manifest& manifest, const Digest& digest) {
  std::vector<Digest> digests = {digest};
  if (manifest.config) digests.push_back(manifest.config->digest);
  for (const Descriptor& layer : manifest.layers) digests.push_back(layer.digest);
  return leases.Take(std::move(digests));
}

Result<std::optional<Digest>> Registry::State::FindMissing(std::string_view repository,
                                                           const Manifest& manifest) {
  std::vector<Descriptor> needed = manifest.layers;
  if (manifest.config) needed.push_back(*manifest.config);
  for (const Descriptor& blob : needed) {
    if (IsNondistributable(blob.media_type)) continue;
    if (blob.data) {
      SKERRY_RETURN_IF_ERROR(VerifyBytes(*blob.data, blob.digest, blob.size));
      SKERRY_RETURN_IF_ERROR(blobs.Put(*blob.data, blob.digest));
      SKERRY_RETURN_IF_ERROR(repositories->LinkBlob(repository, blob.digest));
    }
    Status held = repositories->HasBlob(repository, blob.digest);
    if (held) held = blobs.Has(blob.digest);
    if (!held && held.error().code() == ErrorCode::kNotFound) return blob.digest;
    if (!held) return tl::make_unexpected(held.error());
  }
  for (const Descriptor& child : manifest.manifests) {
    const auto held = repositories->FindManifest(repository, child.digest);
    if (!held && held.error().code() == ErrorCode::kNotFound) return child.digest;
    if (!held) return tl::make_unexpected(held.error());
  }
  return std::nullopt;
}

Status Registry::State::Publish(std::string_view repository, std::span<const std::string> tags,
                                const Manifest& manifest, const Digest& digest, std::uint64_t size,
                                TagChange tag_change) {
  Descriptor descriptor;
  descriptor.media_type = manifest.media_type;
  descriptor.digest = digest;
  descriptor.size = size;
  descriptor.artifact_type = manifest.EffectiveArtifactType();
  std::optional<Digest> subject;
  if (manifest.subject) {
    subject = manifest.subject->digest;
    descriptor.annotations = manifest.annotations;  // referrers lists show them
  }
  SKERRY_RETURN_IF_ERROR(storage.Check());
  SKERRY_RETURN_IF_ERROR(repositories->PutManifest(repository, descriptor, subject));
  for (const std::string& tag : tags)
    SKERRY_RETURN_IF_ERROR(repositories->PutTag(repository, tag, digest, tag_change));
  return {};
}

HttpResponse Registry::State::PutManifest(HttpRequest& request, const std::string& repository) {
  const std::string& bytes = request.body;
  if (bytes.size() > options.max_manifest_bytes)
    return RegistryError(413, "SIZE_INVALID",
                         fmt::format("the manifest is over the limit of {} bytes (kManifestBytes)",
                                     options.max_manifest_bytes));
  const std::string& reference = request.Param("reference");
  const auto address = AddressOf(request, bytes);
  if (!address)
    return RegistryError(address.error(),
                         IsDigest(reference) ? "DIGEST_INVALID" : "MANIFEST_INVALID");
  const auto manifest = Manifest::Parse(bytes, request.Header("Content-Type"));
  if (!manifest) return ManifestError(manifest.error());
  const ContentLeases::Lease lease = LeaseAll(*manifest, address->digest);
  const auto missing = FindMissing(repository, *manifest);
  if (!missing && missing.error().code() == ErrorCode::kDataLoss)  // of what is embedded in it
    return RegistryError(400, "MANIFEST_INVALID", missing.error().message());
  if (!missing) return RegistryError(missing.error(), "MANIFEST_INVALID");
  if (*missing)
    return RegistryError(
        404, "MANIFEST_BLOB_UNKNOWN",
        fmt::format("{} has no {}, which the manifest names", repository, (*missing)->ToString()),
        {{"digest", (*missing)->ToString()}});
  if (const Status free = CheckTagsFree(repository, address->tags, address->digest); !free)
    return RegistryError(free.error(), "DENIED");
  if (const Status stored = blobs.Put(bytes, address->digest); !stored)
    return RegistryError(stored.error(), "UNKNOWN");

  HttpResponse response = HttpResponse::Empty(201);
  if (hooks.on_manifest) {
    auto answer = hooks.on_manifest(repository, *manifest, bytes);
    if (!answer) return RegistryError(answer.error(), "MANIFEST_INVALID");
    if (*answer) response = HttpResponse::JsonText(201, std::move(**answer));
  }
  const bool fresh = !repositories->FindManifest(repository, address->digest);
  const Status published = WithinQuotas(repository, fresh ? bytes.size() : 0, [&] {
    // Again, since another push may have come in between.
    return Publish(repository, address->tags, *manifest, address->digest, bytes.size(),
                   RulesOf(repository).immutable_tags ? TagChange::kOnlyNew : TagChange::kAny);
  });
  if (!published) return RegistryError(published.error(), "DENIED");
  response.SetHeader("Location",
                     fmt::format("/v2/{}/manifests/{}", repository, address->digest.ToString()));
  response.SetHeader("Docker-Content-Digest", address->digest.ToString());
  if (IsDigest(reference))
    for (const std::string& tag : address->tags) response.SetHeader("OCI-Tag", tag);
  if (manifest->subject) response.SetHeader("OCI-Subject", manifest->subject->digest.ToString());
  return response;
}

HttpResponse Registry::State::DeleteManifest(HttpRequest& request, const std::string& repository) {
  const std::string& reference = request.Param("reference");
  if (const Status deletable = CheckDeletable(repository, reference); !deletable)
    return RegistryError(deletable.error(), "DENIED");
  if (!IsDigest(reference)) {
    const Status removed = repositories->DeleteTag(repository, reference);
    return removed ? HttpResponse::Empty(202) : ManifestError(removed.error());
  }
  const auto digest = Digest::Parse(reference);
  if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
  std::optional<Digest> subject;
  if (const auto bytes = blobs.Read(*digest, options.max_manifest_bytes)) {
    const auto manifest = Manifest::Parse(*bytes);
    if (manifest && manifest->subject) subject = manifest->subject->digest;
  }
  const Status removed = repositories->DeleteManifest(repository, *digest, subject);
  usage.Forget(repository);
  return removed ? HttpResponse::Empty(202) : ManifestError(removed.error());
}

HttpResponse Registry::State::ListTags(HttpRequest& request, const std::string& repository) {
  auto tags = repositories->Tags(repository);
  if (!tags) return RegistryError(tags.error(), "NAME_UNKNOWN");
  std::size_t count = limits::kTagsPerPage;
  if (const std::string text = request.Query("n"); !text.empty()) {
    std::size_t asked = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), asked);
    if (error != std::errc() || end != text.data() + text.size())
      return RegistryError(400, "UNSUPPORTED", "n is not a number");
    count = std::min(asked, limits::kTagsPerPage);
  }
  const std::string last = request.Query("last");
  auto first = std::upper_bound(tags->begin(), tags->end(), last);
  if (last.empty()) first = tags->begin();
  const auto left = static_cast<std::size_t>(tags->end() - first);
  const auto end = first + static_cast<std::ptrdiff_t>(std::min(count, left));
  const Json page = {{"name", repository}, {"tags", std::vector<std::string>(first, end)}};
  HttpResponse response = HttpResponse::JsonText(200, DumpJson(page));
  if (count > 0 && count < left)
    response.SetHeader("Link", fmt::format("</v2/{}/tags/list?n={}&last={}>; rel=\"next\"",
                                           repository, count, PercentEncode(*(end - 1))));
  return response;
}

HttpResponse Registry::State::ListReferrers(HttpRequest& request, const std::string& repository) {
  const auto digest = Digest::Parse(request.Param("digest"));
  if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
  auto referrers = repositories->Referrers(repository, *digest);
  if (!referrers) return RegistryError(referrers.error(), "UNKNOWN");
  const std::string artifact_type = request.Query("artifactType");
  Json manifests = Json::array();
  for (const Descriptor& referrer : *referrers)
    if (artifact_type.empty() || referrer.artifact_type == artifact_type)
      manifests.push_back(referrer.ToJson());
  const Json index = {{"schemaVersion", 2},
                      {"mediaType", media_types::kImageIndex},
                      {"manifests", std::move(manifests)}};
  HttpResponse response = HttpResponse::Empty(200);
  response.body = DumpJson(index);
  response.SetHeader("Content-Type", std::string(media_types::kImageIndex));
  if (!artifact_type.empty()) response.SetHeader("OCI-Filters-Applied", "artifactType");
  return response;
}

}  // namespace skerry
