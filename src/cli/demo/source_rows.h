// The demo's table and its splits by source row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/demo/load_generator.h"
#include "codec/columns.h"
#include "model/schema.h"

namespace skerry {

// Which source rows do what. Every row stands in exactly one of `train` and `arrive`; `labelling`
// and `holdout` are the two halves of `arrive`.
struct SourceSplit {
  std::vector<std::size_t> train;      // 60 %
  std::vector<std::size_t> arrive;     // 40 %: what the sites' machines report
  std::vector<std::size_t> labelling;  // of those, open to labelling for retraining
  std::vector<std::size_t> holdout;    // of those, for the gate alone
};

// One shuffle with `seed` (AI4I's failures cluster in file order), then cut.
SourceSplit SplitSourceRows(std::size_t rows, std::uint64_t seed);

// The rows of `table` in the given order.
Table TakeRows(const Table& table, const std::vector<std::size_t>& rows);

// Adds the text columns unit_id and operator_note, which the load generator sends with every row,
// so that training declares them.
void AddContextColumns(Table& table);

// Multiplies a column of a text table (numbers as written); blank cells stay.
Status ScaleColumn(Table& table, std::string_view column, double factor);

// The features of a text table as the load generator sends them. kInvalidArgument names a cell
// that is no number.
Result<LoadData> MakeLoadData(const Table& table, const ModelSchema& schema);

}  // namespace skerry
