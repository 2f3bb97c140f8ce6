#include "policy/sampling.h"

namespace skerry {
namespace {

// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", 2014).
std::uint64_t Mix(std::uint64_t value) {
  value ^= value >> 30U;
  value *= 0xbf58476d1ce4e5b9U;
  value ^= value >> 27U;
  value *= 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

std::uint64_t BigEndian(const InstanceId& id, std::size_t from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = (value << 8U) | id.bytes()[from + i];
  return value;
}

}  // namespace

double SampleDraw(const RowId& row, RecordClass cls) {
  constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15U;
  std::uint64_t hash = Mix(BigEndian(row.instance, 0) + kGamma * (1 + static_cast<unsigned>(cls)));
  hash = Mix(hash ^ BigEndian(row.instance, 8));
  hash = Mix(hash + kGamma * row.n);
  return static_cast<double>(hash >> 11U) * 0x1.0p-53;
}

}  // namespace skerry
