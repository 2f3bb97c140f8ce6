// Between DuckDB's data chunks (vectors of up to 2,048 values with a validity mask) and our
// columns. Only tabular/ includes this.
#pragma once

#include <cstddef>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "tabular/duckdb_library.h"

namespace skerry {

// Collects the chunks of one result, column by column. The result must outlive it.
class ChunkReader {
 public:
  // kInvalidArgument for a column of a type that Query does not give (lists, structs, ...).
  static Result<ChunkReader> Create(const DuckDbFunctions& duck, duckdb_result& result);
  ChunkReader(ChunkReader&&) noexcept;
  ChunkReader& operator=(ChunkReader&&) = delete;
  ~ChunkReader();

  void Append(duckdb_data_chunk chunk);
  // What was appended since the last one; columns keep their names and types.
  Table Take();

 private:
  explicit ChunkReader(const DuckDbFunctions& duck) : duck_(&duck) {}
  void AppendColumn(std::size_t index, duckdb_vector vector, std::size_t rows);
  template <typename Stored>
  void AppendInts(Column& column, const void* data, std::size_t rows, std::int64_t factor);
  template <typename Stored>
  void AppendDoubles(Column& column, const void* data, std::size_t rows, double divisor);
  void AppendTexts(Column& column, void* data, std::size_t rows);
  void AppendEnum(Column& column, const void* data, std::size_t rows, duckdb_logical_type type);
  void AppendDecimal(Column& column, const void* data, std::size_t rows, duckdb_logical_type type);

  const DuckDbFunctions* duck_;
  std::vector<duckdb_type> types_;
  std::vector<duckdb_logical_type> logical_types_;
  Table table_;
};

// What DuckDB calls the type that a column of ours is stored as.
duckdb_type DuckDbTypeOf(ColumnType type);
const char* SqlTypeOf(ColumnType type);
// Whether a result column of this type becomes a column of ours.
bool IsReadable(duckdb_type type);

// Copies rows [first, first + rows) of `column` into `vector`. kInvalidArgument for text that is no
// UTF-8, naming column and row.
Status FillVector(const DuckDbFunctions& duck, const Column& column, std::size_t first,
                  std::size_t rows, duckdb_vector vector);

}  // namespace skerry
