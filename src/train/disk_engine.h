// Tables that memory should not hold, trained in this process: the rows go once from the files to a
// scratch file of float32 numbers beside `out`, and from there, block by block, into XGBoost's bins
// of quantiles (booster.h). In memory are about two bytes a cell and, with what XGBoost needs, 55
// bytes a row (measured: 3.7 GB of 50 million rows of 8 features); on disk four bytes a cell.
//
// The trees are of all training rows; figures, threshold, calibration, detector and card of at most
// SampledRows of them. The split is by a hash of the features, or of the group, with the seed; with
// a time column the latest rows are held out, and inner folds follow time. Rows that would be on
// two sides are left out. It is the split of spark/README.md.
#pragma once

#include "base/error.h"
#include "tabular/engine.h"
#include "train/trainer.h"

namespace skerry {

// Whether the table is one of those: options.from_disk, or more than limits::kWholeTableCells
// cells.
Result<bool> IsForDisk(TabularEngine& engine, const TrainOptions& options);

// As Train, whose checks have passed. Errors besides those of Train: kUnimplemented (held-out
// files), kResourceExhausted (no room beside `out`).
Result<TrainReport> TrainFromDisk(TabularEngine& engine, const TrainOptions& options);

}  // namespace skerry
