// What an action makes of one value.
#include "policy/transform.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include "base/random.h"

namespace skerry {
namespace {

// By the shortest text itself.
double ByText(float value) {
  std::array<char, 64> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value);
  double number = 0;
  std::from_chars(text.data(), written.ptr, number);
  return number;
}

void ExpectDecimal(float value) {
  EXPECT_EQ(std::bit_cast<std::uint64_t>(Decimal(value)),
            std::bit_cast<std::uint64_t>(ByText(value)))
      << value;
}

TEST(Decimal, IsTheShortestTextsNumber) {
  EXPECT_EQ(Decimal(298.1F), 298.1);
  EXPECT_EQ(Decimal(16'777'216.0F), 16'777'216.0);
  for (const float value : {0.0F, -0.0F, 1e-45F, 3.4028235e38F, 0.1F, 9'999'999.0F, 8'388'609.0F,
                            8.589973e9F, 123'456'789.0F, 1e-7F, 0.0078125F})
    ExpectDecimal(value);
  SeededRandom random(11);
  for (int i = 0; i < 300'000; ++i) {
    const float any = std::bit_cast<float>(static_cast<std::uint32_t>(random.NextU64()));
    if (std::isfinite(any)) ExpectDecimal(any);
    // As sensors give them, and what is next to it.
    const double power = std::pow(10.0, static_cast<double>(random.NextBelow(9)));
    const auto sensed =
        static_cast<float>((static_cast<double>(random.NextBelow(20'000'000)) - 1e7) / power);
    ExpectDecimal(sensed);
    ExpectDecimal(std::nextafter(sensed, 1e30F));
  }
}

TEST(Decimal, WhatIsNoNumberStaysNone) {
  EXPECT_TRUE(std::isnan(Decimal(std::nanf(""))));
  EXPECT_EQ(Decimal(INFINITY), INFINITY);
  EXPECT_EQ(Decimal(-INFINITY), -INFINITY);
}

}  // namespace
}  // namespace skerry
