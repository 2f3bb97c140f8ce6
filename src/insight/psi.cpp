#include "insight/psi.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace skerry {
namespace {

constexpr double kLeastShare = 1e-4;

double Share(std::span<const std::uint64_t> counts, std::size_t bin, double total) {
  const double count = bin < counts.size() ? static_cast<double>(counts[bin]) : 0;
  return std::max(count / total, kLeastShare);
}

double Total(std::span<const std::uint64_t> counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
}

}  // namespace

double Psi(std::span<const std::uint64_t> reference, std::span<const std::uint64_t> observed) {
  const double reference_total = Total(reference);
  const double observed_total = Total(observed);
  if (reference_total == 0 || observed_total == 0) return 0;
  double psi = 0;
  for (std::size_t bin = 0; bin < std::max(reference.size(), observed.size()); ++bin) {
    const double expected = Share(reference, bin, reference_total);
    const double found = Share(observed, bin, observed_total);
    psi += (found - expected) * std::log(found / expected);
  }
  return psi;
}

}  // namespace skerry
