#include "tabular/table_scan.h"

#include <algorithm>
#include <string>

#include "tabular/chunks.h"

namespace skerry {
namespace {

// How far one scan has come.
struct ScanState {
  std::size_t next_row = 0;
};

void BindScan(duckdb_bind_info info) {
  const auto& scanned =
      *static_cast<const ScannedTable*>(LoadDuckDb().value()->bind_get_extra_info(info));
  const DuckDbFunctions& duck = *scanned.duck;
  if (scanned.table == nullptr) return duck.bind_set_error(info, "there is no table to scan");
  for (const Column& column : scanned.table->columns) {
    duckdb_logical_type type = duck.create_logical_type(DuckDbTypeOf(column.type));
    duck.bind_add_result_column(info, column.name.c_str(), type);
    duck.destroy_logical_type(&type);
  }
  duck.bind_set_cardinality(info, scanned.table->rows(), true);
}

void StartScan(duckdb_init_info info) {
  const DuckDbFunctions& duck = *LoadDuckDb().value();
  duck.init_set_max_threads(info, 1);
  duck.init_set_init_data(info, new ScanState,
                          [](void* state) { delete static_cast<ScanState*>(state); });
}

void Scan(duckdb_function_info info, duckdb_data_chunk output) {
  const DuckDbFunctions& duck = *LoadDuckDb().value();
  const Table& table = *static_cast<const ScannedTable*>(duck.function_get_extra_info(info))->table;
  ScanState& state = *static_cast<ScanState*>(duck.function_get_init_data(info));
  const std::size_t rows = std::min<std::size_t>(duck.vector_size(), table.rows() - state.next_row);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const Status filled = FillVector(duck, table.columns[i], state.next_row, rows,
                                     duck.data_chunk_get_vector(output, i));
    if (!filled) return duck.function_set_error(info, filled.error().message().c_str());
  }
  duck.data_chunk_set_size(output, rows);
  state.next_row += rows;
}

}  // namespace

Status RegisterScan(duckdb_connection connection, ScannedTable& scanned) {
  const DuckDbFunctions& duck = *scanned.duck;
  duckdb_table_function function = duck.create_table_function();
  duck.table_function_set_name(function, kScanFunction);
  duck.table_function_set_extra_info(function, &scanned, nullptr);
  duck.table_function_set_bind(function, BindScan);
  duck.table_function_set_init(function, StartScan);
  duck.table_function_set_function(function, Scan);
  const duckdb_state registered = duck.register_table_function(connection, function);
  duck.destroy_table_function(&function);
  if (registered != DuckDBSuccess)
    return Fail(ErrorCode::kInternal, "DuckDB does not take the function {}", kScanFunction);
  return {};
}

}  // namespace skerry
