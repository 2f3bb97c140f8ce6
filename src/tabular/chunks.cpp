#include "tabular/chunks.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace skerry {
namespace {

ColumnType ColumnTypeOf(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN: return ColumnType::kBool;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER: return ColumnType::kInt64;
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL: return ColumnType::kDouble;
    case DUCKDB_TYPE_DATE:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return ColumnType::kTimestamp;
    default: return ColumnType::kText;
  }
}

constexpr std::int64_t kUsPerSecond = 1'000'000;
constexpr std::int64_t kUsPerDay = 86'400 * kUsPerSecond;

double ToDouble(duckdb_hugeint value) {
  return std::ldexp(static_cast<double>(value.upper), 64) + static_cast<double>(value.lower);
}
template <typename Number>
double ToDouble(Number value) {
  return static_cast<double>(value);
}

// DuckDB's "infinity" and far dates do not fit into microseconds: they become the nearest time.
std::int64_t Saturated(std::int64_t value, std::int64_t factor) {
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(value, factor, &product)) return product;
  return value < 0 ? std::numeric_limits<std::int64_t>::min()
                   : std::numeric_limits<std::int64_t>::max();
}

void AppendValidity(Column& column, const std::uint64_t* mask, std::size_t rows) {
  const std::size_t before = column.valid.size();
  column.valid.resize(before + rows, 1);
  if (mask == nullptr) return;
  for (std::size_t i = 0; i < rows; ++i)
    column.valid[before + i] = static_cast<std::uint8_t>((mask[i / 64] >> (i % 64)) & 1U);
}

}  // namespace

bool IsReadable(duckdb_type type) {
  return ColumnTypeOf(type) != ColumnType::kText || type == DUCKDB_TYPE_VARCHAR ||
         type == DUCKDB_TYPE_ENUM;
}

Result<ChunkReader> ChunkReader::Create(const DuckDbFunctions& duck, duckdb_result& result) {
  ChunkReader reader(duck);
  for (idx_t i = 0; i < duck.column_count(&result); ++i) {
    const duckdb_type type = duck.column_type(&result, i);
    const char* name = duck.column_name(&result, i);
    if (!IsReadable(type))
      return Fail(ErrorCode::kInvalidArgument,
                  "column '{}' is neither number, text, truth value nor time: cast it in the query",
                  name);
    reader.types_.push_back(type);
    reader.logical_types_.push_back(duck.column_logical_type(&result, i));
    reader.table_.columns.push_back({.name = name, .type = ColumnTypeOf(type)});
  }
  return reader;
}

ChunkReader::ChunkReader(ChunkReader&& other) noexcept
    : duck_(other.duck_),
      types_(std::move(other.types_)),
      logical_types_(std::exchange(other.logical_types_, {})),
      table_(std::move(other.table_)) {}

ChunkReader::~ChunkReader() {
  for (duckdb_logical_type& type : logical_types_) duck_->destroy_logical_type(&type);
}

Table ChunkReader::Take() {
  Table taken;
  for (const Column& column : table_.columns)
    taken.columns.push_back({.name = column.name, .type = column.type});
  std::swap(taken, table_);
  return taken;
}

void ChunkReader::Append(duckdb_data_chunk chunk) {
  const std::size_t rows = duck_->data_chunk_get_size(chunk);
  for (std::size_t i = 0; i < types_.size(); ++i)
    AppendColumn(i, duck_->data_chunk_get_vector(chunk, i), rows);
}

void ChunkReader::AppendColumn(std::size_t index, duckdb_vector vector, std::size_t rows) {
  Column& column = table_.columns[index];
  AppendValidity(column, duck_->vector_get_validity(vector), rows);
  void* data = duck_->vector_get_data(vector);
  switch (types_[index]) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_UTINYINT: return AppendInts<std::uint8_t>(column, data, rows, 1);
    case DUCKDB_TYPE_TINYINT: return AppendInts<std::int8_t>(column, data, rows, 1);
    case DUCKDB_TYPE_SMALLINT: return AppendInts<std::int16_t>(column, data, rows, 1);
    case DUCKDB_TYPE_USMALLINT: return AppendInts<std::uint16_t>(column, data, rows, 1);
    case DUCKDB_TYPE_INTEGER: return AppendInts<std::int32_t>(column, data, rows, 1);
    case DUCKDB_TYPE_UINTEGER: return AppendInts<std::uint32_t>(column, data, rows, 1);
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return AppendInts<std::int64_t>(column, data, rows, 1);
    case DUCKDB_TYPE_DATE: return AppendInts<std::int32_t>(column, data, rows, kUsPerDay);
    case DUCKDB_TYPE_TIMESTAMP_S: return AppendInts<std::int64_t>(column, data, rows, kUsPerSecond);
    case DUCKDB_TYPE_TIMESTAMP_MS: return AppendInts<std::int64_t>(column, data, rows, 1'000);
    case DUCKDB_TYPE_TIMESTAMP_NS: return AppendInts<std::int64_t>(column, data, rows, 0);
    case DUCKDB_TYPE_UBIGINT: return AppendDoubles<std::uint64_t>(column, data, rows, 1);
    case DUCKDB_TYPE_HUGEINT: return AppendDoubles<duckdb_hugeint>(column, data, rows, 1);
    case DUCKDB_TYPE_FLOAT: return AppendDoubles<float>(column, data, rows, 1);
    case DUCKDB_TYPE_DOUBLE: return AppendDoubles<double>(column, data, rows, 1);
    case DUCKDB_TYPE_DECIMAL: return AppendDecimal(column, data, rows, logical_types_[index]);
    case DUCKDB_TYPE_ENUM: return AppendEnum(column, data, rows, logical_types_[index]);
    default: return AppendTexts(column, data, rows);
  }
}

// A factor of 0 means nanoseconds: divided by 1,000, towards the past.
template <typename Stored>
void ChunkReader::AppendInts(Column& column, const void* data, std::size_t rows,
                             std::int64_t factor) {
  const auto* values = static_cast<const Stored*>(data);
  const std::uint8_t* valid = column.valid.data() + column.ints.size();
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t value = valid[i] != 0 ? static_cast<std::int64_t>(values[i]) : 0;
    if (factor == 0)
      column.ints.push_back(value / 1'000 - (value % 1'000 < 0 ? 1 : 0));
    else
      column.ints.push_back(factor == 1 ? value : Saturated(value, factor));
  }
}

template <typename Stored>
void ChunkReader::AppendDoubles(Column& column, const void* data, std::size_t rows,
                                double divisor) {
  const auto* values = static_cast<const Stored*>(data);
  const std::uint8_t* valid = column.valid.data() + column.doubles.size();
  for (std::size_t i = 0; i < rows; ++i)
    column.doubles.push_back(valid[i] != 0 ? ToDouble(values[i]) / divisor : 0);
}

void ChunkReader::AppendTexts(Column& column, void* data, std::size_t rows) {
  auto* values = static_cast<duckdb_string_t*>(data);
  const std::uint8_t* valid = column.valid.data() + column.texts.size();
  for (std::size_t i = 0; i < rows; ++i) {
    if (valid[i] == 0) {
      column.texts.emplace_back();
      continue;
    }
    // The documented layout of duckdb_string_t: 12 bytes fit inline.
    const std::uint32_t length = values[i].value.inlined.length;
    const char* text = length <= 12 ? values[i].value.inlined.inlined : values[i].value.pointer.ptr;
    column.texts.emplace_back(text, length);
  }
}

void ChunkReader::AppendEnum(Column& column, const void* data, std::size_t rows,
                             duckdb_logical_type type) {
  const duckdb_type stored = duck_->enum_internal_type(type);
  const std::uint8_t* valid = column.valid.data() + column.texts.size();
  for (std::size_t i = 0; i < rows; ++i) {
    if (valid[i] == 0) {
      column.texts.emplace_back();
      continue;
    }
    std::uint32_t code = 0;
    if (stored == DUCKDB_TYPE_UTINYINT)
      code = static_cast<const std::uint8_t*>(data)[i];
    else if (stored == DUCKDB_TYPE_USMALLINT)
      code = static_cast<const std::uint16_t*>(data)[i];
    else
      code = static_cast<const std::uint32_t*>(data)[i];
    char* text = duck_->enum_dictionary_value(type, code);
    column.texts.emplace_back(text);
    duck_->free(text);
  }
}

void ChunkReader::AppendDecimal(Column& column, const void* data, std::size_t rows,
                                duckdb_logical_type type) {
  const double divisor = std::pow(10.0, duck_->decimal_scale(type));
  switch (duck_->decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT: return AppendDoubles<std::int16_t>(column, data, rows, divisor);
    case DUCKDB_TYPE_INTEGER: return AppendDoubles<std::int32_t>(column, data, rows, divisor);
    case DUCKDB_TYPE_BIGINT: return AppendDoubles<std::int64_t>(column, data, rows, divisor);
    default: return AppendDoubles<duckdb_hugeint>(column, data, rows, divisor);
  }
}

duckdb_type DuckDbTypeOf(ColumnType type) {
  switch (type) {
    case ColumnType::kBool: return DUCKDB_TYPE_BOOLEAN;
    case ColumnType::kInt64: return DUCKDB_TYPE_BIGINT;
    case ColumnType::kDouble: return DUCKDB_TYPE_DOUBLE;
    case ColumnType::kTimestamp: return DUCKDB_TYPE_TIMESTAMP_TZ;
    case ColumnType::kText: break;
  }
  return DUCKDB_TYPE_VARCHAR;
}

const char* SqlTypeOf(ColumnType type) {
  switch (type) {
    case ColumnType::kBool: return "BOOLEAN";
    case ColumnType::kInt64: return "BIGINT";
    case ColumnType::kDouble: return "DOUBLE";
    case ColumnType::kTimestamp: return "TIMESTAMPTZ";
    case ColumnType::kText: break;
  }
  return "VARCHAR";
}

namespace {

Status FillTexts(const DuckDbFunctions& duck, const Column& column, std::size_t first,
                 std::size_t rows, duckdb_vector vector) {
  for (std::size_t i = 0; i < rows; ++i) {
    if (column.IsNull(first + i)) continue;
    const std::string& text = column.texts[first + i];
    duckdb_error_data error = duck.valid_utf8_check(text.data(), text.size());
    const bool invalid = error != nullptr && duck.error_data_has_error(error);
    duck.destroy_error_data(&error);
    if (invalid)
      return Fail(ErrorCode::kInvalidArgument, "column '{}', row {}: the text is not UTF-8",
                  column.name, first + i + 1);
    duck.unsafe_vector_assign_string_element_len(vector, i, text.data(), text.size());
  }
  return {};
}

}  // namespace

Status FillVector(const DuckDbFunctions& duck, const Column& column, std::size_t first,
                  std::size_t rows, duckdb_vector vector) {
  duck.vector_ensure_validity_writable(vector);
  std::uint64_t* validity = duck.vector_get_validity(vector);
  for (std::size_t i = 0; i < rows; ++i)
    if (column.IsNull(first + i)) duck.validity_set_row_invalid(validity, i);
  void* data = duck.vector_get_data(vector);
  switch (column.type) {
    case ColumnType::kBool:
      for (std::size_t i = 0; i < rows; ++i)
        static_cast<std::uint8_t*>(data)[i] = column.ints[first + i] != 0 ? 1 : 0;
      return {};
    case ColumnType::kInt64:
    case ColumnType::kTimestamp:
      std::memcpy(data, column.ints.data() + first, rows * sizeof(std::int64_t));
      return {};
    case ColumnType::kDouble:
      std::memcpy(data, column.doubles.data() + first, rows * sizeof(double));
      return {};
    case ColumnType::kText: break;
  }
  return FillTexts(duck, column, first, rows, vector);
}

}  // namespace skerry
