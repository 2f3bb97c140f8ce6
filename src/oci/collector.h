// Garbage collection of the registry, mark and sweep, while pushes go on. docs/adr/0023 argues why
// it removes nothing that anybody relies on; content_leases.h is the part that pushes play in it.
//
// What goes, in this order:
//   1. uploads that nobody has touched for `upload_age`;
//   2. a repository's links to blobs that none of its manifests names and that nobody has pushed,
//      mounted or looked for in `grace` (the time that a client may take between a blob and its
//      manifest);
//   3. entries of referrers lists whose manifest is gone;
//   4. content that no repository links.
// Manifests and tags never go, whether tagged or not: a desired state names a digest.
// What cannot be read is kept, and everything that it may name is, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/error.h"
#include "codec/json.h"
#include "oci/blob_store.h"
#include "oci/content_leases.h"
#include "oci/repository_store.h"
#include "oci/upload_store.h"

namespace skerry {

struct CollectOptions {
  std::chrono::seconds grace;       // of a blob without a manifest
  std::chrono::seconds upload_age;  // of an upload that nobody goes on with
  // Asked often, when given: true ends the sweep early (kUnavailable).
  std::function<bool()> stopped{};
};

struct CollectReport {
  std::uint64_t uploads = 0;     // removed
  std::uint64_t links = 0;       // removed: blobs of repositories
  std::uint64_t referrers = 0;   // removed: entries without a manifest
  std::uint64_t blobs = 0;       // removed: content
  std::uint64_t bytes = 0;       // of it
  std::uint64_t kept_blobs = 0;  // content that stays
  std::uint64_t kept_bytes = 0;  // of it
  std::uint64_t leased = 0;      // would have gone, but were in use
  std::uint64_t unread = 0;      // repositories with a manifest that cannot be read
  Json ToJson() const;
};

struct CollectorParts {
  BlobStore* blobs = nullptr;
  UploadStore* uploads = nullptr;
  RepositoryStore* repositories = nullptr;
  ContentLeases* leases = nullptr;
  std::uint64_t max_manifest_bytes = 0;
  // Asked before each removal: an error ends the sweep, since another process has taken over.
  std::function<Status()> still_ours{};
};

// One sweep; one at a time. An error ends it early: what it has removed is gone whole, and the next
// one goes on.
Result<CollectReport> CollectGarbage(const CollectorParts& parts, const CollectOptions& options);

}  // namespace skerry
