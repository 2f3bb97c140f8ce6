// A table's cell as JSON.
#pragma once

#include <cstddef>

#include "codec/columns.h"
#include "codec/json.h"

namespace skerry {

// null where the cell is absent; times as RFC 3339 text. Requires row < column.rows().
Json CellJson(const Column& column, std::size_t row);

}  // namespace skerry
