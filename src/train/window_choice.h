// The window features of a training: which there are, and what they are of each row of a table.
//
// All six statistics of every number feature (or of those that are named) over each length, and its
// value one row before and as many rows before as each length: nothing is chosen by the label. They
// look at a row itself and at earlier rows of its entity, at features alone: so a table's rows get
// theirs before they are split, as they would in operation.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/schema.h"
#include "train/matrix.h"

namespace skerry {

struct TrainOptions;

struct WindowOptions {
  std::string entity{};                // a column; empty: no windows
  std::vector<std::size_t> rows{};     // lengths
  std::vector<std::string> columns{};  // of numbers; empty: every number feature

  // "machine:5,30": what stands behind the last colon are lengths.
  static Result<WindowOptions> Parse(std::string_view text);
  Json ToJson() const;
};

// Before any data is read. kInvalidArgument: no time column, columns without windows, an anomaly
// detector. kUnimplemented: rows on Spark.
Status CheckWindows(const TrainOptions& options);

// Puts them into the schema of a table of so many rows, where options ask for them.
// kInvalidArgument: entity or time are not carried, a column that is no number feature; kTooLarge
// over kWindowFeatures, or over kWholeTableCells numbers in all.
Status ChooseWindows(const TrainOptions& options, std::size_t rows, ModelSchema& schema);

// The schema's window features [rows][W] of a table with these features, in the order of its time
// column, rows of one time in their own; no columns where it has none. kInvalidArgument: a column
// that is not there, a blank time.
Result<FeatureMatrix> WindowsOf(const Table& table, const ModelSchema& schema,
                                const FeatureMatrix& features);

}  // namespace skerry
