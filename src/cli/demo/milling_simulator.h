// A milling machine's readings and failures, after the published rules of the AI4I 2020 predictive
// maintenance set. Source: S. Matzka, "Explainable Artificial Intelligence for Predictive
// Maintenance Applications", AI4I 2020; the rules with their numbers, and where this simulator
// fills a gap in them, are in src/cli/demo/README.md.
#pragma once

#include <cstdint>

#include "codec/columns.h"

namespace skerry {

struct MillingOptions {
  std::uint64_t seed = 1;
  std::size_t rows = 10'000;
};

// Columns: "Type" (L, M, H), "Air temperature [K]", "Process temperature [K]",
// "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]", "Machine failure" (0, 1), at the
// resolution of the published set. The same options give the same table on every platform.
Table SimulateMilling(const MillingOptions& options);

}  // namespace skerry
