#include "codec/columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/limits.h"
#include "base/random.h"
#include "codec/crc32c.h"
#include "codec/text.h"

namespace skerry {
namespace {

Table Sample() {
  Column flag{.name = "flag", .type = ColumnType::kBool};
  Column count{.name = "count", .type = ColumnType::kInt64};
  Column speed{.name = "in_speed_rpm", .type = ColumnType::kDouble};
  Column unit{.name = "unit", .type = ColumnType::kText};
  Column time{.name = "event_time", .type = ColumnType::kTimestamp};
  Column share{.name = "share", .type = ColumnType::kDouble};
  Column model{.name = "model", .type = ColumnType::kText};
  for (int row = 0; row < 10; ++row) {
    flag.AppendInt(row % 3 == 0 ? 1 : 0);
    row == 4 ? count.AppendNull() : count.AppendInt(row == 5 ? INT64_MIN : 1'000 - row);
    row == 7 ? speed.AppendNull() : speed.AppendDouble(1'500.25 + row);
    row == 2 ? unit.AppendNull()
             : unit.AppendText(row == 3 ? "" : "gr\u00fcn-" + std::to_string(row));
    time.AppendInt(1'770'000'000'000'000 + 250'000 * row);
    share.AppendDouble(row / 3.0);
    row == 5 ? model.AppendNull() : model.AppendText(row < 8 ? "milling:1" : "milling:2");
  }
  return Table{{flag, count, speed, unit, time, share, model}};
}

std::string Golden() {
  std::ifstream file(SKERRY_CODEC_GOLDEN "/columns-v2.hex");
  std::string hex;
  for (std::string line; std::getline(file, line);) hex += line;
  return DecodeHex(hex).value();
}

std::string WithCrc(std::string bytes) {
  const std::uint32_t crc = Crc32c(bytes);
  for (unsigned i = 0; i < 4; ++i) bytes += static_cast<char>((crc >> (8U * i)) & 255U);
  return bytes;
}

TEST(Crc32c, MatchesRfc3720) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(Crc32c(""), 0U);
}

TEST(Table, FindsColumnsByName) {
  Table table = Sample();
  EXPECT_EQ(table.rows(), 10U);
  ASSERT_NE(table.Find("unit"), nullptr);
  EXPECT_TRUE(table.Find("unit")->IsNull(2));
  EXPECT_EQ(table.Find("nothing"), nullptr);
  EXPECT_EQ(Table().rows(), 0U);
}

TEST(Table, RowsAreCopiedFromColumnToColumnWithTheirNulls) {
  const Table from = Sample();
  Table to;
  for (const Column& column : from.columns) {
    Column copy{.name = column.name, .type = column.type};
    for (std::size_t row = 0; row < column.rows(); ++row) copy.AppendFrom(column, row);
    to.columns.push_back(std::move(copy));
  }
  EXPECT_EQ(to, from);
}

TEST(EncodeTable, GivesTheGoldenBytesAndReadsThem) {
  EXPECT_EQ(EncodeHex(EncodeTable(Sample())), EncodeHex(Golden()));
  const auto table = DecodeTable(Golden());
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(*table, Sample());
}

TEST(EncodeTable, ExtremeValuesComeBackBitByBit) {
  Column ints{.name = "i", .type = ColumnType::kInt64};
  for (const std::int64_t value : {INT64_MIN, INT64_MAX, std::int64_t{0}, std::int64_t{-1}})
    ints.AppendInt(value);
  Column doubles{.name = "d", .type = ColumnType::kDouble};
  for (const double value : {-0.0, std::numeric_limits<double>::infinity(), 5e-324, 0.1})
    doubles.AppendDouble(value);
  Column decimals{.name = "decimals", .type = ColumnType::kDouble};
  for (const double value : {302.3, -0.1, 9e15, 1e-9}) decimals.AppendDouble(value);
  Column fractions{.name = "fractions", .type = ColumnType::kDouble};
  for (const double value : {302.3, 1.0 / 3, 9.1e15, -0.0}) fractions.AppendDouble(value);
  Column texts{.name = "", .type = ColumnType::kText};
  for (const std::string& value :
       {std::string(), std::string("\0", 1), std::string(70'000, 'x'), std::string("y")})
    texts.AppendText(value);
  const Table table{{ints, doubles, decimals, fractions, texts}};
  const auto read = DecodeTable(EncodeTable(table));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, table);
  EXPECT_TRUE(std::signbit(read->columns[1].doubles[0]));
  EXPECT_TRUE(std::signbit(read->columns[3].doubles[3]));
}

// What most columns of records are: one text again and again, and sensors of a resolution.
TEST(EncodeTable, RepeatedTextsAndDecimalNumbersAreShort) {
  Column model{.name = "model", .type = ColumnType::kText};
  Column torque{.name = "torque", .type = ColumnType::kDouble};
  SeededRandom random(3);
  for (int row = 0; row < 1'000; ++row) {
    row % 100 == 7 ? model.AppendNull() : model.AppendText("a model of a long name, version 12");
    torque.AppendDouble(static_cast<double>(random.NextBelow(766)) / 10);
  }
  const Table table{{model, torque}};
  const std::string bytes = EncodeTable(table);
  EXPECT_LT(bytes.size(), 1'000U + 2 * 1'000 + 250);
  EXPECT_EQ(DecodeTable(bytes).value(), table);
}

TEST(DecodeTable, RepeatedTextsAreBounded) {
  // A text of 1 MiB, 270 times: 256 may repeat the one before, the rest are written out.
  Column texts{.name = "t", .type = ColumnType::kText};
  for (int i = 0; i < 270; ++i) texts.AppendText(std::string(1U << 20U, 'x'));
  const Table table{{texts}};
  const std::string bytes = EncodeTable(table);
  EXPECT_LT(bytes.size(), std::size_t{20} << 20U);
  EXPECT_EQ(DecodeTable(bytes).value(), table);

  // 1,000 more of the last one, in a byte each.
  const std::string one =
      WithCrc(std::string("SKT\x02\x01\xe8\x07\x03\x00\x01t", 10) + "\x81\x80\x40" +
              std::string(1U << 20U, 'x') + std::string(999, '\0'));
  EXPECT_EQ(DecodeTable(one).error().code(), ErrorCode::kDataLoss);
}

TEST(EncodeTable, EmptyTablesAndNanComeBack) {
  EXPECT_EQ(DecodeTable(EncodeTable(Table())).value(), Table());
  const Table no_rows{{Column{.name = "a", .type = ColumnType::kText}}};
  EXPECT_EQ(DecodeTable(EncodeTable(no_rows)).value(), no_rows);
  Table nan{{Column{.name = "a", .type = ColumnType::kDouble}}};
  nan.columns[0].AppendDouble(std::nan(""));
  EXPECT_TRUE(std::isnan(DecodeTable(EncodeTable(nan)).value().columns[0].doubles[0]));
}

TEST(EncodeTable, RandomTablesComeBack) {
  SeededRandom random(7);
  for (int round = 0; round < 200; ++round) {
    Table table;
    const std::uint64_t rows = random.NextBelow(40);
    for (std::uint64_t i = 0; i < random.NextBelow(8); ++i) {
      Column column{.name = std::to_string(i),
                    .type = static_cast<ColumnType>(random.NextBelow(5))};
      for (std::uint64_t row = 0; row < rows; ++row) {
        if (random.NextBelow(4) == 0)
          column.AppendNull();
        else if (column.type == ColumnType::kDouble)
          column.AppendDouble(random.NextGaussian());
        else if (column.type == ColumnType::kText)
          column.AppendText(std::string(random.NextBelow(20), 'a'));
        else
          column.AppendInt(column.type == ColumnType::kBool
                               ? static_cast<std::int64_t>(random.NextBelow(2))
                               : static_cast<std::int64_t>(random.NextU64()));
      }
      table.columns.push_back(std::move(column));
    }
    EXPECT_EQ(DecodeTable(EncodeTable(table)).value(), table);
  }
}

TEST(DecodeTable, EveryChangedByteIsDataLoss) {
  const std::string good = EncodeTable(Sample());
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int change : {1, 2, 16, 128, 255}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      EXPECT_EQ(DecodeTable(bad).error().code(), ErrorCode::kDataLoss) << at;
    }
}

TEST(DecodeTable, TruncationAtEachLengthIsDataLoss) {
  const std::string good = EncodeTable(Sample());
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(DecodeTable(std::string_view(good).substr(0, size)).error().code(),
              ErrorCode::kDataLoss)
        << size;
  EXPECT_EQ(DecodeTable(good + '\0').error().code(), ErrorCode::kDataLoss);
}

TEST(DecodeTable, DamageThatKeepsTheChecksumIsStillBounded) {
  const std::string good = EncodeTable(Sample());
  const std::string body = good.substr(0, good.size() - 4);
  for (std::size_t at = 4; at < body.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bad = body;
      bad[at] = static_cast<char>(value);
      const auto table = DecodeTable(WithCrc(bad));  // an error or another table, never a crash
      if (table) {
        EXPECT_LE(table->rows(), 8 * bad.size());
      }
    }
    EXPECT_EQ(DecodeTable(WithCrc(body.substr(0, at))).error().code(), ErrorCode::kDataLoss) << at;
  }
}

TEST(DecodeTable, UnknownVersionIsNamed) {
  const auto table = DecodeTable(WithCrc(std::string("SKT\x03", 4) + "whatever"));
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kUnimplemented);
  EXPECT_NE(table.error().message().find("version 3"), std::string::npos);
}

TEST(DecodeTable, CountsOverTheLimitsAreRefusedBeforeAnythingIsMade) {
  const std::string header("SKT\x02", 4);
  // 4,097 columns; 2^21 rows; both with nothing behind them.
  EXPECT_EQ(DecodeTable(WithCrc(header + "\x81\x20\x01")).error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(DecodeTable(WithCrc(header + "\x01\x80\x80\x80\x01")).error().code(),
            ErrorCode::kTooLarge);
  // One column and 2^19 rows in ten bytes.
  EXPECT_EQ(DecodeTable(WithCrc(header + "\x01\x80\x80\x20" + std::string("\x01\0\x01x", 4)))
                .error()
                .code(),
            ErrorCode::kDataLoss);
}

TEST(DecodeTable, TwoColumnsOfOneNameAreRefused) {
  Table table{{Column{.name = "a"}, Column{.name = "b"}}};
  std::string bytes = EncodeTable(table);
  bytes.resize(bytes.size() - 4);
  bytes.back() = 'a';
  EXPECT_EQ(DecodeTable(WithCrc(bytes)).error().code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace skerry
