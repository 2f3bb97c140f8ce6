// Tables in memory, column by column, typed and nullable, and their compact binary form. `Table` is
// the vocabulary type between the modules that read, transform, store and write records.
//
// Ownership: plain values; copying copies everything. Thread safety: as for std::vector.
// The binary form is written down byte by byte in docs/formats/columns.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// The numbers are part of the binary form.
enum class ColumnType : std::uint8_t {
  kBool = 0,       // `ints`, 0 or 1
  kInt64 = 1,      // `ints`
  kDouble = 2,     // `doubles`
  kText = 3,       // `texts`, UTF-8
  kTimestamp = 4,  // `ints`, microseconds since 1970-01-01T00:00:00Z
};
// "bool", "int64", "double", "text", "timestamp".
std::string_view ColumnTypeName(ColumnType type);

// One column. Exactly one of `ints`, `doubles`, `texts` is in use, by `type`; it is as long as
// `valid`. The slot of an absent value holds 0 or "". Appending through the functions keeps this
// true; whoever writes the vectors directly keeps it true by hand.
//   Column speed{"speed_rpm", ColumnType::kDouble};
//   speed.AppendDouble(1500);
// NOLINTBEGIN(readability-redundant-member-init): without the braces -Wmissing-field-initializers
// refuses `Column{.name = "n", .type = ColumnType::kInt64}`.
struct Column {
  std::string name{};
  ColumnType type = ColumnType::kDouble;
  std::vector<std::int64_t> ints{};
  std::vector<double> doubles{};
  std::vector<std::string> texts{};
  std::vector<std::uint8_t> valid{};  // 1 = present, 0 = absent; one a row

  std::size_t rows() const { return valid.size(); }
  bool IsNull(std::size_t row) const { return valid[row] == 0; }
  bool holds_numbers() const { return type == ColumnType::kInt64 || type == ColumnType::kDouble; }

  void AppendNull();
  void AppendInt(std::int64_t value);  // kBool, kInt64 and kTimestamp only (asserted)
  void AppendDouble(double value);     // kDouble only (asserted)
  void AppendText(std::string value);  // kText only (asserted)
  // Appends row `row` of `other`, a column of the same type (asserted).
  void AppendFrom(const Column& other, std::size_t row);

  bool operator==(const Column&) const = default;
};

// Columns of equal length with distinct names; both are the writer's duty, and DecodeTable checks
// them on what it reads.
struct Table {
  std::vector<Column> columns{};

  std::size_t rows() const { return columns.empty() ? 0 : columns.front().rows(); }
  // The column of that name, or nullptr. The pointer lives until `columns` changes.
  const Column* Find(std::string_view name) const;
  Column* Find(std::string_view name);

  bool operator==(const Table&) const = default;
};
// NOLINTEND(readability-redundant-member-init)

// The compact little-endian form with a version byte and a CRC-32C over everything before it. Equal
// tables give equal bytes. The table obeys limits::kEncodedTableRows and limits::kTableColumns
// (asserted): a larger one could not be read back.
std::string EncodeTable(const Table& table);

// Reads what EncodeTable wrote. kDataLoss when a byte is damaged or missing; kUnimplemented for a
// version that this program does not know; kTooLarge over a limit. Memory is bounded by a multiple
// of the input's size, by limits::kEncodedTableCells and by the 256 MiB that repeated texts may
// take.
Result<Table> DecodeTable(std::string_view bytes);

// "'a', 'b' and 7 more" of columns' names; for errors.
std::string QuotedNames(const std::vector<std::string>& names);

}  // namespace skerry
