// A table in memory as a table function of DuckDB, so that a statement reads it where it stands
// instead of from a copy in the database. Internal.
#pragma once

#include <duckdb.h>

#include "base/error.h"
#include "codec/columns.h"
#include "tabular/duckdb_library.h"

namespace skerry {

// What the function reads. Outlives the connection; `table` is set while a statement runs that
// calls it.
struct ScannedTable {
  const DuckDbFunctions* duck = nullptr;
  const Table* table = nullptr;
};

// The function's name in statements: FROM skerry_scanned().
constexpr const char* kScanFunction = "skerry_scanned";

// Makes the function known to the connection's database. Its rows come in order, on one thread.
Status RegisterScan(duckdb_connection connection, ScannedTable& scanned);

}  // namespace skerry
