// What each repository holds, as small records (record_store.h), so that every change is one that
// happens whole, and any tool can look at it:
//   <name>/_blobs/<algorithm>/<hex>            empty: "this blob is here"
//         /_manifests/<algorithm>/<hex>        its descriptor as JSON
//         /_referrers/<algorithm>/<hex of subject>/<algorithm>-<hex>
//         /_tags/<tag>                         a digest
// Owned by Registry; thread-safe. Names are checked here once more, so no path or key is ever built
// from an unchecked one (kInvalidArgument). A manifest counts as present when its own record is
// there: the referrer's entry is written before it, the tag after it, and listings ignore entries
// whose manifest is not present; so a push that is killed anywhere leaves nothing half-visible.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/manifest.h"
#include "oci/record_store.h"

namespace skerry {

// A blob of a repository, and how long ago it was last pushed, mounted or looked for.
struct BlobLink {
  Digest digest;
  std::chrono::seconds age;
};

// Whether a tag that is there may become another manifest's.
enum class TagChange : std::uint8_t { kAny, kOnlyNew };

class RepositoryStore {
 public:
  explicit RepositoryStore(std::unique_ptr<RecordStore> records) : records_(std::move(records)) {}

  // Sorted. A repository exists once something was stored in it.
  Result<std::vector<std::string>> Repositories() const;
  Status Exists(std::string_view repository) const;  // kNotFound

  // Blobs. LinkBlob of one that is there makes it young again.
  Status LinkBlob(std::string_view repository, const Digest& digest);
  Status HasBlob(std::string_view repository, const Digest& digest) const;  // kNotFound
  // The same for somebody who may rely on the answer: makes it young again.
  Status UseBlob(std::string_view repository, const Digest& digest) const;
  Status UnlinkBlob(std::string_view repository, const Digest& digest);  // kNotFound

  // Manifests. `descriptor` has media type, size, artifact type, annotations.
  Status PutManifest(std::string_view repository, const Descriptor& descriptor,
                     const std::optional<Digest>& subject);
  Result<Descriptor> FindManifest(std::string_view repository, const Digest& digest) const;
  // Also removes the tags that point at it and its entry among the subject's referrers.
  Status DeleteManifest(std::string_view repository, const Digest& digest,
                        const std::optional<Digest>& subject);
  // Those that name `subject`, whether it exists or not; sorted by digest.
  Result<std::vector<Descriptor>> Referrers(std::string_view repository,
                                            const Digest& subject) const;

  // Tags. kConflict for one that is another manifest's, where only new ones are wanted.
  Status PutTag(std::string_view repository, std::string_view tag, const Digest& digest,
                TagChange change = TagChange::kAny);
  Result<Digest> FindTag(std::string_view repository, std::string_view tag) const;  // kNotFound
  Status DeleteTag(std::string_view repository, std::string_view tag);              // kNotFound
  // Sorted by byte value; kNotFound for a repository that does not exist.
  Result<std::vector<std::string>> Tags(std::string_view repository) const;

  // For the collector. In these, what cannot be listed is an error and never taken for nothing.
  Result<std::vector<BlobLink>> BlobLinks(std::string_view repository) const;
  Result<std::vector<Digest>> Manifests(std::string_view repository) const;
  // Removes entries of referrers lists whose manifest is not there; how many.
  Result<std::uint64_t> RemoveDeadReferrers(std::string_view repository);

 private:
  Status RemoveTagsOf(const std::string& repository, const Digest& digest) const;

  const std::unique_ptr<RecordStore> records_;
  std::mutex mutex_;  // orders changes of tags and manifests against each other
};

}  // namespace skerry
