// Runs a package's graphs over a batch.
#pragma once

#include "base/error.h"
#include "model/row_batch.h"
#include "model/window_state.h"

namespace skerry {

// Takes the rows, in their order, up in the state of their package's windows, and fills
// batch.windows. Errors are those of WindowState::Take.
Status LookBack(RowBatch& batch, WindowState& state);

// Requires package, rows >= 1, features of rows * F values. Fills inputs, score,
// prediction, probabilities, anomaly_score and out_of_range as the package has them, reusing their
// capacity.
// Thread-safe for different batches; runs on the calling thread. kInvalidArgument when the features
// do not fit, kInternal when the runtime fails.
Status ScoreRows(RowBatch& batch);

}  // namespace skerry
