// DuckDB, opened on first use (dlopen), so that a scorer never maps it. Reads CSV and Parquet,
// writes zstd Parquet v2 and CSV, runs SQL. Extension auto-install and auto-load are off; memory
// and threads are bounded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tabular/table.h"

namespace skerry {

struct EngineOptions {
  std::string memory_limit = "1GB";
  int threads = 2;
};

struct CsvOptions {
  // Read every column as text (values exactly as written); else types are sniffed.
  bool all_text = false;
};

// Quotes for SQL: 'it''s' and "a ""b""".
std::string SqlString(std::string_view text);
std::string SqlName(std::string_view name);

// An in-memory database of its own. Thread-safe by a lock; make one a thread for parallel work.
class TabularEngine {
 public:
  // kUnavailable when libduckdb.so cannot be opened; the message names where it was sought.
  static Result<TabularEngine> Open(const EngineOptions& options = {});
  TabularEngine(TabularEngine&&) noexcept;
  TabularEngine& operator=(TabularEngine&&) noexcept;
  ~TabularEngine();

  // The result as a table. DECIMAL, FLOAT and integers other than BIGINT are widened to double or
  // int64; HUGEINT to double; DATE and TIMESTAMP to kTimestamp; the rest to text.
  Result<Table> Query(const std::string& sql);
  Status Execute(const std::string& sql);

  // kInvalidArgument on: no such file, no header or no rows, more than limits::kTableColumns
  // columns (checked on the header alone, before anything is parsed), ragged rows, a column that
  // is there twice; each message says what, where (line), and what to do. A UTF-8 BOM is taken off.
  Result<Table> ReadCsv(const std::filesystem::path& path, const CsvOptions& options = {});
  Result<Table> ReadCsvText(std::string_view text, const CsvOptions& options = {});
  Result<Table> ReadParquet(const std::vector<std::filesystem::path>& paths);
  // By extension: .csv, .tsv, .parquet.
  Result<Table> ReadFile(const std::filesystem::path& path);

  // Not synced: the caller publishes it (storage::PublishFileDurably).
  Status WriteParquet(const Table& table, const std::filesystem::path& path);
  Status WriteCsv(const Table& table, const std::filesystem::path& path);

 private:
  struct Impl;
  explicit TabularEngine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
