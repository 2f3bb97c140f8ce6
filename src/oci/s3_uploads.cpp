#include "oci/s3_uploads.h"

#include <set>
#include <utility>
#include <vector>

#include "base/log.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class S3Bytes final : public UploadBytes {
 public:
  explicit S3Bytes(std::shared_ptr<S3Upload> upload) : upload_(std::move(upload)) {}
  ~S3Bytes() override { upload_->Park(); }
  S3Bytes(const S3Bytes&) = delete;
  S3Bytes& operator=(const S3Bytes&) = delete;
  Status Write(std::string_view bytes) override { return upload_->Write(bytes); }
  Status Sync() override { return upload_->Sync(); }
  std::uint64_t size() const override { return upload_->size(); }

 private:
  const std::shared_ptr<S3Upload> upload_;
};

// uploads/<id>/data
std::string IdOf(const std::string& key) {
  const std::size_t first = key.find('/') + 1;
  return key.substr(first, key.find('/', first) - first);
}

}  // namespace

Result<std::shared_ptr<S3Upload>> S3Uploads::Of(const fs::path& upload) {
  const std::string id = upload.filename().string();
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = uploads_.find(id); found != uploads_.end()) return found->second;
  }
  // Calls for one upload come one at a time, so nobody else loads it.
  auto loaded = std::make_shared<S3Upload>(*bucket_, upload);
  SKERRY_RETURN_IF_ERROR(loaded->Load());
  const std::lock_guard lock(mutex_);
  return uploads_.emplace(id, std::move(loaded)).first->second;
}

Result<std::unique_ptr<UploadBytes>> S3Uploads::Open(const fs::path& upload) {
  SKERRY_ASSIGN_OR_RETURN(std::shared_ptr<S3Upload> found, Of(upload));
  return std::make_unique<S3Bytes>(std::move(found));
}

Result<std::uint64_t> S3Uploads::SyncedSize(const fs::path& upload) {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<S3Upload> found, Of(upload));
  SKERRY_RETURN_IF_ERROR(found->Sync());
  return found->size();
}

Result<Digest> S3Uploads::DigestOf(const fs::path& upload, UploadBytes&,
                                   std::string_view algorithm) {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<S3Upload> found, Of(upload));
  return found->DigestOf(algorithm);
}

Status S3Uploads::Publish(const fs::path& upload, UploadBytes&, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<S3Upload> found, Of(upload));
  return found->Publish(digest);
}

void S3Uploads::Drop(const fs::path& upload) {
  const auto found = Of(upload);
  if (!found) {
    LogWarning("an upload cannot be read, its bytes are the collection's upload={} reason={}",
               upload.string(), found.error().message());
    return;
  }
  (*found)->Drop();
  const std::lock_guard lock(mutex_);
  uploads_.erase(upload.filename().string());
}

Result<std::uint64_t> S3Uploads::Sweep(const fs::path& uploads, std::chrono::seconds age) {
  std::vector<S3OpenUpload> open;
  std::set<std::string> orphans;
  const auto is_orphan = [&](const std::string& key, std::chrono::seconds its_age) {
    std::error_code error;
    return its_age > age && !fs::exists(uploads / IdOf(key), error) && !error;
  };
  SKERRY_RETURN_IF_ERROR(bucket_->ListUploads("uploads/", [&](const S3OpenUpload& one) -> Status {
    if (is_orphan(one.key, one.age)) open.push_back(one);
    return {};
  }));
  // Those of copies to a blob's place that were cut off. One under way is younger by far.
  SKERRY_RETURN_IF_ERROR(bucket_->ListUploads("blobs/", [&](const S3OpenUpload& one) -> Status {
    if (one.age > age) open.push_back(one);
    return {};
  }));
  SKERRY_RETURN_IF_ERROR(bucket_->List("uploads/", [&](const S3Found& one) -> Status {
    if (is_orphan(one.key, one.age)) orphans.insert(one.key);
    return {};
  }));
  for (const S3OpenUpload& one : open)
    SKERRY_RETURN_IF_ERROR(bucket_->DropUpload(one.key, one.upload));
  for (const std::string& key : orphans) SKERRY_RETURN_IF_ERROR(bucket_->Remove(key));
  return open.size() + orphans.size();
}

}  // namespace skerry
