// Where each row of DiskRows goes: by hash, since they are not shuffled. The split of
// spark/README.md. Inside train.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "train/disk_rows.h"
#include "train/sampled_fit.h"
#include "train/trainer.h"

namespace skerry {

// 64 bits that follow from both, spread evenly.
std::uint64_t MixHash(std::uint64_t a, std::uint64_t b);

// Fills rows.side, and of `fit` the counts and the split's facts. kInvalidArgument: one group
// alone, or no row left on a side.
Status SplitOnDisk(const TrainOptions& options, DiskRows& rows, SampledFit& fit);

// The same hash for rows that must not be parted; of a split that was made.
std::uint64_t UnitOf(const DiskRows& rows, const SampledFit& fit, std::size_t row);

}  // namespace skerry
