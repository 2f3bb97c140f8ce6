#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace skerry {
namespace {

TEST(ForBlocks, TakesEachRowOnce) {
  for (const std::size_t rows :
       {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{1'000}}) {
    std::vector<int> taken(rows, 0);
    const Status status = ForBlocks(rows, 64, [&](std::size_t first, std::size_t count) -> Status {
      for (std::size_t row = first; row < first + count; ++row) ++taken[row];
      return {};
    });
    EXPECT_TRUE(status);
    EXPECT_EQ(taken, std::vector<int>(rows, 1));
  }
}

TEST(ForBlocks, ReturnsTheEarliestErrorAndBeginsNothingAfterIt) {
  std::atomic<std::size_t> begun{0};
  const Status status = ForBlocks(1'000'000, 1, [&](std::size_t first, std::size_t) -> Status {
    ++begun;
    if (first >= 10) return Fail(ErrorCode::kInternal, "row {}", first);
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(), "row 10");
  EXPECT_LT(begun, 1'000U);
}

}  // namespace
}  // namespace skerry
