#include "codec/cell_json.h"

#include "base/clock.h"

namespace skerry {

Json CellJson(const Column& column, std::size_t row) {
  if (column.IsNull(row)) return nullptr;
  switch (column.type) {
    case ColumnType::kBool: return column.ints[row] != 0;
    case ColumnType::kInt64: return column.ints[row];
    case ColumnType::kDouble: return column.doubles[row];
    case ColumnType::kText: return column.texts[row];
    case ColumnType::kTimestamp: return FormatUtc(column.ints[row]);
  }
  return nullptr;
}

}  // namespace skerry
