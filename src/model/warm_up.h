// Runs a loaded model before anyone waits for it, so that the first request does not pay for what
// the runtime puts off (memory arenas, packed weights).
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "model/package.h"

namespace skerry {

constexpr int kWarmUpRuns = 3;

// Runs each graph kWarmUpRuns times over one row of zeros, or empty texts: each free
// dimension is 1. Returns the last round's microseconds. The runtime's error when a graph does not
// take such a row, which says nothing against the model: few graphs promise to. Blocks.
Result<std::int64_t> WarmUp(const ModelPackage& package, const Clock& clock);

}  // namespace skerry
