// Uploads whose bytes go to a bucket of S3 while they come (s3_upload.h). What is known of one is
// kept while it lasts: a few hundred bytes, limits::kOpenUploads of them at most.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "oci/s3_upload.h"
#include "oci/upload_medium.h"

namespace skerry {

class S3Uploads final : public UploadMedium {
 public:
  explicit S3Uploads(S3Bucket& bucket) : bucket_(&bucket) {}

  Status Make(const std::filesystem::path& upload) override { return S3Upload::Make(upload); }
  Result<std::unique_ptr<UploadBytes>> Open(const std::filesystem::path& upload) override;
  Result<std::uint64_t> SyncedSize(const std::filesystem::path& upload) override;
  Result<Digest> DigestOf(const std::filesystem::path& upload, UploadBytes& bytes,
                          std::string_view algorithm) override;
  Status Publish(const std::filesystem::path& upload, UploadBytes& bytes,
                 const Digest& digest) override;
  void Drop(const std::filesystem::path& upload) override;
  Result<std::uint64_t> Sweep(const std::filesystem::path& uploads,
                              std::chrono::seconds age) override;

 private:
  Result<std::shared_ptr<S3Upload>> Of(const std::filesystem::path& upload);

  S3Bucket* const bucket_;
  std::mutex mutex_;  // guards uploads_
  std::map<std::string, std::shared_ptr<S3Upload>> uploads_;
};

}  // namespace skerry
