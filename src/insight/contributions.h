// How much each feature's value moved a row's score: path-dependent TreeSHAP. Source: Lundberg,
// Erion, Lee 2018, "Consistent Individualized Feature Attribution for Tree Ensembles", algorithm 2,
// which is what XGBoost's pred_contribs is.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/row_batch.h"
#include "model/tree_ensemble.h"

namespace skerry {

// In log-odds of class 1. For every row, base + the sum of its values is the margin: the score is
// 1 / (1 + e^-margin).
struct Contributions {
  double base = 0;             // what is expected of a row of which nothing is known
  std::size_t features = 0;    // F, in the order of schema.features()
  std::vector<double> values;  // row-major [rows][F]

  std::span<const double> Row(std::size_t row) const {
    return std::span(values).subspan(row * features, features);
  }
};

// Adds one tree ensemble's contributions for `row` (one value a feature) to `values` (as many).
// Time: the sum over leaves of the square of their depth. Thread-safe.
void AddContributions(const TreeEnsemble& ensemble, std::span<const float> row,
                      std::span<double> values);

// Of every row of a batch. kUnimplemented, saying why, when the model is no tree ensemble with
// covers. Thread-safe for a frozen batch.
Result<Contributions> ExplainRows(const RowBatch& batch);

}  // namespace skerry
