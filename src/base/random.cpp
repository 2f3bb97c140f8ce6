#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <numbers>

namespace skerry {
namespace {

std::uint64_t RotateLeft(std::uint64_t x, unsigned k) { return (x << k) | (x >> (64U - k)); }

std::uint64_t SplitMix64(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15U;
  return MixBits(state);
}

}  // namespace

void FillRandom(void* out, std::size_t size) {
  auto* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) std::abort();
    at += got;
    size -= static_cast<std::size_t>(got);
  }
}

std::uint64_t MixBits(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

double UnitInterval(std::uint64_t bits) { return static_cast<double>(bits >> 11U) * 0x1.0p-53; }

SeededRandom::SeededRandom(std::uint64_t seed) : state_{} {
  for (auto& word : state_) word = SplitMix64(seed);
}

std::uint64_t SeededRandom::NextU64() {
  const std::uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

double SeededRandom::NextDouble() { return UnitInterval(NextU64()); }

std::uint64_t SeededRandom::NextBelow(std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t threshold = (0 - bound) % bound;
  while (true) {
    const Wide product = static_cast<Wide>(NextU64()) * bound;
    if (static_cast<std::uint64_t>(product) >= threshold)
      return static_cast<std::uint64_t>(product >> 64U);
  }
}

double SeededRandom::NextGaussian() {
  const double radius = std::sqrt(2.0 * NextExponential());
  return radius * std::cos(2.0 * std::numbers::pi * NextDouble());
}

double SeededRandom::NextExponential() { return -std::log1p(-NextDouble()); }

std::uint64_t SeededRandom::NextPoisson(double mean) {
  constexpr double kMultiplied = 32;
  if (mean > kMultiplied) {
    const double drawn = std::round(mean + std::sqrt(mean) * NextGaussian());
    return drawn > 0 ? static_cast<std::uint64_t>(drawn) : 0;
  }
  const double end = std::exp(-mean);
  std::uint64_t count = 0;
  double product = NextDouble();
  while (product > end) {
    product *= NextDouble();
    ++count;
  }
  return count;
}

}  // namespace skerry
