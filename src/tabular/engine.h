// Tables in and out: reads CSV (sniffed), Parquet and newline-delimited JSON, writes zstd Parquet
// and CSV, runs SQL. The adapter of DuckDB.
//
// libduckdb.so is opened by the first TabularEngine::Open of a process (dlopen of $SKERRY_LIB_DIR
// or of lib/ beside the executable), never earlier, so that a scorer does not map its 70 MB.
// Extensions are neither installed nor loaded by themselves; memory and threads are bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"

namespace skerry {

struct TabularOptions {
  std::string memory_limit = "1GiB";
  int threads = 2;
  // Where queries larger than the memory limit spill to; empty: they fail instead.
  std::string temp_directory{};
};

// What a CSV's cells become: the types that the sniffer finds, or text exactly as written.
enum class CsvTypes { kSniffed, kText };

struct ReadOptions {
  // These alone, in this order; empty: all. A missing one is named together with those there are.
  std::vector<std::string> columns{};
  // More rows than this are kTooLarge.
  std::uint64_t max_rows = std::numeric_limits<std::uint64_t>::max();
  // No more than these are read: the first ones. (The types of a CSV are those of all rows.)
  std::uint64_t first_rows = std::numeric_limits<std::uint64_t>::max();
  // CSV: whether the first line names the columns (else column0, column1, ...).
  bool header = true;
  CsvTypes csv_types = CsvTypes::kSniffed;
  // Read as text (CSV: exactly as written) whatever they hold; those that are not there are no
  // error.
  std::vector<std::string> text_columns{};
};

// "a ""b""" and 'it''s', for SQL.
std::string QuoteIdentifier(std::string_view name);
std::string QuoteLiteral(std::string_view text);

// The rows of one query, some thousands at a time, in order and in bounded memory. Its engine
// outlives it and runs nothing else meanwhile.
class TableStream {
 public:
  TableStream(const TableStream&) = delete;
  TableStream& operator=(const TableStream&) = delete;
  ~TableStream();
  // No rows: the end. Errors are those of Query.
  Result<Table> Next();

 private:
  friend class TabularEngine;
  struct Impl;
  explicit TableStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::vector<std::string> names_{};  // of the columns, where they are not the query's
  std::string file_{};                // for errors
};

// "v1.4.1". kUnavailable as for TabularEngine::Open.
Result<std::string> DuckDbVersion();

// An in-memory database of its own. One thread at a time; make one a thread for parallel work.
//
//   SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
//   SKERRY_ASSIGN_OR_RETURN(Table table, engine->ReadFile("readings.csv", {}));
//
// Errors of the library come back as kInvalidArgument with its own message (a wrong query or file),
// kNotFound (no such file or table), kResourceExhausted (memory limit, full disk) or kInternal.
class TabularEngine {
 public:
  // kUnavailable when the library cannot be opened; the message says where it was sought.
  static Result<std::unique_ptr<TabularEngine>> Open(const TabularOptions& options);
  ~TabularEngine();
  TabularEngine(const TabularEngine&) = delete;
  TabularEngine& operator=(const TabularEngine&) = delete;

  // Runs statements and returns the last one's rows. Types: BOOLEAN → kBool; integers → kInt64
  // (UBIGINT and HUGEINT → kDouble); FLOAT, DOUBLE, DECIMAL → kDouble; DATE and every TIMESTAMP →
  // kTimestamp (UTC µs); everything else → kText as the library prints it.
  Result<Table> Query(std::string_view sql);
  Status Execute(std::string_view sql);
  // The rows of one statement as they are made; types as for Query.
  Result<std::unique_ptr<TableStream>> Stream(std::string_view sql);

  // Copies `table` into the database as the table `name`, replacing one of that name.
  Status Register(std::string_view name, const Table& table);

  // Reads a whole file. By the name's end: .parquet; .ndjson and .jsonl; everything else is CSV
  // (also .tsv, and gzip with .gz; delimiter and quoting are sniffed; a byte order mark is taken
  // off; blank cells are missing; truth values stay the words that they are). Directories called
  // day=3 are no columns: a file is what its bytes say, wherever it lies. kNotFound;
  // kInvalidArgument: no rows, no columns, ragged lines, a missing column, bytes that are no UTF-8.
  // More than limits::kTableColumns columns are kTooLarge, counted on the first line before the
  // library sees the file.
  Result<Table> ReadFile(const std::filesystem::path& path, const ReadOptions& options);

  // The same rows, some thousands at a time, in bounded memory; max_rows and first_rows do not
  // count, and no rows are no error.
  Result<std::unique_ptr<TableStream>> StreamFile(const std::filesystem::path& path,
                                                  const ReadOptions& options);
  // How many rows ReadFile would read; of CSV and NDJSON the whole file is gone through.
  Result<std::uint64_t> CountRows(const std::filesystem::path& path);

  // What stands between the cells of a CSV file, as ReadFile sees it; 0 for another kind of file.
  Result<char> DelimiterOf(const std::filesystem::path& path);

  // Parquet (PARQUET_VERSION v2, zstd) or CSV with a header line. Same table and library version,
  // same bytes. Not synced and not atomic: the caller publishes (PublishFileDurably).
  Status WriteParquet(const Table& table, const std::filesystem::path& path);
  Status WriteCsv(const Table& table, const std::filesystem::path& path);

 private:
  struct Impl;
  explicit TabularEngine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
