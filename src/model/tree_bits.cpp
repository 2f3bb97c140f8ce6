#include "model/tree_bits.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
// GCC's own header, not this file: GCC bug 105593.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace skerry {

#if defined(__x86_64__)

namespace {

constexpr std::size_t kBlock = 16;        // rows whose sums are one register
constexpr std::size_t kRowsAtOnce = 256;  // which stay in the first cache while the trees pass

// Which of `count` lanes there are.
constexpr std::uint32_t Lanes(std::size_t count) {
  return count >= 16 ? 0xFFFFU : (1U << count) - 1;
}

#define SKERRY_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

struct Registers {
  __m512 thresholds[4];  // NOLINT(modernize-avoid-c-arrays): a register has no place in std::array
  __m512i columns[4];    // NOLINT(modernize-avoid-c-arrays)
};

// Bit i: the comparison of node i is true for this row.
template <bool kMissing, bool kWide>
SKERRY_AVX512 inline std::uint64_t Compare(const Registers& tree, std::uint64_t missing_true,
                                           const float* row, std::size_t columns) {
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(Lanes(columns)), row);
  __m512 high = low;
  if constexpr (kWide)
    high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(Lanes(columns - 16)), row + 16);
  __mmask16 less[4];  // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    const __m512 value = kWide ? _mm512_permutex2var_ps(low, tree.columns[part], high)
                               : _mm512_permutexvar_ps(tree.columns[part], low);
    less[part] = _mm512_cmp_ps_mask(value, tree.thresholds[part], _CMP_LT_OQ);
    if constexpr (kMissing)
      less[part] |= static_cast<__mmask16>(_mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q) &
                                           (missing_true >> (16 * part)));
  }
  return _cvtmask64_u64(
      _mm512_kunpackd(_mm512_kunpackw(less[3], less[2]), _mm512_kunpackw(less[1], less[0])));
}

// Of eight rows' bits the node of the leaf that each ends at, 64 to 127.
SKERRY_AVX512 inline __m512i Walk(__m512i bits) {
  const __m512i one = _mm512_set1_epi64(1);
  __m512i at = one;
#pragma GCC unroll 6
  for (std::size_t level = 0; level < CompleteTree::kDepth; ++level) {
    const __m512i bit = _mm512_and_si512(_mm512_srlv_epi64(bits, at), one);
    at = _mm512_or_si512(_mm512_add_epi64(at, at), bit);
  }
  return at;
}

template <bool kMissing, bool kWide>
SKERRY_AVX512 void AddTree(const CompleteTree& tree, std::span<const float> rows,
                           std::size_t columns, std::span<float> sums) {
  Registers registers{};
  __m512 leaves[4];   // NOLINT(modernize-avoid-c-arrays)
#pragma GCC unroll 4  // so that each has a register of its own
  for (std::size_t part = 0; part < 4; ++part) {
    registers.thresholds[part] = _mm512_load_ps(tree.thresholds.data() + 16 * part);
    registers.columns[part] = _mm512_load_si512(tree.columns.data() + 16 * part);
    leaves[part] = _mm512_load_ps(tree.leaves.data() + 16 * part);
  }
  const __m512i upper_half = _mm512_set1_epi32(32);
  alignas(64) std::array<std::uint64_t, kBlock> bits{};
  for (std::size_t first = 0; first < sums.size(); first += kBlock) {
    const std::size_t count = std::min(kBlock, sums.size() - first);
    const float* row = rows.data() + first * columns;
    for (std::size_t i = 0; i < count; ++i, row += columns)
      bits[i] = Compare<kMissing, kWide>(registers, tree.missing_true, row, columns);
    const __m512i at = _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm512_cvtepi64_epi32(Walk(_mm512_load_si512(bits.data())))),
        _mm512_cvtepi64_epi32(Walk(_mm512_load_si512(bits.data() + 8))), 1);
    // Five bits of the index choose among two registers, the sixth among the pairs.
    const __m512 leaf = _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, upper_half),
                                             _mm512_permutex2var_ps(leaves[0], at, leaves[1]),
                                             _mm512_permutex2var_ps(leaves[2], at, leaves[3]));
    const auto lanes = static_cast<__mmask16>(Lanes(count));
    float* const sum = sums.data() + first;
    _mm512_mask_storeu_ps(sum, lanes, _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, sum), leaf));
  }
}

}  // namespace

bool TreeBits::MachineHasIt() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

void TreeBits::AddTo(std::span<const CompleteTree> trees, std::span<const float> rows,
                     std::size_t columns, bool missing, std::span<float> sums) {
  const bool wide = columns > 16;
  const auto add = missing ? (wide ? &AddTree<true, true> : &AddTree<true, false>)
                           : (wide ? &AddTree<false, true> : &AddTree<false, false>);
  for (std::size_t first = 0; first < sums.size(); first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, sums.size() - first);
    for (const CompleteTree& tree : trees)
      add(tree, rows.subspan(first * columns, count * columns), columns,
          sums.subspan(first, count));
  }
}

#else

bool TreeBits::MachineHasIt() { return false; }
void TreeBits::AddTo(std::span<const CompleteTree>, std::span<const float>, std::size_t, bool,
                     std::span<float>) {}

#endif

}  // namespace skerry
