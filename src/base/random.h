// Randomness: the kernel's for identities and secrets, a seeded generator for everything that has
// to come out the same twice (splits, training, simulation).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace skerry {

// Fills from getrandom(2). Aborts if the kernel refuses, since no identity could be trusted then.
void FillRandom(void* out, std::size_t size);

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number
// Generators"): each bit of the result depends on all bits of `value`. Not for secrets.
std::uint64_t MixBits(std::uint64_t value);
// 53 of the bits as a number in [0, 1).
double UnitInterval(std::uint64_t bits);

// xoshiro256** seeded through SplitMix64 (Blackman & Vigna 2018): the same numbers on every
// platform and standard library, which std:: distributions do not promise. Not for secrets.
class SeededRandom {
 public:
  explicit SeededRandom(std::uint64_t seed);

  std::uint64_t NextU64();
  // Uniform in [0, 1) with 53 bits.
  double NextDouble();
  // Uniform in [0, bound); bound > 0. Unbiased (Lemire 2019).
  std::uint64_t NextBelow(std::uint64_t bound);
  // Standard normal (Box-Muller, one value a call).
  double NextGaussian();
  // Exponential with mean 1.
  double NextExponential();
  // Poisson with this mean, >= 0: by multiplication (Knuth) up to 32; above, the normal
  // distribution of that mean and variance, rounded and cut off at 0 (the skew of 0.18 and less is
  // lost).
  std::uint64_t NextPoisson(double mean);

  template <typename T>
  void Shuffle(std::vector<T>& items) {  // Fisher-Yates
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[NextBelow(i)]);
  }

 private:
  std::uint64_t state_[4];
};

}  // namespace skerry
