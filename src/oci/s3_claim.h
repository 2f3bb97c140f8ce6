// Says whose a prefix of a bucket is. A registry has one process: where it stands in files, a lock
// of the kernel sees to that; in a bucket it is the object <prefix>/owner.json, which names the hub
// and the process of it that has opened the registry last.
//
// Another hub is refused. The same hub, started again or from a copy of its data directory, takes
// over (If-Match, so of two at once one wins), and the process before, should it still run, sees at
// its next Check that it has lost: it publishes and collects nothing more. What a Check has allowed
// may still be under way when another takes over: a manifest that is being published, one removal.
// Thread-safe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "s3/bucket.h"

namespace skerry {

class S3Claim {
 public:
  // `id_file` holds the hub's id, drawn when absent. kFailedPrecondition: another hub's, and how to
  // take it over; kConflict: another process opened it in the same moment.
  static Result<std::unique_ptr<S3Claim>> Take(S3Bucket& bucket,
                                               const std::filesystem::path& id_file);
  // kUnavailable once another process has taken over.
  Status Check() const;

 private:
  S3Claim(S3Bucket& bucket, std::string etag) : bucket_(&bucket), etag_(std::move(etag)) {}

  S3Bucket* const bucket_;
  const std::string etag_;
};

}  // namespace skerry
