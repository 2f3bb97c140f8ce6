// A part of a bucket of S3 as a store of objects by key, for those that write: every object appears
// or is replaced whole, and who reads after a write sees it (S3 promises both).
//
// Owned by whoever stores; thread-safe: each call takes a connection of its own out of a pool. Keys
// are what is behind the prefix of the address. What is acknowledged is the server's to keep.
//   SKERRY_ASSIGN_OR_RETURN(auto bucket, S3Bucket::Open({}, "s3://plant/hub"));
//   SKERRY_RETURN_IF_ERROR(bucket->Put("blobs/x", bytes));
//
// Errors of all calls: kNotFound (no such object, or upload), kUnavailable (the server is not
// reachable, or busy, after S3Options::attempts attempts), kInternal (it refuses: the bucket is
// not there, or the keys, the clock or the region are wrong; the words say which, and what to do).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http/message.h"
#include "s3/sender.h"
#include "s3/xml.h"

namespace skerry {

// "s3://BUCKET" or "s3://BUCKET/PREFIX"; of the prefix letters, digits and . _ - / only.
struct S3Prefix {
  std::string bucket{};
  std::string prefix{};  // "" or with a / at its end
  static Result<S3Prefix> Parse(std::string_view address);
  std::string ToString() const;
};

struct S3Found {
  std::string key{};
  std::uint64_t bytes = 0;
  std::string etag{};           // of this content, quotes and all
  std::chrono::seconds age{0};  // since it was written, by the server's clock
};

struct S3OpenUpload {
  std::string key{}, upload{};
  std::chrono::seconds age{0};
};

class S3Bucket {
 public:
  // Asks for one object that need not be there, so that wrong settings show at once.
  static Result<std::unique_ptr<S3Bucket>> Open(S3Options options, std::string_view address);

  Result<S3Found> Find(const std::string& key);
  // kTooLarge over `max_bytes`.
  Result<std::string> Read(const std::string& key, std::uint64_t max_bytes);
  // `bytes` bytes from `offset` on, in pieces; goes on where it was cut. `sink`'s error ends it.
  Status ReadRange(const std::string& key, std::uint64_t offset, std::uint64_t bytes,
                   const std::function<Status(std::string_view)>& sink);
  // Replaces the object; its ETag.
  Result<std::string> Put(const std::string& key, std::string_view bytes);
  // A part of a file; `sha256` is that of these bytes, in hexadecimal: the server refuses others.
  Status PutFile(const std::string& key, const FileBody& file, const std::string& sha256);
  // Only where there is none (If-None-Match: *): kAlreadyExists, unless it has these bytes.
  Result<std::string> PutNew(const std::string& key, std::string_view bytes);
  // Only in place of the content with this ETag (If-Match): kConflict, unless it has these bytes.
  Result<std::string> PutInstead(const std::string& key, std::string_view bytes,
                                 const std::string& etag);
  // Absent is fine.
  Status Remove(const std::string& key);
  // Those whose keys begin with `prefix`, in their order; stops at `each`'s error.
  Status List(const std::string& prefix, const std::function<Status(const S3Found&)>& each);
  // Whether there is one.
  Result<bool> HasAny(const std::string& prefix);
  // What follows `prefix` up to the next /, with it: the directories right below.
  Result<std::vector<std::string>> Directories(const std::string& prefix);

  // Uploads in parts (bucket_uploads.cpp): of 5 MiB to 5 GiB but for the last, 10,000 at most.
  // Nothing is visible before FinishUpload, which makes all of it visible at once.
  Result<std::string> StartUpload(const std::string& key);
  // Parts count from 1; a number that was sent before is replaced. The part's ETag.
  Result<std::string> PutPart(const std::string& key, const std::string& upload, std::size_t number,
                              const FileBody& file, const std::string& sha256);
  Result<std::string> CopyPart(const std::string& key, const std::string& upload,
                               std::size_t number, const std::string& from, std::uint64_t offset,
                               std::uint64_t bytes);
  // kNotFound also when it was finished before: then the object is there.
  Status FinishUpload(const std::string& key, const std::string& upload,
                      std::span<const std::string> etags);
  // Drops what has come; absent is fine.
  Status DropUpload(const std::string& key, const std::string& upload);
  Status ListUploads(const std::string& prefix,
                     const std::function<Status(const S3OpenUpload&)>& each);
  // The whole object under another key, copied by the server; it appears whole.
  Status Copy(const std::string& from, std::uint64_t bytes, const std::string& to);

  std::string ToString() const { return place_.ToString(); }

 private:
  S3Bucket(S3Options options, S3Prefix place)
      : options_(std::move(options)), place_(std::move(place)) {}
  // A connection of the pool, for one call.
  class Connection;
  S3Name NameOf(const std::string& key) const { return {place_.bucket, place_.prefix + key}; }
  bool PauseAfter(int failures);
  // A name without a key is the bucket.
  Result<HttpReply> Send(const S3Name& name, const S3Request& request, const HttpCall& call = {});
  // The same for one whose success is a 2xx; else what the answer says.
  Result<HttpReply> Ask(const S3Name& name, const S3Request& request, const HttpCall& call = {});
  Result<std::string> PutIf(const std::string& key, std::string_view bytes,
                            std::pair<std::string, std::string> condition, ErrorCode otherwise);
  // All pages of a list; `next` finds in one the parameters that ask for the one behind it.
  using PageQuery = std::vector<std::pair<std::string, std::string>>;
  Status Pages(PageQuery query, std::string_view root,
               const std::function<PageQuery(const XmlElement& page)>& next,
               const std::function<Status(const XmlElement&, std::int64_t now_us)>& each);
  // For requests whose answer may begin before it is known, and then tell an error with status 200.
  Result<XmlElement> AskForDocument(const std::string& key, const S3Request& request,
                                    std::string_view root);
  Status CopyParts(const std::string& from, std::uint64_t bytes, const std::string& to,
                   const std::string& upload);
  std::string KeyOf(const XmlElement& element) const;

  const S3Options options_;
  const S3Prefix place_;
  std::mutex mutex_;  // guards idle_
  std::vector<std::unique_ptr<S3Sender>> idle_;
};

}  // namespace skerry
