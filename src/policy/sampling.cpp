#include "policy/sampling.h"

#include "base/random.h"

namespace skerry {
namespace {

std::uint64_t BigEndian(const InstanceId& id, std::size_t from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = (value << 8U) | id.bytes()[from + i];
  return value;
}

}  // namespace

double SampleDraw(const RowId& row, RecordClass cls) {
  constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15U;
  std::uint64_t hash =
      MixBits(BigEndian(row.instance, 0) + kGamma * (1 + static_cast<unsigned>(cls)));
  hash = MixBits(hash ^ BigEndian(row.instance, 8));
  hash = MixBits(hash + kGamma * row.n);
  return UnitInterval(hash);
}

}  // namespace skerry
