#include "oci/file_uploads.h"

#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class FileBytes final : public UploadBytes {
 public:
  explicit FileBytes(AppendFile file) : file_(std::move(file)) {}
  Status Write(std::string_view bytes) override { return file_.Write(bytes); }
  Status Sync() override { return file_.Sync(); }
  std::uint64_t size() const override { return file_.size(); }

 private:
  AppendFile file_;
};

}  // namespace

Status FileUploads::Make(const fs::path& upload) { return WriteFileDurably(upload / "data", ""); }

Result<std::unique_ptr<UploadBytes>> FileUploads::Open(const fs::path& upload) {
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(upload / "data", AppendFile::Mode::kExisting));
  return std::make_unique<FileBytes>(std::move(file));
}

Result<std::uint64_t> FileUploads::SyncedSize(const fs::path& upload) {
  SKERRY_RETURN_IF_ERROR(SyncFile(upload / "data"));
  std::error_code error;
  const std::uintmax_t size = fs::file_size(upload / "data", error);
  if (error) return Fail(ErrorCode::kNotFound, "there is no upload {}", upload.filename().string());
  return size;
}

Result<Digest> FileUploads::DigestOf(const fs::path& upload, UploadBytes&,
                                     std::string_view algorithm) {
  SKERRY_ASSIGN_OR_RETURN(const FileDigest facts, DigestFile(upload / "data", algorithm));
  return facts.digest;
}

Status FileUploads::Publish(const fs::path& upload, UploadBytes&, const Digest& digest) {
  return blobs_->Adopt(upload / "data", digest);
}

}  // namespace skerry
