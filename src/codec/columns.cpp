#include "codec/columns.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "base/limits.h"
#include "codec/crc32c.h"

namespace skerry {
namespace {

constexpr std::string_view kMagic = "SKT";
constexpr char kVersion = 2;
constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kCrcBytes = 4;
constexpr std::uint8_t kHasNulls = 1;
constexpr std::uint8_t kDecimal = 2;  // a column of numbers with few digits
// A double is correctly rounded m / 10^k for any integer m below 2^53 and these k.
constexpr std::array kPowersOfTen = {1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
constexpr double kLargestDecimal = 9e15;
constexpr std::size_t kRepeatedBytes = std::size_t{256} << 20U;  // of texts, in one table
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

// The integers of the rows that are present.
void PutInts(std::string& out, const Column& column, const std::vector<std::int64_t>& ints) {
  std::uint64_t before = 0;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    const auto value = static_cast<std::uint64_t>(ints[row]);
    PutVarint(out, ZigZag(value - before));
    before = value;
  }
}

// The value as an integer of 10^-digits; none where that is not the very same number again.
std::optional<std::int64_t> Scaled(double value, std::size_t digits) {
  const double scaled = value * kPowersOfTen[digits];
  if (!(std::abs(scaled) <= kLargestDecimal)) return std::nullopt;
  const std::int64_t integer = std::llround(scaled);
  const double again = static_cast<double>(integer) / kPowersOfTen[digits];
  if (std::bit_cast<std::uint64_t>(again) != std::bit_cast<std::uint64_t>(value))
    return std::nullopt;
  return integer;
}

// A column of doubles as integers of 10^-digits.
struct Decimals {
  std::size_t digits = 0;
  std::vector<std::int64_t> scaled;  // one a row, 0 for absent values
};

// With as few digits as say every number exactly; none where there are not enough powers for that.
std::optional<Decimals> DecimalsOf(const Column& column) {
  if (column.type != ColumnType::kDouble) return std::nullopt;
  Decimals decimals{0, std::vector<std::int64_t>(column.rows())};
  for (std::size_t row = 0; row < column.rows();) {
    const std::optional<std::int64_t> scaled =
        column.IsNull(row) ? 0 : Scaled(column.doubles[row], decimals.digits);
    if (scaled) {
      decimals.scaled[row++] = *scaled;
      continue;
    }
    if (++decimals.digits == kPowersOfTen.size()) return std::nullopt;
    row = 0;  // those before take more digits too
  }
  return decimals;
}

void PutDoubles(std::string& out, const Column& column, const std::optional<Decimals>& decimals) {
  if (decimals) {
    out += static_cast<char>(decimals->digits);
    return PutInts(out, column, decimals->scaled);
  }
  for (std::size_t row = 0; row < column.rows(); ++row)
    if (!column.IsNull(row))
      PutFixed(out, std::bit_cast<std::uint64_t>(column.doubles[row]), sizeof(double));
}

// What texts that are the one before them take of kRepeatedBytes: without a bound, a table of few
// bytes could become one of any size.
class Repeats {
 public:
  bool Take(std::size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

 private:
  std::size_t left_ = kRepeatedBytes;
};

void PutTexts(std::string& out, const Column& column, Repeats& repeats) {
  const std::string* before = nullptr;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    const std::string& text = column.texts[row];
    const bool same = before != nullptr && *before == text && repeats.Take(text.size());
    PutVarint(out, same ? 0 : text.size() + 1);
    if (!same) out += text;
    before = &text;
  }
}

void PutValues(std::string& out, const Column& column, const std::optional<Decimals>& decimals,
               Repeats& repeats) {
  switch (column.type) {
    case ColumnType::kBool: return PutBits(out, column.ints);
    case ColumnType::kInt64:
    case ColumnType::kTimestamp: return PutInts(out, column, column.ints);
    case ColumnType::kDouble: return PutDoubles(out, column, decimals);
    case ColumnType::kText: return PutTexts(out, column, repeats);
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

// `take(row, value)` for the present rows.
template <typename Take>
Status ReadInts(Reader& reader, const Column& column, const Take& take) {
  std::uint64_t before = 0;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t coded, reader.Varint());
    before += UnZigZag(coded);
    take(row, static_cast<std::int64_t>(before));
  }
  return {};
}

Status ReadDoubles(Reader& reader, Column& column, bool decimal) {
  column.doubles.resize(column.rows());
  if (decimal) {
    SKERRY_ASSIGN_OR_RETURN(const std::uint8_t digits, reader.Byte());
    if (digits >= kPowersOfTen.size()) return Damaged("a number has too many digits");
    return ReadInts(reader, column, [&](std::size_t row, std::int64_t value) {
      column.doubles[row] = static_cast<double>(value) / kPowersOfTen[digits];
    });
  }
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t bits, reader.Fixed(sizeof(double)));
    column.doubles[row] = std::bit_cast<double>(bits);
  }
  return {};
}

Status ReadTexts(Reader& reader, Column& column, Repeats& repeats) {
  column.texts.resize(column.rows());
  const std::string* before = nullptr;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t coded, reader.Varint());
    if (coded > 0) {
      SKERRY_ASSIGN_OR_RETURN(column.texts[row], reader.Take(coded - 1));
    } else if (before != nullptr && repeats.Take(before->size())) {
      column.texts[row] = *before;
    } else {
      return Damaged("a text repeats what is not there, or too much of it");
    }
    before = &column.texts[row];
  }
  return {};
}

Status ReadValues(Reader& reader, Column& column, bool decimal, Repeats& repeats) {
  switch (column.type) {
    case ColumnType::kBool: return reader.Bits(column.rows(), column.ints);
    case ColumnType::kInt64:
    case ColumnType::kTimestamp:
      column.ints.resize(column.rows());
      return ReadInts(reader, column,
                      [&](std::size_t row, std::int64_t value) { column.ints[row] = value; });
    case ColumnType::kDouble: return ReadDoubles(reader, column, decimal);
    case ColumnType::kText: return ReadTexts(reader, column, repeats);
  }
  return Damaged("a column is of an unknown type");
}

Result<Column> ReadColumn(Reader& reader, std::size_t rows, Repeats& repeats) {
  Column column;
  SKERRY_ASSIGN_OR_RETURN(const std::uint8_t type, reader.Byte());
  if (type > static_cast<std::uint8_t>(ColumnType::kTimestamp))
    return Damaged("a column is of an unknown type");
  column.type = static_cast<ColumnType>(type);
  SKERRY_ASSIGN_OR_RETURN(const std::uint8_t flags, reader.Byte());
  const bool decimal = (flags & kDecimal) != 0;
  const bool has_nulls = (flags & kHasNulls) != 0;
  if (flags > (kHasNulls | kDecimal) || (decimal && column.type != ColumnType::kDouble))
    return Damaged("a column has unknown flags");
  SKERRY_ASSIGN_OR_RETURN(column.name, reader.Text());
  // The least that the values take, so that a short input cannot ask for much memory.
  if (!has_nulls && rows / 8 > reader.left()) return Damaged("it ends too early");
  if (!has_nulls) column.valid.assign(rows, 1);
  if (has_nulls) SKERRY_RETURN_IF_ERROR(reader.Bits(rows, column.valid));
  SKERRY_RETURN_IF_ERROR(ReadValues(reader, column, decimal, repeats));
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
  Repeats repeats;
  for (std::uint64_t i = 0; i < columns; ++i) {
    SKERRY_ASSIGN_OR_RETURN(Column column, ReadColumn(reader, rows, repeats));
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
  Repeats repeats;
  for (const Column& column : table.columns) {
    assert(column.rows() == rows);
    const bool has_nulls =
        std::find(column.valid.begin(), column.valid.end(), 0) != column.valid.end();
    const std::optional<Decimals> decimals = DecimalsOf(column);
    out += static_cast<char>(column.type);
    out += static_cast<char>((has_nulls ? kHasNulls : 0) | (decimals ? kDecimal : 0));
    PutText(out, column.name);
    if (has_nulls) PutBits(out, column.valid);
    PutValues(out, column, decimals, repeats);
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
