#include "image/gzip_file.h"

#include <zlib.h>

#include <array>
#include <utility>

#include "oci/append_file.h"

namespace skerry {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip
constexpr int kMemoryLevel = 8;       // zlib's default
constexpr std::size_t kPieceBytes = 64U << 10U;

}  // namespace

struct GzipFile::Impl {
  explicit Impl(AppendFile out) : file(std::move(out)) {
    // Without deflateSetHeader zlib writes no time, no name and the system "Unix".
    ready = deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemoryLevel,
                         Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Impl() { deflateEnd(&stream); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status Deflate(int flush) {
    if (!ready) return Fail(ErrorCode::kInternal, "zlib could not be set up");
    int code = Z_OK;
    do {
      stream.next_out = piece.data();
      stream.avail_out = static_cast<uInt>(piece.size());
      code = deflate(&stream, flush);
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return Fail(ErrorCode::kInternal, "zlib failed with code {}", code);
      const std::string_view made(reinterpret_cast<const char*>(piece.data()),
                                  piece.size() - stream.avail_out);
      written.Update(made);
      SKERRY_RETURN_IF_ERROR(file.Write(made));
    } while (stream.avail_out == 0 || (flush == Z_FINISH && code != Z_STREAM_END));
    return {};
  }

  AppendFile file;
  z_stream stream{};
  bool ready = false;
  std::array<Bytef, kPieceBytes> piece{};
  DigestHasher content, written;
  Digests digests;
};

GzipFile::GzipFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GzipFile::GzipFile(GzipFile&&) noexcept = default;
GzipFile::~GzipFile() = default;

Result<GzipFile> GzipFile::Create(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path, AppendFile::Mode::kCreateNew));
  return GzipFile(std::make_unique<Impl>(std::move(file)));
}

Status GzipFile::Write(std::string_view bytes) {
  impl_->content.Update(bytes);
  while (!bytes.empty()) {
    const std::string_view some = bytes.substr(0, std::size_t{1} << 30U);
    // The library takes a mutable pointer for what it only reads.
    impl_->stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(some.data()));
    impl_->stream.avail_in = static_cast<uInt>(some.size());
    SKERRY_RETURN_IF_ERROR(impl_->Deflate(Z_NO_FLUSH));
    bytes.remove_prefix(some.size());
  }
  return {};
}

Status GzipFile::Finish() {
  impl_->stream.next_in = nullptr;
  impl_->stream.avail_in = 0;
  SKERRY_RETURN_IF_ERROR(impl_->Deflate(Z_FINISH));
  impl_->digests = {impl_->content.Finish(), impl_->written.Finish(), impl_->file.size()};
  return {};
}

const GzipFile::Digests& GzipFile::digests() const { return impl_->digests; }

}  // namespace skerry
