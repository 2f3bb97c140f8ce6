#include "oci/collector.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "oci/manifest.h"

namespace skerry {
namespace {

// Sets of digests in 17 bytes each: the algorithm and the first 128 bits. Two that are alike there
// are taken for one, which can only keep what might have gone.
class DigestSet {
 public:
  void Add(const Digest& digest) {
    keys_.push_back(KeyOf(digest));
    sorted_ = false;
  }
  bool Has(const Digest& digest) {
    if (!std::exchange(sorted_, true)) std::ranges::sort(keys_);
    return std::ranges::binary_search(keys_, KeyOf(digest));
  }

 private:
  using Key = std::array<char, 17>;
  static Key KeyOf(const Digest& digest) {
    Key key{};
    key[0] = digest.algorithm() == "sha512" ? '5' : '2';
    const std::string_view hex = digest.hex();
    const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    for (std::size_t i = 0; i + 1 < key.size(); ++i)
      key[i + 1] = static_cast<char>(nibble(hex[2 * i]) * 16 + nibble(hex[2 * i + 1]));
    return key;
  }

  std::vector<Key> keys_;
  bool sorted_ = true;
};

class Collection {
 public:
  Collection(const CollectorParts& parts, const CollectOptions& options)
      : parts_(parts), options_(options), sweep_(*parts.leases) {}

  Result<CollectReport> Run() {
    SKERRY_RETURN_IF_ERROR(CheckOurs());
    SKERRY_ASSIGN_OR_RETURN(report_.uploads, parts_.uploads->RemoveAbandoned(options_.upload_age));
    SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> repositories,
                            parts_.repositories->Repositories());
    for (const std::string& repository : repositories)
      SKERRY_RETURN_IF_ERROR(CollectLinks(repository), repository);
    SKERRY_RETURN_IF_ERROR(CollectContent());
    return report_;
  }

 private:
  // What the repository's manifests name; none when one of them cannot be read, since that may name
  // anything.
  Result<std::optional<DigestSet>> Named(const std::string& repository) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<Digest> manifests,
                            parts_.repositories->Manifests(repository));
    std::optional<DigestSet> named{std::in_place};
    for (const Digest& digest : manifests) {
      live_.Add(digest);
      if (!named) continue;
      const auto bytes = parts_.blobs->Read(digest, parts_.max_manifest_bytes);
      const auto manifest =
          bytes ? Manifest::Parse(*bytes) : Result<Manifest>(tl::make_unexpected(bytes.error()));
      if (!manifest) {
        // Deleted since it was listed: it names nothing any more.
        const auto there = parts_.repositories->FindManifest(repository, digest);
        if (!there && there.error().code() == ErrorCode::kNotFound) continue;
        LogWarning("collection keeps every blob of a repository repository={} reason=\"{}: {}\"",
                   repository, digest.ToString(), manifest.error().message());
        ++report_.unread;
        named.reset();
        continue;
      }
      if (manifest->config) named->Add(manifest->config->digest);
      for (const Descriptor& layer : manifest->layers) named->Add(layer.digest);
    }
    return named;
  }

  Status CheckOurs() const { return parts_.still_ours ? parts_.still_ours() : Status(); }
  Status CheckStopped() const {
    if (options_.stopped && options_.stopped())
      return Fail(ErrorCode::kUnavailable, "the collection was stopped; the next one goes on");
    return {};
  }

  Status CollectLinks(const std::string& repository) {
    SKERRY_RETURN_IF_ERROR(CheckStopped());
    // The links first: one that comes while the manifests are read was leased.
    SKERRY_ASSIGN_OR_RETURN(const auto links, parts_.repositories->BlobLinks(repository));
    SKERRY_ASSIGN_OR_RETURN(std::optional<DigestSet> named, Named(repository));
    for (const BlobLink& link : links) {
      if (!named || named->Has(link.digest) || link.age < options_.grace) {
        live_.Add(link.digest);
        continue;
      }
      SKERRY_ASSIGN_OR_RETURN(const bool removed, sweep_.Remove(link.digest, [&]() -> Status {
        SKERRY_RETURN_IF_ERROR(CheckOurs());
        return parts_.repositories->UnlinkBlob(repository, link.digest);
      }));
      ++(removed ? report_.links : report_.leased);
      if (!removed) live_.Add(link.digest);
    }
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t dead,
                            parts_.repositories->RemoveDeadReferrers(repository));
    report_.referrers += dead;
    return {};
  }

  Status CollectContent() {
    return parts_.blobs->ForEach([&](const Digest& digest, std::uint64_t bytes) -> Status {
      SKERRY_RETURN_IF_ERROR(CheckStopped());
      bool removed = false;
      if (!live_.Has(digest)) {
        SKERRY_ASSIGN_OR_RETURN(removed, sweep_.Remove(digest, [&]() -> Status {
          SKERRY_RETURN_IF_ERROR(CheckOurs());
          return parts_.blobs->Remove(digest);
        }));
        if (!removed) ++report_.leased;
      }
      ++(removed ? report_.blobs : report_.kept_blobs);
      (removed ? report_.bytes : report_.kept_bytes) += bytes;
      return {};
    });
  }

  const CollectorParts& parts_;
  const CollectOptions& options_;
  ContentLeases::Sweep sweep_;
  CollectReport report_;
  DigestSet live_;  // what a repository links
};

}  // namespace

Json CollectReport::ToJson() const {
  return {{"uploads", uploads},       {"links", links},   {"referrers", referrers},
          {"blobs", blobs},           {"bytes", bytes},   {"kept_blobs", kept_blobs},
          {"kept_bytes", kept_bytes}, {"leased", leased}, {"unread_repositories", unread}};
}

Result<CollectReport> CollectGarbage(const CollectorParts& parts, const CollectOptions& options) {
  return Collection(parts, options).Run();
}

}  // namespace skerry
