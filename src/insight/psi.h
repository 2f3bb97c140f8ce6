// Population stability index: how far a distribution has moved from the one seen in training.
#pragma once

#include <cstdint>
#include <span>

namespace skerry {

// PSI below this is quiet; from kPsiAlarm on it is an alarm; between them worth a look. The
// customary cut points of credit scoring (Siddiqi, Credit Risk Scorecards, 2006).
constexpr double kPsiQuiet = 0.1;
constexpr double kPsiAlarm = 0.2;

// sum over bins of (o_i - r_i) * ln(o_i / r_i), where r_i and o_i are the shares of the bin in the
// reference and in what was observed, each at least 1e-4 so that an empty bin stays finite. Bins
// past the shorter one's end count as empty. 0 when either side holds nothing.
double Psi(std::span<const std::uint64_t> reference, std::span<const std::uint64_t> observed);

}  // namespace skerry
