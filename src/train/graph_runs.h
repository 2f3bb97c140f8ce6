// What graphs answer to whole tables, some thousand rows at a time on all cores.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/package.h"
#include "model/session.h"
#include "train/matrix.h"

namespace skerry {

// The float32 output `output` [N, out_columns], for every row, row-major. `rows` has the graph's
// columns.
Result<std::vector<float>> RunWholeGraph(const OnnxSession& session, const FeatureMatrix& rows,
                                         std::string_view output, std::size_t out_columns);

// The package's predictor on rows of its features, for every row, row-major.
Result<std::vector<float>> RunPredictor(const ModelPackage& package, const LabelledRows& rows);

// What the package answers, as LabelledRows::outputs says: of a binary task P(class 1).
Result<std::vector<float>> OutputsOf(const ModelPackage& package, const LabelledRows& rows);

// Column `column` of the float32 output `output` [N, out_columns], for every row.
Result<std::vector<float>> RunGraph(const OnnxSession& session, const FeatureMatrix& rows,
                                    std::string_view output, std::size_t out_columns,
                                    std::size_t column);

}  // namespace skerry
