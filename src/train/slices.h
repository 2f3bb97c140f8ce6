// How good a model is on parts of the rows: by the categories of a column, or the quarters of its
// numbers. A mean hides a part that fails.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "codec/json.h"
#include "model/schema.h"
#include "train/matrix.h"
#include "train/task_metrics.h"

namespace skerry {

struct JudgedRows;
struct JudgedFigures;

// A column that rows are parted by.
struct SliceColumn {
  std::string column{};                // the name in the data
  std::vector<std::string> groups{};   // in order
  std::vector<std::uint32_t> group{};  // by row: index of its group
  bool by_quarters = false;            // of its numbers
};

// Where the values are: features from the matrix, any other column from the table.
struct SliceSource {
  const ModelSchema* schema = nullptr;
  const FeatureMatrix* features = nullptr;  // of the judged rows
  const Table* table = nullptr;             // null: there are the features alone (Spark)
  std::span<const std::size_t> rows{};      // of the table, that are judged
};

// The columns in `asked`; by default every category feature and every context column, the first
// limits::kSliceColumns that have two to limits::kSliceGroups different values. Numbers of more
// than a few different values are parted into quarters, where they are asked for. kInvalidArgument:
// an asked column that is not there, is asked twice, is the label, holds times, or has more values
// than can be told apart. kUnimplemented: one that is no feature, without a table.
Result<std::vector<SliceColumn>> ChooseSlices(const SliceSource& source,
                                              const std::vector<std::string>& asked);

struct SliceGroup {
  std::string name{};
  std::uint64_t rows = 0, positives = 0;  // the latter of a binary task
  TaskScores figures{};                   // of one class only: the alarm rate alone
};
struct SliceTable {
  std::string column{};
  std::vector<SliceGroup> groups{};
  // Groups of fewer than limits::kLeastSliceRows rows, which are judged together as the last group
  // where they have so many; else they are left out.
  std::uint64_t small_groups = 0, left_out_rows = 0;
  Json ToJson() const;
};

// Intervals from 200 bootstrap resamples of the group's rows.
std::vector<SliceTable> JudgeSlices(const std::vector<SliceColumn>& columns,
                                    const JudgedRows& judged, const JudgedFigures& figures,
                                    std::uint64_t seed);

// For a terminal, and as a section of a Markdown document; empty without slices.
std::string SlicesText(const std::vector<SliceTable>& slices);
std::string SlicesSection(const std::vector<SliceTable>& slices);

}  // namespace skerry
