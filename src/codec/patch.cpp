#include "codec/patch.h"

#include <zstd.h>

#include <utility>

#include "base/delta_limits.h"

namespace skerry {
namespace {

// docs/registry.md: on 16 MiB of weights level 19 takes twenty times as long as 12 and gains
// nothing; on trees of some 100 kB it takes a moment and gains a tenth over level 9.
constexpr int kLevelOfSmall = 19;
constexpr int kLevelOfLarge = 12;
constexpr std::size_t kSmallBytes = 4U << 20U;  // base and target together

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

Status CheckSize(std::string_view what, std::uint64_t bytes) {
  if (bytes <= limits::kDeltaLayerBytes) return {};
  return Fail(ErrorCode::kTooLarge, "a patch's {} has {} bytes, the limit is {} (kDeltaLayerBytes)",
              what, bytes, limits::kDeltaLayerBytes);
}

}  // namespace

Result<std::string> MakePatch(std::string_view base, std::string_view target) {
  SKERRY_RETURN_IF_ERROR(CheckSize("base", base.size()));
  SKERRY_RETURN_IF_ERROR(CheckSize("target", target.size()));
  const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (!context) return Fail(ErrorCode::kResourceExhausted, "no memory for a patch");
  const int level = base.size() + target.size() <= kSmallBytes ? kLevelOfSmall : kLevelOfLarge;
  std::size_t code = 0;
  for (const auto& [parameter, value] :
       {std::pair{ZSTD_c_compressionLevel, level}, std::pair{ZSTD_c_checksumFlag, 1},
        std::pair{ZSTD_c_windowLog, limits::kDeltaWindowLog},
        std::pair{ZSTD_c_enableLongDistanceMatching, 1}})
    if (ZSTD_isError(code) == 0) code = ZSTD_CCtx_setParameter(context.get(), parameter, value);
  if (ZSTD_isError(code) == 0 && !base.empty())
    code = ZSTD_CCtx_refPrefix(context.get(), base.data(), base.size());
  std::string patch(ZSTD_compressBound(target.size()), '\0');
  if (ZSTD_isError(code) == 0)
    code = ZSTD_compress2(context.get(), patch.data(), patch.size(), target.data(), target.size());
  if (ZSTD_isError(code) != 0)
    return Fail(ErrorCode::kInternal, "making a patch: {}", ZSTD_getErrorName(code));
  patch.resize(code);
  patch.shrink_to_fit();
  return patch;
}

void PatchDecoder::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

PatchDecoder::PatchDecoder(std::unique_ptr<ZSTD_DCtx_s, Free> context, std::uint64_t target_bytes,
                           Sink sink)
    : context_(std::move(context)),
      sink_(std::move(sink)),
      piece_(ZSTD_DStreamOutSize(), '\0'),
      target_bytes_(target_bytes) {}

Result<PatchDecoder> PatchDecoder::Create(std::string_view base, std::uint64_t target_bytes,
                                          Sink sink) {
  SKERRY_RETURN_IF_ERROR(CheckSize("base", base.size()));
  SKERRY_RETURN_IF_ERROR(CheckSize("target", target_bytes));
  std::unique_ptr<ZSTD_DCtx_s, Free> context(ZSTD_createDCtx());
  if (!context) return Fail(ErrorCode::kResourceExhausted, "no memory for a patch");
  std::size_t code =
      ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, limits::kDeltaWindowLog);
  if (ZSTD_isError(code) == 0 && !base.empty())
    code = ZSTD_DCtx_refPrefix(context.get(), base.data(), base.size());
  if (ZSTD_isError(code) != 0)
    return Fail(ErrorCode::kInternal, "preparing a patch: {}", ZSTD_getErrorName(code));
  return PatchDecoder(std::move(context), target_bytes, std::move(sink));
}

Status PatchDecoder::Feed(std::string_view piece) {
  ZSTD_inBuffer in{piece.data(), piece.size(), 0};
  bool more = true;  // may come out without anything going in
  while (in.pos < in.size || more) {
    if (ended_) {
      if (in.pos == in.size) return {};
      return Fail(ErrorCode::kDataLoss, "the patch goes on behind its end");
    }
    ZSTD_outBuffer out{piece_.data(), piece_.size(), 0};
    const std::size_t code = ZSTD_decompressStream(context_.get(), &out, &in);
    if (ZSTD_isError(code) != 0)
      return Fail(ErrorCode::kDataLoss, "no patch of this base: {}", ZSTD_getErrorName(code));
    if (out.pos > target_bytes_ - done_bytes_)
      return Fail(ErrorCode::kDataLoss, "the patch gives more than the {} bytes that are due",
                  target_bytes_);
    done_bytes_ += out.pos;
    if (out.pos > 0) SKERRY_RETURN_IF_ERROR(sink_({piece_.data(), out.pos}));
    ended_ = code == 0;
    more = out.pos == out.size;
  }
  return {};
}

Status PatchDecoder::Finish() const {
  if (!ended_) return Fail(ErrorCode::kDataLoss, "the patch is cut");
  if (done_bytes_ == target_bytes_) return {};
  return Fail(ErrorCode::kDataLoss, "the patch gives {} bytes instead of {}", done_bytes_,
              target_bytes_);
}

}  // namespace skerry
