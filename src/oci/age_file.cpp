#include "oci/age_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace skerry {
namespace {

constexpr std::uint64_t kSealedChunk = kAgeChunkBytes + kAgeTagBytes;

std::uint64_t PlainBytesOf(std::uint64_t sealed_bytes) {
  const std::uint64_t chunks = (sealed_bytes + kSealedChunk - 1) / kSealedChunk;
  return sealed_bytes - std::min(sealed_bytes, chunks * kAgeTagBytes);
}

}  // namespace

AgeFile::AgeFile(std::filesystem::path path, const AgeHead& head, std::uint64_t file_bytes)
    : path_(std::move(path)),
      chunks_(head.chunks),
      head_bytes_(head.bytes.size()),
      sealed_bytes_(file_bytes - head.bytes.size()),
      size_(PlainBytesOf(sealed_bytes_)) {}

Result<std::shared_ptr<const AgeFile>> AgeFile::Open(const std::filesystem::path& path,
                                                     const AgeIdentity& identity) {
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path));
  SKERRY_ASSIGN_OR_RETURN(const std::string start, file.ReadAt(0, kAgeHeadBytes));
  SKERRY_ASSIGN_OR_RETURN(const AgeHead head, OpenAge(start, identity), path.string());
  return std::shared_ptr<const AgeFile>(new AgeFile(path, head, file.size()));
}

Status AgeFile::Read(std::uint64_t offset, std::uint64_t bytes,
                     const std::function<Status(std::string_view)>& sink) const {
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path_));
  const std::uint64_t end = offset >= size_ ? offset : offset + std::min(bytes, size_ - offset);
  while (offset < end) {
    const std::uint64_t number = offset / kAgeChunkBytes;
    const std::size_t skip = offset % kAgeChunkBytes;
    SKERRY_ASSIGN_OR_RETURN(const std::string plain, Chunk(file, number));
    if (plain.size() <= skip)
      return Fail(ErrorCode::kDataLoss, "{} is cut in chunk {}", path_.string(), number);
    const auto take =
        static_cast<std::size_t>(std::min<std::uint64_t>(plain.size() - skip, end - offset));
    SKERRY_RETURN_IF_ERROR(sink(std::string_view(plain).substr(skip, take)));
    offset += take;
  }
  return {};
}

Result<std::string> AgeFile::Chunk(const PlainFile& file, std::uint64_t number) const {
  const std::uint64_t at = number * kSealedChunk;
  const std::uint64_t left = sealed_bytes_ - std::min(sealed_bytes_, at);
  SKERRY_ASSIGN_OR_RETURN(
      const std::string sealed,
      file.ReadAt(head_bytes_ + at, std::min<std::uint64_t>(left, kSealedChunk)));
  const bool last = left <= kSealedChunk;
  auto plain = chunks_.Open(number, last, sealed);
  // A file that was cut between two chunks ends with one that is not its last.
  if (!plain && last && sealed.size() == kSealedChunk) plain = chunks_.Open(number, false, sealed);
  if (!plain) return Propagate(std::move(plain), path_.string());
  return plain;
}

Result<AgeAppendFile> AgeAppendFile::Create(const std::filesystem::path& path,
                                            const AgeRecipient& recipient) {
  SKERRY_ASSIGN_OR_RETURN(AgeHead head, BeginAge(recipient));
  SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path, AppendFile::Mode::kCreateNew));
  SKERRY_RETURN_IF_ERROR(file.Write(head.bytes));
  return AgeAppendFile(path, std::move(file), std::move(head));
}

Status AgeAppendFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (waiting_.size() == kAgeChunkBytes) {
      SKERRY_RETURN_IF_ERROR(file_.Write(head_.chunks.Seal(number_, false, waiting_)));
      ++number_;
      waiting_.clear();
    }
    const std::size_t take = std::min(bytes.size(), kAgeChunkBytes - waiting_.size());
    waiting_ += bytes.substr(0, take);
    bytes.remove_prefix(take);
  }
  return {};
}

Status AgeAppendFile::CutTo(std::uint64_t size) {
  // The chunk that is waiting may be full.
  const std::uint64_t number = std::min(number_, size / kAgeChunkBytes);
  const std::uint64_t at = head_.bytes.size() + number * kSealedChunk;
  if (number < number_) {
    SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path_));
    SKERRY_ASSIGN_OR_RETURN(const std::string sealed, file.ReadAt(at, kSealedChunk));
    SKERRY_ASSIGN_OR_RETURN(waiting_, head_.chunks.Open(number, false, sealed), path_.string());
    number_ = number;
  }
  // Also what a failed write has left of a chunk.
  std::error_code error;
  std::filesystem::resize_file(path_, at, error);
  if (error) return Fail(ErrorCode::kInternal, "cutting {}: {}", path_.string(), error.message());
  waiting_.resize(static_cast<std::size_t>(size - number * kAgeChunkBytes));
  return {};
}

Status AgeAppendFile::Close() { return file_.Write(head_.chunks.Seal(number_, true, waiting_)); }

}  // namespace skerry
