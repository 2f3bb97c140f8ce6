// Uploads whose bytes are one file, `data`; it becomes the blob by a rename.
#pragma once

#include "oci/file_blob_store.h"
#include "oci/upload_medium.h"

namespace skerry {

class FileUploads final : public UploadMedium {
 public:
  // Of the same directory as the uploads.
  explicit FileUploads(FileBlobStore& blobs) : blobs_(&blobs) {}

  Status Make(const std::filesystem::path& upload) override;
  Result<std::unique_ptr<UploadBytes>> Open(const std::filesystem::path& upload) override;
  Result<std::uint64_t> SyncedSize(const std::filesystem::path& upload) override;
  Result<Digest> DigestOf(const std::filesystem::path& upload, UploadBytes& bytes,
                          std::string_view algorithm) override;
  Status Publish(const std::filesystem::path& upload, UploadBytes& bytes,
                 const Digest& digest) override;
  void Drop(const std::filesystem::path&) override {}
  Result<std::uint64_t> Sweep(const std::filesystem::path&, std::chrono::seconds) override {
    return 0;
  }

 private:
  FileBlobStore* const blobs_;
};

}  // namespace skerry
