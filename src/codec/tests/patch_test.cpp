#include "codec/patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "base/delta_limits.h"
#include "codec/tests/noise.h"

namespace skerry {
namespace {

using testing::HasSubstr;

// Like a retrained layer: long runs stay, some bytes differ, something is inserted.
std::string Changed(std::string text, unsigned seed) {
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < text.size() / 100; ++i)
    text[random() % text.size()] = static_cast<char>(random());
  text.insert(text.size() / 3, Noise(500, seed));
  return text;
}

// In pieces of `step` bytes.
Result<std::string> Apply(std::string_view base, std::string_view patch, std::uint64_t bytes,
                          std::size_t step = 1'000) {
  std::string out;
  SKERRY_ASSIGN_OR_RETURN(PatchDecoder decoder,
                          PatchDecoder::Create(base, bytes, [&](std::string_view piece) -> Status {
                            out += piece;
                            return {};
                          }));
  for (std::size_t i = 0; i < patch.size(); i += step)
    SKERRY_RETURN_IF_ERROR(decoder.Feed(patch.substr(i, step)));
  SKERRY_RETURN_IF_ERROR(decoder.Finish());
  return out;
}

std::string Refusal(std::string_view base, std::string_view patch, std::uint64_t bytes) {
  const auto out = Apply(base, patch, bytes);
  return out ? "taken" : out.error().message();
}

TEST(PatchTest, GivesTheTargetBackInPiecesOfAnySize) {
  for (const std::size_t bytes : {0U, 1U, 1'000U, 300'000U}) {
    const std::string base = Noise(bytes, 1);
    const std::string target = bytes < 10 ? base + "x" : Changed(base, 2);
    const std::string patch = MakePatch(base, target).value();
    for (const std::size_t step : {1U, 777U, 1'000'000U})
      EXPECT_EQ(Apply(base, patch, target.size(), step).value(), target);
    if (bytes == 300'000) {
      EXPECT_LT(patch.size(), target.size() / 10);
    }
  }
}

TEST(PatchTest, WithoutABaseItIsAPlainFrame) {
  const std::string target(100'000, 'a');
  const std::string patch = MakePatch("", target).value();
  EXPECT_LT(patch.size(), 100U);
  EXPECT_EQ(Apply("", patch, target.size()).value(), target);
}

TEST(PatchTest, AnEmptyTargetHasAPatchToo) {
  const std::string patch = MakePatch("base", "").value();
  EXPECT_EQ(Apply("base", patch, 0).value(), "");
}

// Whatever is done to a patch, it is refused, or gives exactly what was packed.
TEST(PatchTest, DamagedPatchNeverGivesOtherBytes) {
  const std::string base = Noise(20'000, 3);
  const std::string target = Changed(base, 4);
  const std::string patch = MakePatch(base, target).value();
  for (std::size_t cut = 0; cut < patch.size(); ++cut)
    EXPECT_FALSE(Apply(base, patch.substr(0, cut), target.size())) << cut;
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < patch.size() * 8; ++bit) {
    std::string flipped = patch;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const auto out = Apply(base, flipped, target.size());
    refused += out ? 0 : 1;
    if (out) {
      EXPECT_EQ(*out, target) << bit;
    }
  }
  // Some bits of a header mean nothing to the decoder.
  EXPECT_GT(refused, patch.size() * 8 * 99 / 100);
  EXPECT_THAT(Refusal(base, patch.substr(0, patch.size() - 1), target.size()), HasSubstr("cut"));
  EXPECT_THAT(Refusal(base, patch + "x", target.size()), HasSubstr("behind its end"));
  EXPECT_THAT(Refusal(base, patch + patch, target.size()), HasSubstr("behind its end"));
  EXPECT_FALSE(Apply(base, Noise(5'000, 5), target.size())) << "noise is no patch";
  EXPECT_THAT(Refusal(base, "", target.size()), HasSubstr("cut"));
}

TEST(PatchTest, AnotherBaseIsRefused) {
  const std::string base = Noise(50'000, 6);
  const std::string target = Changed(base, 7);
  const std::string patch = MakePatch(base, target).value();
  EXPECT_FALSE(Apply(Noise(50'000, 8), patch, target.size()));
  EXPECT_FALSE(Apply(base.substr(0, 10'000), patch, target.size()));
  EXPECT_FALSE(Apply("", patch, target.size()));
}

TEST(PatchTest, BombEndsAtTheBytesThatAreDue) {
  const std::string bomb = MakePatch("", std::string(limits::kDeltaLayerBytes, '\0')).value();
  ASSERT_LT(bomb.size(), 10'000U);
  std::uint64_t given = 0;
  PatchDecoder decoder = PatchDecoder::Create("", 1'000, [&](std::string_view piece) -> Status {
                           given += piece.size();
                           return {};
                         }).value();
  const Status fed = decoder.Feed(bomb);
  ASSERT_FALSE(fed);
  EXPECT_THAT(fed.error().message(), HasSubstr("more than the 1000 bytes"));
  EXPECT_LE(given, 1'000U);
  EXPECT_THAT(Refusal("", MakePatch("", "few").value(), 1'000), HasSubstr("instead of 1000"));
}

TEST(PatchTest, LargerWindowThanTheLimitIsRefused) {
  // A frame without its size, so that its window is what its header says.
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, limits::kDeltaWindowLog + 1);
  const std::string content(10'000, 'a');
  std::string frame(1'000, '\0');
  ZSTD_inBuffer in{content.data(), content.size(), 0};
  ZSTD_outBuffer out{frame.data(), frame.size(), 0};
  while (in.pos < in.size) ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
  ASSERT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0U);
  ZSTD_freeCCtx(context);
  frame.resize(out.pos);
  EXPECT_THAT(Refusal("", frame, content.size()), HasSubstr("too much memory"));
}

TEST(PatchTest, LayersOverTheLimitHaveNone) {
  const std::string large(limits::kDeltaLayerBytes + 1, 'a');
  EXPECT_EQ(MakePatch("", large).error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(MakePatch(large, "").error().code(), ErrorCode::kTooLarge);
  const auto sink = [](std::string_view) -> Status { return {}; };
  EXPECT_EQ(PatchDecoder::Create("", large.size(), sink).error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(PatchDecoder::Create(large, 1, sink).error().code(), ErrorCode::kTooLarge);
}

TEST(PatchTest, TheLargestLayersFit) {
  const std::string base = Noise(limits::kDeltaLayerBytes - 500, 9);
  const std::string target =
      base.substr(0, base.size() / 2) + Noise(500, 10) + base.substr(base.size() / 2);
  ASSERT_EQ(target.size(), limits::kDeltaLayerBytes);
  const std::string patch = MakePatch(base, target).value();
  EXPECT_LT(patch.size(), 10'000U);
  EXPECT_EQ(Apply(base, patch, target.size(), 1U << 16U).value(), target);
}

}  // namespace
}  // namespace skerry
