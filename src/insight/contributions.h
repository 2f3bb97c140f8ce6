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

// For every row, base + the sum of its values is the margin. Binary: in log-odds of class 1, the
// score is 1 / (1 + e^-margin). Multiclass: of the class that is predicted. Regression: the value,
// or its logarithm.
struct Contributions {
  std::vector<double> bases;   // by row: what is expected of one of which nothing is known
  std::size_t features = 0;    // F + D, in the order of schema.input_names()
  std::vector<double> values;  // row-major [rows][F + D]; a derived feature has its own share

  std::span<const double> Row(std::size_t row) const {
    return std::span(values).subspan(row * features, features);
  }
};

// Adds one tree ensemble's contributions to `output` for `row` (one value a feature) to `values`
// (as many). Time: the sum over leaves of the square of their depth. Thread-safe.
void AddContributions(const TreeEnsemble& ensemble, std::span<const float> row, std::size_t output,
                      std::span<double> values);

// kUnimplemented, saying why, when the package's model is no tree ensemble with covers: then none
// of its rows can be explained.
Status CheckExplained(const ModelPackage& package);

// Of every row of a scored batch, whose package CheckExplained takes. Thread-safe for a frozen
// batch. kInvalidArgument for a batch of several classes that was not scored.
Result<Contributions> ExplainRows(const RowBatch& batch);

}  // namespace skerry
