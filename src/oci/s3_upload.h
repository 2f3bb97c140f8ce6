// One upload whose bytes go to an object of S3 in parts: what has come since the last whole part,
// and parts that are on their way, are files of this machine, so that it goes on at the byte after
// the process was killed, and after a power cut at what was synced.
//
// In the upload's directory: `data`, a JSON document with the parts that the server has ("upload",
// its id there; "etags"; "bytes"; "sealed": no more may come; "whole": they are one object), and
// tail-<number> for each part from then on. A part's record is written before its file goes.
// The object stands under uploads/<name of the directory>/data until Publish has the server copy it
// to its place. While one part is sent, the next one is written; a writer that is faster waits.
// Thread-safe. Owned by S3Uploads and those who write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/append_file.h"
#include "s3/bucket.h"

namespace skerry {

// Where the content of that digest stands: "blobs/sha256/ab/abcd...", as in files.
std::string BlobKey(const Digest& digest);

class S3Upload {
 public:
  S3Upload(S3Bucket& bucket, std::filesystem::path directory)
      : bucket_(&bucket), directory_(std::move(directory)) {}

  // Writes the empty document; durable.
  static Status Make(const std::filesystem::path& directory);
  // Reads what is there. kNotFound. To be called first, and alone.
  Status Load();

  // As of UploadBytes. kConflict for bytes behind a sealed end; kNotFound when the server has
  // dropped the upload. After an error it goes on where size() says.
  Status Write(std::string_view bytes);
  Status Sync();
  std::uint64_t size();

  // Of all bytes, which are sealed by it unless they are but a tail.
  Result<Digest> DigestOf(std::string_view algorithm);
  // Makes it the content of that digest, which the caller has verified; durable. Again is fine.
  Status Publish(const Digest& digest);
  // Drops what the server has; what cannot be dropped now is logged, and found by the collection.
  void Drop();
  // Nobody writes for now: closes the file.
  void Park();

 private:
  struct Part {
    std::size_t number;
    std::string sha256;
  };
  std::string Key() const;
  std::filesystem::path TailPath(std::size_t number) const;
  std::size_t TailNumber() const { return etags_.size() + waiting_.size() + 1; }
  Status LoadTails();
  Status Save() const;
  Status OpenTail();
  Status HandOver();
  // Sends the first of those that wait, on a thread of its own.
  Status StartSending();
  // Waits for the part on its way and records it.
  Status Settle();
  Status SendRest();
  Status SendTail();
  Status Complete();
  std::uint64_t Size() const;

  S3Bucket* const bucket_;
  const std::filesystem::path directory_;
  std::mutex mutex_;  // guards what follows
  std::string upload_{};
  std::vector<std::string> etags_{};
  std::uint64_t sent_bytes_ = 0;
  bool sealed_ = false;
  bool whole_ = false;
  std::deque<Part> waiting_{};  // whole parts that are not recorded; the first may be on its way
  std::optional<std::future<Result<std::string>>> sending_{};
  std::uint64_t tail_bytes_ = 0;
  std::optional<AppendFile> tail_{};      // open while somebody writes
  std::optional<DigestHasher> hasher_{};  // of the tail; absent: not known
  bool unsynced_name_ = false;            // of a tail
};

}  // namespace skerry
