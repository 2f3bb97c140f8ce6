// Sums a tree ensemble over many rows with AVX-512: all 63 comparisons of a tree of depth six are
// made at once, four registers of sixteen, which is cheaper than the six that a walk needs, one
// waiting for the other. The walk is then over the bits of one word, eight rows side by side.
//
// Role: TreeRunner's way for several rows, where Fits and the machine has it. Immutable; any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace skerry {

// A tree of depth six with every node there: node 1 is the root, node i's children are 2 i where
// the comparison is false and 2 i + 1 where it is true, and leaf i stands for node 64 + i. A leaf
// that comes earlier is repeated below, under nodes whose threshold no value is below.
struct alignas(64) CompleteTree {
  static constexpr std::size_t kDepth = 6, kNodes = 64;
  std::array<float, kNodes> thresholds{};  // true: value < threshold
  std::array<std::int32_t, kNodes> columns{};
  std::array<float, kNodes> leaves{};
  std::uint64_t missing_true = 0;  // bit i: a missing value of node i counts as true
};

class TreeBits {
 public:
  static constexpr std::size_t kColumns = 32;  // at most

  static bool MachineHasIt();

  // Adds one leaf a tree to each row's sum, in the order of the trees, in float32. `rows`: float32
  // [sums.size(), columns]; `missing`: whether any value may be NaN.
  static void AddTo(std::span<const CompleteTree> trees, std::span<const float> rows,
                    std::size_t columns, bool missing, std::span<float> sums);
};

}  // namespace skerry
