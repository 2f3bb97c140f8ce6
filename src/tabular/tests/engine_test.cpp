#include "tabular/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "storage/file.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class TabularTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("tabular");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
    auto engine = TabularEngine::Open({});
    ASSERT_TRUE(engine) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  std::filesystem::path Write(const std::string& name, std::string_view text) {
    const std::filesystem::path path = directory_->path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  Result<Table> Read(std::string_view csv) {
    return engine_->ReadFile(Write("table.csv", csv), {});
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }

  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<TabularEngine> engine_;
};

Table EveryType() {
  Table table;
  table.columns = {{.name = "flag", .type = ColumnType::kBool},
                   {.name = "count", .type = ColumnType::kInt64},
                   {.name = "in_torque_nm", .type = ColumnType::kDouble},
                   {.name = "a \"quoted\" name", .type = ColumnType::kText},
                   {.name = "event_time", .type = ColumnType::kTimestamp}};
  for (int i = 0; i < 5'000; ++i) {
    if (i % 7 == 0) {
      for (Column& column : table.columns) column.AppendNull();
      continue;
    }
    table.columns[0].AppendInt(i % 2);
    table.columns[1].AppendInt(i - 100);
    table.columns[2].AppendDouble(i / 3.0);
    table.columns[3].AppendText(i % 2 == 0 ? "short"
                                           : "a text that does not fit inline, with \xC3\xA9");
    table.columns[4].AppendInt(1'700'000'000'000'000 + i);
  }
  return table;
}

TEST_F(TabularTest, ParquetGivesBackWhatWasWritten) {
  const Table table = EveryType();
  ASSERT_TRUE(engine_->WriteParquet(table, path("t.parquet")));
  const auto read = engine_->ReadFile(path("t.parquet"), {});
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, table);
}

TEST_F(TabularTest, DirectoriesAreNoColumns) {
  Table table;
  table.columns = {{.name = "count", .type = ColumnType::kInt64}};
  table.columns[0].AppendInt(7);
  std::filesystem::create_directories(path("count=9/day=3"));
  ASSERT_TRUE(engine_->WriteParquet(table, path("count=9/day=3/t.parquet")));
  Write("count=9/day=3/t.csv", "count\n7\n");
  Write("count=9/day=3/t.ndjson", "{\"count\": 7}\n");
  for (const char* name : {"t.parquet", "t.csv", "t.ndjson"}) {
    const auto read = engine_->ReadFile(path("count=9/day=3") / name, {});
    ASSERT_TRUE(read) << read.error().ToString();
    EXPECT_EQ(*read, table) << name;
  }
}

TEST_F(TabularTest, SameTableGivesTheSameParquetBytes) {
  ASSERT_TRUE(engine_->WriteParquet(EveryType(), path("a.parquet")));
  ASSERT_TRUE(engine_->WriteParquet(EveryType(), path("b.parquet")));
  EXPECT_EQ(*skerry::ReadFile(path("a.parquet"), 1U << 30U),
            *skerry::ReadFile(path("b.parquet"), 1U << 30U));
}

TEST_F(TabularTest, ParquetIsVersion2AndZstd) {
  ASSERT_TRUE(engine_->WriteParquet(EveryType(), path("t.parquet")));
  const auto facts =
      engine_->Query(fmt::format("SELECT DISTINCT compression FROM parquet_metadata({0}); ",
                                 QuoteLiteral(path("t.parquet").string())));
  ASSERT_TRUE(facts) << facts.error().ToString();
  EXPECT_EQ(facts->columns[0].texts, std::vector<std::string>{"ZSTD"});
}

TEST_F(TabularTest, CsvGivesBackWhatWasWritten) {
  Table table = EveryType();
  ASSERT_TRUE(engine_->WriteCsv(table, path("t.csv")));
  const auto read = engine_->ReadFile(path("t.csv"), {});
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->columns[0].texts[1], "true");  // truth values come back as words
  EXPECT_TRUE(
      std::equal(read->columns.begin() + 1, read->columns.end(), table.columns.begin() + 1));
}

TEST_F(TabularTest, CsvTypesAreSniffedAndBlankCellsAreMissing) {
  const auto table =
      Read("\xEF\xBB\xBFn,x,\"name, quoted\",ok\n1,1.5,a,True\n2,,\"b\",false\n,NaN,,\n");
  ASSERT_TRUE(table) << table.error().ToString();
  ASSERT_EQ(table->columns.size(), 4U);
  EXPECT_EQ(table->columns[0].name, "n");
  EXPECT_EQ(table->columns[0].type, ColumnType::kInt64);
  EXPECT_TRUE(table->columns[0].IsNull(2));
  EXPECT_EQ(table->columns[1].type, ColumnType::kDouble);
  EXPECT_TRUE(table->columns[1].IsNull(1));
  EXPECT_TRUE(std::isnan(table->columns[1].doubles[2]));
  EXPECT_EQ(table->columns[2].name, "name, quoted");
  EXPECT_EQ(table->columns[2].texts[1], "b");
  EXPECT_TRUE(table->columns[2].IsNull(2));
  EXPECT_EQ(table->columns[3].texts[0], "True");
}

TEST_F(TabularTest, ALateWordMakesAColumnText) {
  std::string csv = "x\n";
  for (int i = 0; i < 30'000; ++i) csv += fmt::format("{}\n", i);
  const auto table = Read(csv + "broken\n");
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->columns[0].type, ColumnType::kText);
  EXPECT_EQ(table->columns[0].texts.back(), "broken");
}

TEST_F(TabularTest, TextModeKeepsCellsAsWritten) {
  const auto table =
      engine_->ReadFile(Write("t.csv", "a,b\n007,1.50\n"), {.csv_types = CsvTypes::kText});
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->columns[0].texts[0], "007");
  EXPECT_EQ(table->columns[1].texts[0], "1.50");
}

TEST_F(TabularTest, OtherDelimitersAreFound) {
  const auto table = Read("a;b\n1,5;x\n");
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->columns.size(), 2U);
  EXPECT_EQ(table->columns[0].texts[0], "1,5");
}

TEST_F(TabularTest, GzippedCsvIsReadWithTheSameLimits) {
  const auto copy = [&](const std::string& select, const std::string& name) {
    ASSERT_TRUE(engine_->Execute(
        fmt::format("COPY ({}) TO {} (FORMAT csv, HEADER, DELIMITER ';', COMPRESSION gzip)", select,
                    QuoteLiteral(path(name).string()))));
  };
  copy("SELECT 1.5 AS a, 'x,y' AS b", "t.csv.gz");
  const auto table = engine_->ReadFile(path("t.csv.gz"), {});
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->Find("b")->texts[0], "x,y");
  std::string wide = "1 AS c0";
  for (int i = 1; i < 4'097; ++i) wide += fmt::format(", 1 AS c{}", i);
  copy("SELECT " + wide, "wide.csv.gz");
  const auto refused = engine_->ReadFile(path("wide.csv.gz"), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
}

TEST_F(TabularTest, NdjsonIsRead) {
  const auto table = engine_->ReadFile(Write("t.ndjson", "{\"a\":1,\"b\":[1]}\n{\"a\":2.5}\n"), {});
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->columns[0].doubles[1], 2.5);
  EXPECT_EQ(table->columns[1].texts[0], "[1]");
}

TEST_F(TabularTest, FilesWithoutRowsAreRefused) {
  for (const std::string_view csv : {"", "a,b\n", "\n\n"}) {
    const auto table = Read(csv);
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(table.error().message(), HasSubstr("no rows"));
  }
}

TEST_F(TabularTest, RaggedLinesAreRefusedWithTheLine) {
  const auto table = Read("a,b\n1,2\n3,4,5\n6,7\n");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(table.error().message(), HasSubstr("ine: 3"));
}

TEST_F(TabularTest, BinaryBytesAreRefused) {
  const auto table = Read(std::string_view("a,b\n\xFF\xFE\x80,\x01\n", 9));
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kInvalidArgument) << table.error().ToString();
}

TEST_F(TabularTest, MissingFileIsNotFound) {
  for (const char* name : {"none.csv", "none.parquet", "none.ndjson"}) {
    const auto table = engine_->ReadFile(path(name), {});
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code(), ErrorCode::kNotFound) << table.error().ToString();
  }
}

TEST_F(TabularTest, MissingColumnIsNamedWithThoseThereAre) {
  const auto table = engine_->ReadFile(Write("t.csv", "a,b\n1,2\n"), {.columns = {"b", "c"}});
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().message(), HasSubstr("no column 'c'; it has 'a', 'b'"));
  const auto subset = engine_->ReadFile(path("t.csv"), {.columns = {"b"}});
  ASSERT_TRUE(subset);
  EXPECT_EQ(subset->columns.size(), 1U);
}

TEST_F(TabularTest, TwoColumnsOfOneNameAreRefused) {
  const auto table = Read("a,a\n1,2\n");
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().message(), HasSubstr("two columns named 'a'"));
  const auto by_case = Read("a,A\n1,2\n");
  ASSERT_TRUE(by_case) << by_case.error().ToString();
  EXPECT_EQ(by_case->columns[1].name, "A");
}

TEST_F(TabularTest, RowLimitIsNamed) {
  const auto table = engine_->ReadFile(Write("t.csv", "a\n1\n2\n3\n"), {.max_rows = 2});
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kTooLarge);
}

TEST_F(TabularTest, TooManyColumnsAreRefusedAtOnce) {
  for (const int columns : {4'097, 200'000, 5'000'000}) {
    std::string line = "c0";
    for (int i = 1; i < columns; ++i) line += fmt::format(",c{}", i);
    const auto start = std::chrono::steady_clock::now();
    const auto table = Read(line + "\n" + std::string(1'000, '1') + "\n");
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code(), ErrorCode::kTooLarge);
    EXPECT_THAT(table.error().message(), HasSubstr("the limit is 4096"));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 1L << 20L);  // KiB
}

TEST_F(TabularTest, AsManyColumnsAsTheLimitAreRead) {
  std::string names = "c0";
  std::string values = "0.5";
  for (int i = 1; i < 4'096; ++i) {
    names += fmt::format(",c{}", i);
    values += ",0.5";
  }
  const auto table = Read(names + "\n" + values + "\n");
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->columns.size(), 4'096U);
}

TEST_F(TabularTest, QueriesJoinRegisteredTables) {
  ASSERT_TRUE(engine_->Register("records", EveryType()));
  const auto table = engine_->Query(
      "SELECT count(*) AS n, sum(\"count\") AS total, 1.25::DECIMAL(5,2) AS d, DATE '1970-01-02' "
      "AS "
      "day, 'x'::ENUM('x','y') AS e FROM records WHERE flag");
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->Find("n")->ints[0], 2'143);
  EXPECT_EQ(table->Find("total")->type, ColumnType::kDouble);
  EXPECT_EQ(table->Find("d")->doubles[0], 1.25);
  EXPECT_EQ(table->Find("day")->ints[0], 86'400'000'000);
  EXPECT_EQ(table->Find("e")->texts[0], "x");
}

TEST_F(TabularTest, OnlyTheLastStatementsRowsComeBack) {
  const auto table = engine_->Query("CREATE TABLE t AS SELECT 1 AS a; SELECT a + 1 AS b FROM t");
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->Find("b")->ints[0], 2);
}

TEST_F(TabularTest, ErrorsKeepTheLibrarysMessage) {
  const auto syntax = engine_->Query("SELEC 1");
  ASSERT_FALSE(syntax);
  EXPECT_EQ(syntax.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(syntax.error().message(), HasSubstr("SELEC"));
  const auto table = engine_->Query("SELECT * FROM nowhere");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kNotFound);
  const auto list = engine_->Query("SELECT [1, 2] AS l");
  ASSERT_FALSE(list);
  EXPECT_THAT(list.error().message(), HasSubstr("column 'l'"));
}

TEST_F(TabularTest, MemoryLimitIsAnErrorAndNotADeath) {
  auto small = TabularEngine::Open({.memory_limit = "20MiB", .threads = 1});
  ASSERT_TRUE(small);
  const auto table = (*small)->Query("SELECT list(i) IS NULL FROM range(20000000) t(i)");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code(), ErrorCode::kResourceExhausted) << table.error().ToString();
  EXPECT_TRUE((*small)->Query("SELECT 1"));
}

TEST_F(TabularTest, StreamGivesTheRowsOfAQueryInOrder) {
  auto stream = engine_->Stream("SELECT i, i::VARCHAR AS word FROM range(100000) t(i)");
  ASSERT_TRUE(stream) << stream.error().message();
  std::int64_t rows = 0;
  std::size_t pieces = 0;
  for (;; ++pieces) {
    const auto piece = (*stream)->Next();
    ASSERT_TRUE(piece) << piece.error().message();
    ASSERT_EQ(piece->columns.at(1).name, "word");
    if (piece->rows() == 0) break;
    for (std::size_t i = 0; i < piece->rows(); ++i, ++rows) {
      ASSERT_EQ(piece->columns[0].ints[i], rows);
      ASSERT_EQ(piece->columns[1].texts[i], std::to_string(rows));
    }
  }
  EXPECT_EQ(rows, 100'000);
  EXPECT_GT(pieces, 10U);
}

TEST_F(TabularTest, StreamSaysWhatWentWrongOnTheWay) {
  EXPECT_EQ(engine_->Stream("SELECT nonsense").error().code(), ErrorCode::kInvalidArgument);
  auto stream = engine_->Stream(
      "SELECT CASE WHEN i < 5000000 THEN 1 ELSE error('row ' || i) END FROM range(10000000) t(i)");
  ASSERT_TRUE(stream) << stream.error().message();
  Result<Table> piece = (*stream)->Next();
  while (piece && piece->rows() > 0) piece = (*stream)->Next();
  ASSERT_FALSE(piece);
  EXPECT_THAT(piece.error().message(), HasSubstr("row 5"));
}

TEST_F(TabularTest, AFileIsStreamedAsItIsRead) {
  std::string text = "a,b \"x\",code\n";
  for (int row = 0; row < 5'000; ++row) text += std::to_string(row) + ",1.5,007\n";
  Write("t.csv", text);
  ReadOptions options;
  options.text_columns = {"code"};
  options.columns = {"code", "a"};
  const auto whole = engine_->ReadFile(path("t.csv"), options);
  ASSERT_TRUE(whole) << whole.error().ToString();
  const auto stream = engine_->StreamFile(path("t.csv"), options);
  ASSERT_TRUE(stream) << stream.error().ToString();
  Table all;
  std::size_t pieces = 0;
  for (auto piece = (*stream)->Next(); piece && piece->rows() > 0; piece = (*stream)->Next()) {
    ++pieces;
    if (all.columns.empty()) {
      all = *piece;
      continue;
    }
    for (std::size_t i = 0; i < all.columns.size(); ++i)
      for (std::size_t row = 0; row < piece->rows(); ++row)
        all.columns[i].AppendFrom(piece->columns[i], row);
  }
  EXPECT_GT(pieces, 1U);
  EXPECT_EQ(all, *whole);
  const auto rows = engine_->CountRows(path("t.csv"));
  ASSERT_TRUE(rows);
  EXPECT_EQ(*rows, 5'000U);
  EXPECT_FALSE(engine_->StreamFile(path("absent.csv"), {}));
}

TEST_F(TabularTest, NoExtensionIsFetched) {
  EXPECT_FALSE(engine_->Query("SELECT * FROM read_xlsx('a.xlsx')"));
  const auto settings = engine_->Query(
      "SELECT current_setting('autoinstall_known_extensions') OR "
      "current_setting('autoload_known_extensions') AS any_on");
  ASSERT_TRUE(settings) << settings.error().ToString();
  EXPECT_EQ(settings->columns[0].ints[0], 0);
}

TEST_F(TabularTest, TextThatIsNotUtf8IsNamed) {
  Table table;
  table.columns = {{.name = "note", .type = ColumnType::kText}};
  table.columns[0].AppendText("fine");
  table.columns[0].AppendText("\xFF\xFE");
  const auto status = engine_->WriteParquet(table, path("t.parquet"));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("column 'note', row 2"));
}

TEST_F(TabularTest, Ai4iIsReadWithItsTypes) {
  const char* data = std::getenv("SKERRY_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "SKERRY_TEST_DATA is not set";
  const auto table = engine_->ReadFile(std::filesystem::path(data) / "ai4i2020/ai4i2020.csv", {});
  ASSERT_TRUE(table) << table.error().ToString();
  EXPECT_EQ(table->rows(), 10'000U);
  EXPECT_EQ(table->Find("UDI")->type, ColumnType::kInt64);
  EXPECT_EQ(table->Find("Type")->type, ColumnType::kText);
  EXPECT_EQ(table->Find("Torque [Nm]")->type, ColumnType::kDouble);
}

TEST(Quoting, DoublesTheQuotes) {
  EXPECT_EQ(QuoteIdentifier("a \"b\""), "\"a \"\"b\"\"\"");
  EXPECT_EQ(QuoteLiteral("it's"), "'it''s'");
}

}  // namespace
}  // namespace skerry
