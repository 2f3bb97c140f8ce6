// Patches between byte strings: a zstd frame (RFC 8878) whose decoder has the base as a prefix, as
// `zstd --patch-from=BASE` makes and reads them. docs/formats/delta.md; ADR 0027.
//
// Nothing here says that a result is the right one: the caller compares its digest. The one adapter
// of libzstd. Memory: the base, which the caller holds, and a window of at most
// limits::kDeltaWindowLog.
//   SKERRY_ASSIGN_OR_RETURN(auto decoder, PatchDecoder::Create(base, layer.size, sink));
//   SKERRY_RETURN_IF_ERROR(ReadPieces(file, 0, [&](auto piece) { return decoder.Feed(piece); }));
//   SKERRY_RETURN_IF_ERROR(decoder.Finish());
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct ZSTD_DCtx_s;

namespace skerry {

// `target` in terms of `base`; an empty base makes a frame by itself. The same input gives the same
// bytes as long as libzstd is the same. kTooLarge when either is over limits::kDeltaLayerBytes.
Result<std::string> MakePatch(std::string_view base, std::string_view target);

class PatchDecoder {
 public:
  using Sink = std::function<Status(std::string_view)>;

  // `base` is borrowed. Exactly `target_bytes` go to `sink`, or an error comes. kTooLarge over
  // limits::kDeltaLayerBytes.
  static Result<PatchDecoder> Create(std::string_view base, std::uint64_t target_bytes, Sink sink);

  // The next piece of the patch. kDataLoss for what is no such patch: damaged, of more bytes than
  // are due, with a window over kDeltaWindowLog, or going on behind its end. What `sink` got until
  // then is worth nothing. Errors of `sink` come back as they are.
  Status Feed(std::string_view piece);
  // kDataLoss when the patch has not come to its end, or gives too few bytes.
  Status Finish() const;

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  PatchDecoder(std::unique_ptr<ZSTD_DCtx_s, Free> context, std::uint64_t target_bytes, Sink sink);

  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  Sink sink_;
  std::string piece_;  // room for what comes out
  std::uint64_t target_bytes_;
  std::uint64_t done_bytes_ = 0;
  bool ended_ = false;
};

}  // namespace skerry
