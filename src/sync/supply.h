// What a hub sends its site beside models: images, charts and whatever else the site's machines are
// to pull, as a signed list and the artifacts that it names; and the site's registry of them.
//
// The list says by digest what the hub has meant for this site, so that a bundle brings nothing
// else into the registry from which machines run images. Format: docs/formats/bundle.md, "Supply".
// Thread-safe: a value, and what the registry is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "http/server.h"
#include "oci/registry.h"
#include "sync/bundle.h"

namespace skerry {

namespace limits {
constexpr std::size_t kSupplyItems = 1'000;
constexpr std::size_t kSupplyBytes = 1U << 20U;  // of the list
// Of the disk, which the site's registry leaves to the outbox.
constexpr std::uint64_t kSupplyLeavesBytes = std::uint64_t{256} << 20U;
}  // namespace limits

struct SupplyItem {
  std::string repository;
  std::string tag;  // empty: by digest alone, as the images of an index and signatures are
  Digest digest;    // of the manifest

  std::string Name() const;  // "images/site:1", "images/site@sha256:..."
};

struct SupplyList {
  std::string site;
  std::int64_t issued_at_us = 0;
  std::vector<SupplyItem> items;
};

// The DSSE envelope.
Result<std::string> SignSupply(const SupplyList& list, const PrivateKey& key);
// kPermissionDenied: no signature of `keys`, or for another site; kInvalidArgument, kTooLarge.
Result<SupplyList> ReadSupply(std::string_view envelope, std::span<const PublicKey> keys,
                              std::string_view site);

// Everything that `references` ("images/site:1", "charts/skerry-site@sha256:...") need: the images
// of an index before it, and what refers to them (signatures, SBOM) behind. kNotFound,
// kPermissionDenied for repositories of sites, kTooLarge over kSupplyItems.
struct GatheredSupply {
  std::vector<SupplyItem> items;
  std::vector<Artifact> artifacts;  // of each item
};
Result<GatheredSupply> GatherSupply(Registry& registry, std::span<const std::string> references);

struct SiteRegistryOptions {
  std::filesystem::path directory;
  std::uint64_t quota_bytes = std::uint64_t{16} << 30U;
};

// The site's store of what it was supplied with. Owned by the site; outlives the server that serves
// its routes.
class SiteRegistry {
 public:
  // One process a directory.
  static Result<std::unique_ptr<SiteRegistry>> Open(SiteRegistryOptions options);

  // GET and HEAD of the distribution API: whoever reaches them pulls, and nobody can push.
  std::vector<Route> Routes();

  // Stores the parts of the bundle that the list names, each verified against its digest; a tag
  // is moved by a list that is not older than the newest one taken. An outcome for each part.
  // Blobs that are here are kept, so that an import that was interrupted goes on.
  std::vector<PartOutcome> Take(const BundleReader& reader, const Result<SupplyList>& list);

 private:
  SiteRegistry(SiteRegistryOptions options, std::unique_ptr<Registry> registry)
      : options_(std::move(options)), registry_(std::move(registry)) {}
  Result<bool> TakePart(const BundleReader& reader, const BundlePart& part, const SupplyList& list,
                        std::int64_t newest_us);
  Status CheckRoom(const Artifact& artifact);

  const SiteRegistryOptions options_;
  const std::unique_ptr<Registry> registry_;
};

}  // namespace skerry
