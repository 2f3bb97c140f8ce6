#include "codec/columns.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <unordered_set>

#include "base/limits.h"
#include "codec/crc32c.h"

namespace skerry {
namespace {

constexpr std::string_view kMagic = "SKT";
constexpr char kVersion = 1;
constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kCrcBytes = 4;
constexpr std::uint8_t kHasNulls = 1;
constexpr std::size_t kVarintBytes = 10;

bool UsesInts(ColumnType type) {
  return type == ColumnType::kBool || type == ColumnType::kInt64 || type == ColumnType::kTimestamp;
}

void PutVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80U; value >>= 7U) out += static_cast<char>((value & 0x7FU) | 0x80U);
  out += static_cast<char>(value);
}

void PutFixed(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8U * i)) & 255U);
}

void PutText(std::string& out, std::string_view text) {
  PutVarint(out, text.size());
  out += text;
}

// One bit a flag, the lowest bit of a byte first; the last byte is filled up with zeros.
template <typename Flags>
void PutBits(std::string& out, const Flags& flags) {
  for (std::size_t i = 0; i < flags.size(); i += 8) {
    unsigned byte = 0;
    for (std::size_t k = i; k < std::min(i + 8, flags.size()); ++k)
      byte |= (flags[k] != 0 ? 1U : 0U) << (k - i);
    out += static_cast<char>(byte);
  }
}

// Small differences, up or down, become small numbers. Wraps around as unsigned arithmetic does, so
// any two values have a difference.
std::uint64_t ZigZag(std::uint64_t difference) {
  return (difference << 1U) ^ ((difference >> 63U) != 0 ? ~std::uint64_t{0} : 0);
}
std::uint64_t UnZigZag(std::uint64_t coded) {
  return (coded >> 1U) ^ ((coded & 1U) != 0 ? ~std::uint64_t{0} : 0);
}

void PutInts(std::string& out, const Column& column) {
  std::uint64_t before = 0;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    const auto value = static_cast<std::uint64_t>(column.ints[row]);
    PutVarint(out, ZigZag(value - before));
    before = value;
  }
}

void PutValues(std::string& out, const Column& column) {
  switch (column.type) {
    case ColumnType::kBool: PutBits(out, column.ints); return;
    case ColumnType::kInt64:
    case ColumnType::kTimestamp: PutInts(out, column); return;
    case ColumnType::kDouble:
      for (std::size_t row = 0; row < column.rows(); ++row)
        if (!column.IsNull(row))
          PutFixed(out, std::bit_cast<std::uint64_t>(column.doubles[row]), sizeof(double));
      return;
    case ColumnType::kText:
      for (std::size_t row = 0; row < column.rows(); ++row)
        if (!column.IsNull(row)) PutText(out, column.texts[row]);
      return;
  }
}

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(ErrorCode::kDataLoss, "the binary table is damaged: {}", what);
}

// Takes a table apart; every read is checked against what is left.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  std::size_t left() const { return left_.size(); }

  Result<std::string_view> Take(std::uint64_t size) {
    if (size > left_.size()) return Damaged("it ends too early");
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  Result<std::uint8_t> Byte() {
    SKERRY_ASSIGN_OR_RETURN(const std::string_view one, Take(1));
    return static_cast<std::uint8_t>(one.front());
  }

  Result<std::uint64_t> Varint() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < std::min(kVarintBytes, left_.size()); ++i) {
      const auto byte = static_cast<std::uint8_t>(left_[i]);
      value |= std::uint64_t{byte & 0x7FU} << (7U * i);
      if (byte >= 0x80U) continue;
      left_.remove_prefix(i + 1);
      return value;
    }
    return Damaged("a number does not end");
  }

  Result<std::uint64_t> Fixed(std::size_t bytes) {
    SKERRY_ASSIGN_OR_RETURN(const std::string_view taken, Take(bytes));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
      value |= std::uint64_t{static_cast<std::uint8_t>(taken[i])} << (8U * i);
    return value;
  }

  Result<std::string> Text() {
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t size, Varint());
    SKERRY_ASSIGN_OR_RETURN(const std::string_view taken, Take(size));
    return std::string(taken);
  }

  template <typename T>
  Status Bits(std::size_t count, std::vector<T>& out) {
    SKERRY_ASSIGN_OR_RETURN(const std::string_view taken, Take((count + 7) / 8));
    out.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
      out.push_back((static_cast<std::uint8_t>(taken[i / 8]) >> (i % 8)) & 1U);
    return {};
  }

 private:
  std::string_view left_;
};

Status ReadInts(Reader& reader, Column& column) {
  std::uint64_t before = 0;
  column.ints.resize(column.rows());
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t coded, reader.Varint());
    before += UnZigZag(coded);
    column.ints[row] = static_cast<std::int64_t>(before);
  }
  return {};
}

Status ReadDoubles(Reader& reader, Column& column) {
  column.doubles.resize(column.rows());
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t bits, reader.Fixed(sizeof(double)));
    column.doubles[row] = std::bit_cast<double>(bits);
  }
  return {};
}

Status ReadTexts(Reader& reader, Column& column) {
  column.texts.resize(column.rows());
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(column.texts[row], reader.Text());
  }
  return {};
}

Status ReadValues(Reader& reader, Column& column) {
  switch (column.type) {
    case ColumnType::kBool: return reader.Bits(column.rows(), column.ints);
    case ColumnType::kInt64:
    case ColumnType::kTimestamp: return ReadInts(reader, column);
    case ColumnType::kDouble: return ReadDoubles(reader, column);
    case ColumnType::kText: return ReadTexts(reader, column);
  }
  return Damaged("a column is of an unknown type");
}

Result<Column> ReadColumn(Reader& reader, std::size_t rows) {
  Column column;
  SKERRY_ASSIGN_OR_RETURN(const std::uint8_t type, reader.Byte());
  if (type > static_cast<std::uint8_t>(ColumnType::kTimestamp))
    return Damaged("a column is of an unknown type");
  column.type = static_cast<ColumnType>(type);
  SKERRY_ASSIGN_OR_RETURN(const std::uint8_t flags, reader.Byte());
  if (flags > kHasNulls) return Damaged("a column has unknown flags");
  SKERRY_ASSIGN_OR_RETURN(column.name, reader.Text());
  // The least that the values take, so that a short input cannot ask for much memory.
  if (flags == 0 && rows / 8 > reader.left()) return Damaged("it ends too early");
  if (flags == 0) column.valid.assign(rows, 1);
  if (flags != 0) SKERRY_RETURN_IF_ERROR(reader.Bits(rows, column.valid));
  SKERRY_RETURN_IF_ERROR(ReadValues(reader, column));
  return column;
}

Result<Table> ReadBody(Reader& reader) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t columns, reader.Varint());
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t rows, reader.Varint());
  if (columns > limits::kTableColumns || rows > limits::kEncodedTableRows ||
      columns * rows > limits::kEncodedTableCells)
    return Fail(ErrorCode::kTooLarge,
                "a binary table of {} columns and {} rows is over the limit of {} columns, {} rows "
                "and {} cells",
                columns, rows, limits::kTableColumns, limits::kEncodedTableRows,
                limits::kEncodedTableCells);
  if (columns == 0 && rows != 0) return Damaged("it has rows but no columns");
  Table table;
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < columns; ++i) {
    SKERRY_ASSIGN_OR_RETURN(Column column, ReadColumn(reader, rows));
    if (!names.insert(column.name).second) return Damaged("two columns have one name");
    table.columns.push_back(std::move(column));
  }
  if (reader.left() != 0) return Damaged("there are bytes behind its end");
  return table;
}

}  // namespace

std::string_view ColumnTypeName(ColumnType type) {
  switch (type) {
    case ColumnType::kBool: return "bool";
    case ColumnType::kInt64: return "int64";
    case ColumnType::kDouble: return "double";
    case ColumnType::kText: return "text";
    case ColumnType::kTimestamp: return "timestamp";
  }
  return "unknown";
}

void Column::AppendNull() {
  if (UsesInts(type)) ints.push_back(0);
  if (type == ColumnType::kDouble) doubles.push_back(0);
  if (type == ColumnType::kText) texts.emplace_back();
  valid.push_back(0);
}

void Column::AppendInt(std::int64_t value) {
  assert(UsesInts(type));
  ints.push_back(value);
  valid.push_back(1);
}

void Column::AppendDouble(double value) {
  assert(type == ColumnType::kDouble);
  doubles.push_back(value);
  valid.push_back(1);
}

void Column::AppendText(std::string value) {
  assert(type == ColumnType::kText);
  texts.push_back(std::move(value));
  valid.push_back(1);
}

void Column::AppendFrom(const Column& other, std::size_t row) {
  assert(type == other.type);
  if (other.IsNull(row)) return AppendNull();
  if (UsesInts(type)) return AppendInt(other.ints[row]);
  if (type == ColumnType::kDouble) return AppendDouble(other.doubles[row]);
  AppendText(other.texts[row]);
}

const Column* Table::Find(std::string_view name) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const Column& column) { return column.name == name; });
  return found == columns.end() ? nullptr : &*found;
}

Column* Table::Find(std::string_view name) {
  return const_cast<Column*>(std::as_const(*this).Find(name));
}

std::string EncodeTable(const Table& table) {
  const std::size_t rows = table.rows();
  assert(table.columns.size() <= limits::kTableColumns && rows <= limits::kEncodedTableRows);
  std::string out(kMagic);
  out += kVersion;
  PutVarint(out, table.columns.size());
  PutVarint(out, rows);
  for (const Column& column : table.columns) {
    assert(column.rows() == rows);
    const bool has_nulls =
        std::find(column.valid.begin(), column.valid.end(), 0) != column.valid.end();
    out += static_cast<char>(column.type);
    out += static_cast<char>(has_nulls ? kHasNulls : 0);
    PutText(out, column.name);
    if (has_nulls) PutBits(out, column.valid);
    PutValues(out, column);
  }
  PutFixed(out, Crc32c(out), kCrcBytes);
  return out;
}

Result<Table> DecodeTable(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kCrcBytes || !bytes.starts_with(kMagic))
    return Damaged("it does not begin as one");
  const std::string_view covered = bytes.substr(0, bytes.size() - kCrcBytes);
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t crc,
                          Reader(bytes.substr(covered.size())).Fixed(kCrcBytes));
  if (Crc32c(covered) != crc) return Damaged("its checksum does not match");
  if (covered[kMagic.size()] != kVersion)
    return Fail(ErrorCode::kUnimplemented,
                "the binary table is of version {}; this program reads version {}",
                static_cast<int>(covered[kMagic.size()]), static_cast<int>(kVersion));
  Reader reader(covered.substr(kHeaderBytes));
  return ReadBody(reader);
}

std::string QuotedNames(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 40;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i)
    text += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i]);
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

}  // namespace skerry
