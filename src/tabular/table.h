// A table in memory, column by column, typed and nullable. What CSV and Parquet are read into and
// written from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace skerry {

enum class ColumnType { kDouble, kInt64, kString, kBool, kTimestamp };  // kTimestamp: UTC us
std::string_view ColumnTypeName(ColumnType type);

// One column. `values` holds the type's vector (kTimestamp: int64 microseconds; kBool: uint8 0/1);
// `valid` is as long as values, or empty when nothing is null. A null's value slot is 0 or "".
class Column {
 public:
  using Values = std::variant<std::vector<double>, std::vector<std::int64_t>,
                              std::vector<std::string>, std::vector<std::uint8_t>>;

  Column(std::string name, ColumnType type);

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  ColumnType type() const { return type_; }
  std::size_t size() const;
  bool IsNull(std::size_t row) const { return !valid_.empty() && valid_[row] == 0; }
  std::size_t null_count() const;

  // Typed views; the type must match (asserted).
  const std::vector<double>& doubles() const { return std::get<0>(values_); }
  const std::vector<std::int64_t>& ints() const { return std::get<1>(values_); }  // timestamps too
  const std::vector<std::string>& strings() const { return std::get<2>(values_); }
  const std::vector<std::uint8_t>& bools() const { return std::get<3>(values_); }

  void AppendDouble(double value);
  void AppendInt(std::int64_t value);      // kInt64 and kTimestamp
  void AppendString(std::string value);
  void AppendBool(bool value);
  void AppendNull();
  // Appends row `row` of `other`, which has the same type.
  void AppendFrom(const Column& other, std::size_t row);
  void Reserve(std::size_t rows);

  // A number for kDouble, kInt64, kBool, kTimestamp; NaN for null; kString is parsed, NaN if it is no number.
  double AsNumber(std::size_t row) const;
  // Text as CSV would show it ("" for null; shortest round-trip for doubles).
  std::string AsText(std::size_t row) const;

 private:
  std::string name_;
  ColumnType type_;
  Values values_;
  std::vector<std::uint8_t> valid_;
};

// Columns of equal length with distinct names.
class Table {
 public:
  Column& AddColumn(std::string name, ColumnType type);
  Column& AddColumn(Column column);
  std::size_t rows() const { return columns_.empty() ? 0 : columns_.front().size(); }
  std::size_t columns() const { return columns_.size(); }
  const Column& column(std::size_t index) const { return columns_[index]; }
  Column& column(std::size_t index) { return columns_[index]; }
  std::optional<std::size_t> Find(std::string_view name) const;
  // kInvalidArgument naming the column and the ones that are there.
  Result<const Column*> Get(std::string_view name) const;
  std::vector<std::string> names() const;
  // The rows at `indices`, in that order.
  Table Select(const std::vector<std::size_t>& indices) const;

 private:
  std::vector<Column> columns_;
};

}  // namespace skerry
