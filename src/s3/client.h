// A client for S3 and for servers that speak its API: lists and downloads. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "http/client.h"
#include "s3/place.h"
#include "s3/sender.h"

namespace skerry {

struct S3Object {
  S3Name name{};
  std::uint64_t bytes = 0;
  std::string etag{};  // of this content, quotes and all
};

// What the keys of the objects may have behind the prefix.
enum class S3Depth { kOneDirectory, kAll };

// Errors of all calls: kUnauthenticated (no keys in the environment), kPermissionDenied (refused,
// and by which code of S3), kNotFound (no such bucket or object), kFailedPrecondition (the bucket
// is in another region), kUnavailable (not reachable, or busy, after limits::kS3Attempts attempts).
// Each names the object or bucket and says what to do; none has a secret in it.
class S3Client {
 public:
  explicit S3Client(S3Options options);

  // The objects of `prefix.bucket` whose keys begin with `prefix.key`, in the order of their keys,
  // but for those that stand for a directory. kTooLarge over limits::kListedObjects.
  Result<std::vector<S3Object>> List(const S3Name& prefix, S3Depth depth);
  Result<S3Object> Find(const S3Name& name);
  // Writes the object to `path`, a new file, not synced; goes on where it was cut.
  // kFailedPrecondition: the object has changed since it was listed; kResourceExhausted: a full
  // disk. After an error the file is what had come. `on_bytes` may be empty.
  Status Download(const S3Object& object, const std::filesystem::path& path,
                  const std::function<void(std::uint64_t bytes)>& on_bytes);

 private:
  Status AppendPage(const S3Name& prefix, const HttpReply& reply, std::vector<S3Object>& objects,
                    std::string& next) const;

  S3Sender sender_;
};

}  // namespace skerry
