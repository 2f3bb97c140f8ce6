// Limits of deltas between layers (ADR 0027); beside limits.h, by the same rules.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// The largest layer that goes as a patch, and the largest that one is made against: larger ones go
// whole. A site holds the base and the window at once, so twice as much for as long as it takes.
constexpr std::size_t kDeltaLayerBytes = 16U << 20U;
constexpr int kDeltaWindowLog = 24;  // of zstd: the window that a patch may ask for, 16 MiB
// A layer is sent as a patch when that is so much smaller, for what it costs to be told of it.
constexpr std::size_t kDeltaLeastGainBytes = 256;
constexpr std::size_t kDeltaHolds = 16;     // packages that a site names as bases
constexpr std::size_t kDeltaQueue = 64;     // that wait to be made; beyond it layers go whole
constexpr std::size_t kDeltasKept = 4'096;  // at the hub
constexpr std::uint64_t kDeltasKeptBytes = std::uint64_t{2} << 30U;
constexpr std::size_t kDeltaRequestBytes = 16U << 10U;
// That a site waits for one to be made, asking so often; then layers go whole.
constexpr std::chrono::seconds kDeltaPatience{60};
constexpr std::chrono::milliseconds kDeltaLook{500};
constexpr std::size_t kRefusedPatches = 256;  // remembered by a site, not to be fetched again

}  // namespace skerry::limits
