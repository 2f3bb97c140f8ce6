#include "tabular/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "tabular/chunks.h"
#include "tabular/csv_header.h"
#include "tabular/duckdb_library.h"
#include "tabular/table_scan.h"

namespace skerry {
namespace {

// Runs `action` at the end of the scope.
template <typename Action>
class AtEnd {
 public:
  explicit AtEnd(Action action) : action_(std::move(action)) {}
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;
  ~AtEnd() { action_(); }

 private:
  Action action_;
};

ErrorCode CodeOf(duckdb_error_type type, std::string_view message) {
  switch (type) {
    case DUCKDB_ERROR_OUT_OF_MEMORY: return ErrorCode::kResourceExhausted;
    case DUCKDB_ERROR_CATALOG: return ErrorCode::kNotFound;
    case DUCKDB_ERROR_IO:
      if (message.find("No space left") != std::string_view::npos)
        return ErrorCode::kResourceExhausted;
      return message.find("No files found") != std::string_view::npos ||
                     message.find("No such file") != std::string_view::npos
                 ? ErrorCode::kNotFound
                 : ErrorCode::kInvalidArgument;
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_FATAL: return ErrorCode::kInternal;
    default: return ErrorCode::kInvalidArgument;
  }
}

// The library explains a CSV error over many lines: what happened and where come first, then its
// own options, which nobody here can set.
std::string ShortMessage(std::string_view message) {
  constexpr std::size_t kMaxBytes = 400;
  std::string text(message.substr(0, message.find("\n\n")));
  for (const std::string_view tail : {"\nPossible", "\nThis type", "\n  file ", "\nTo fix"})
    text.resize(std::min(text.size(), text.find(tail)));
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes) + "...";
  return text;
}

bool EndsWithAny(const std::filesystem::path& path, std::initializer_list<std::string_view> ends) {
  const std::string name = path.filename().string();
  return std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

// Names that occur twice cannot be told apart by whoever asks for one of them.
Status CheckDistinct(const std::vector<std::string>& names, const std::string& file) {
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} has two columns named '{}': rename one", file,
              *twice);
}

// The function call that reads the file, and the names that its header gives (CSV with a header).
struct Source {
  std::string call;
  std::vector<std::string> names;
  std::string checking_call;  // CSV: nothing sniffed, so that an error tells the line; else empty
};

bool IsIn(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string CsvCall(const std::filesystem::path& path, const CsvHeader& header,
                    const ReadOptions& options) {
  // The delimiter is told and not sniffed: else a ragged file is taken for one wide column. All
  // rows are looked at for types: else a late word in a column of numbers fails the whole read.
  // Nothing is skipped: else all rows before one with more cells are taken for a preamble.
  // Truth values stay as written: "yes", "True" and "t" are words that whoever scores will send.
  std::string told;
  for (const std::string& name : header.fields)
    if (options.header && IsIn(options.text_columns, name))
      told += fmt::format("{}{}: 'VARCHAR'", told.empty() ? "" : ", ", QuoteLiteral(name));
  return fmt::format(
      "read_csv({}, delim={}, quote='\"', escape='\"', header={}, skip=0, all_varchar={}, "
      "sample_size=-1, hive_partitioning=false, max_line_size={}, auto_type_candidates=['BIGINT', "
      "'DOUBLE', 'TIME', 'DATE', "
      "'TIMESTAMP', "
      "'TIMESTAMPTZ', 'VARCHAR']{})",
      QuoteLiteral(path.string()), QuoteLiteral(std::string(1, header.delimiter)), options.header,
      options.csv_types == CsvTypes::kText,
      std::max(limits::kFieldBytes * 2, limits::kCsvHeaderBytes),
      told.empty() ? "" : fmt::format(", types={{{}}}", told));
}

std::string CheckingCsvCall(const std::filesystem::path& path, const CsvHeader& header) {
  std::string columns;
  for (std::size_t i = 0; i < header.fields.size(); ++i)
    columns += fmt::format("{}'c{}': 'VARCHAR'", i == 0 ? "" : ", ", i);
  return fmt::format(
      "read_csv({}, auto_detect=false, columns={{{}}}, delim={}, quote='\"', escape='\"', "
      "header=true)",
      QuoteLiteral(path.string()), columns, QuoteLiteral(std::string(1, header.delimiter)));
}

}  // namespace

struct Selection {
  std::string sql{};
  std::vector<std::string> names{};
};

struct TabularEngine::Impl {
  const DuckDbFunctions* duck = nullptr;
  duckdb_database database = nullptr;
  duckdb_connection connection = nullptr;
  ScannedTable scanned{};

  ~Impl() {
    if (connection != nullptr) duck->disconnect(&connection);
    if (database != nullptr) duck->close(&database);
  }

  Status Configure(const TabularOptions& options);
  Status ErrorOf(duckdb_result& result) const;
  // Runs every statement; the last one's rows go to `rows` if it is not null.
  Status Run(std::string_view sql, Table* rows);
  Status RunPrepared(duckdb_prepared_statement statement, Table* rows);
  Status AppendRows(const std::string& name, const Table& table);
  Status Copy(const Table& table, const std::filesystem::path& path, std::string_view format);
  Result<Source> SourceOf(const std::filesystem::path& path, const ReadOptions& options);
  Result<CsvHeader> HeaderOf(const std::filesystem::path& path);
  Result<Table> Describe(const Source& source);
  Result<Selection> Select(const Source& source, const std::string& file,
                           const ReadOptions& options);
  Result<Table> ReadSource(const Source& source, const std::string& file,
                           const ReadOptions& options);
};

Status TabularEngine::Impl::Configure(const TabularOptions& options) {
  duckdb_config config = nullptr;
  if (duck->create_config(&config) != DuckDBSuccess)
    return Fail(ErrorCode::kInternal, "DuckDB made no configuration");
  const AtEnd destroy([&] { duck->destroy_config(&config); });
  const std::pair<const char*, std::string> settings[] = {
      {"memory_limit", options.memory_limit},     {"threads", std::to_string(options.threads)},
      {"temp_directory", options.temp_directory}, {"autoinstall_known_extensions", "false"},
      {"autoload_known_extensions", "false"},
  };
  for (const auto& [name, value] : settings)
    if (duck->set_config(config, name, value.c_str()) != DuckDBSuccess)
      return Fail(ErrorCode::kInvalidArgument, "DuckDB does not take {}={}", name, value);
  char* message = nullptr;
  if (duck->open_ext(nullptr, &database, config, &message) != DuckDBSuccess) {
    const std::string text = message == nullptr ? "no reason given" : message;
    duck->free(message);
    return Fail(ErrorCode::kInvalidArgument, "DuckDB does not open: {}", ShortMessage(text));
  }
  if (duck->connect(database, &connection) != DuckDBSuccess)
    return Fail(ErrorCode::kInternal, "DuckDB gives no connection");
  scanned.duck = duck;
  SKERRY_RETURN_IF_ERROR(RegisterScan(connection, scanned));
  return Run("SET TimeZone='UTC'", nullptr);
}

Status TabularEngine::Impl::ErrorOf(duckdb_result& result) const {
  const char* text = duck->result_error(&result);
  const std::string message = text == nullptr ? "DuckDB failed without a message" : text;
  return Fail(CodeOf(duck->result_error_type(&result), message), "{}", ShortMessage(message));
}

Status TabularEngine::Impl::RunPrepared(duckdb_prepared_statement statement, Table* rows) {
  duckdb_result result{};
  const AtEnd destroy([&] { duck->destroy_result(&result); });
  if (duck->execute_prepared(statement, &result) != DuckDBSuccess) return ErrorOf(result);
  if (rows == nullptr) return {};
  SKERRY_ASSIGN_OR_RETURN(ChunkReader reader, ChunkReader::Create(*duck, result));
  for (duckdb_data_chunk chunk = duck->fetch_chunk(result); chunk != nullptr;
       chunk = duck->fetch_chunk(result)) {
    reader.Append(chunk);
    duck->destroy_data_chunk(&chunk);
  }
  *rows = reader.Take();
  return {};
}

Status TabularEngine::Impl::Run(std::string_view sql, Table* rows) {
  duckdb_extracted_statements statements = nullptr;
  const idx_t count = duck->extract_statements(connection, std::string(sql).c_str(), &statements);
  const AtEnd destroy([&] { duck->destroy_extracted(&statements); });
  if (count == 0) {
    const char* text = duck->extract_statements_error(statements);
    return Fail(ErrorCode::kInvalidArgument, "{}", ShortMessage(text == nullptr ? "no SQL" : text));
  }
  for (idx_t i = 0; i < count; ++i) {
    duckdb_prepared_statement statement = nullptr;
    const AtEnd destroy_statement([&] { duck->destroy_prepare(&statement); });
    if (duck->prepare_extracted_statement(connection, statements, i, &statement) != DuckDBSuccess) {
      const std::string message = duck->prepare_error(statement);
      const auto code = message.starts_with("Catalog Error") ? ErrorCode::kNotFound
                        : message.starts_with("IO Error")    ? CodeOf(DUCKDB_ERROR_IO, message)
                                                             : ErrorCode::kInvalidArgument;
      return Fail(code, "{}", ShortMessage(message));
    }
    SKERRY_RETURN_IF_ERROR(RunPrepared(statement, i + 1 == count ? rows : nullptr));
  }
  return {};
}

Status TabularEngine::Impl::Copy(const Table& table, const std::filesystem::path& path,
                                 std::string_view format) {
  if (table.columns.empty())
    return Fail(ErrorCode::kInvalidArgument, "a file of a table without columns: {}",
                path.string());
  scanned.table = &table;
  const AtEnd forget([&] { scanned.table = nullptr; });
  return Run(fmt::format("COPY (SELECT * FROM {}()) TO {} ({})", kScanFunction,
                         QuoteLiteral(path.string()), format),
             nullptr);
}

Status TabularEngine::Impl::AppendRows(const std::string& name, const Table& table) {
  duckdb_appender appender = nullptr;
  const AtEnd destroy_appender([&] { duck->appender_destroy(&appender); });
  if (duck->appender_create(connection, nullptr, name.c_str(), &appender) != DuckDBSuccess)
    return Fail(ErrorCode::kInternal, "cannot append to table {}", name);

  std::vector<duckdb_logical_type> types;
  const AtEnd destroy_types([&] {
    for (duckdb_logical_type& type : types) duck->destroy_logical_type(&type);
  });
  for (const Column& column : table.columns)
    types.push_back(duck->create_logical_type(DuckDbTypeOf(column.type)));
  duckdb_data_chunk chunk = duck->create_data_chunk(types.data(), types.size());
  const AtEnd destroy_chunk([&] { duck->destroy_data_chunk(&chunk); });

  const std::size_t chunk_rows = duck->vector_size();
  for (std::size_t first = 0; first < table.rows(); first += chunk_rows) {
    const std::size_t rows = std::min(chunk_rows, table.rows() - first);
    duck->data_chunk_reset(chunk);
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      SKERRY_RETURN_IF_ERROR(
          FillVector(*duck, table.columns[i], first, rows, duck->data_chunk_get_vector(chunk, i)));
    duck->data_chunk_set_size(chunk, rows);
    if (duck->append_data_chunk(appender, chunk) != DuckDBSuccess)
      return Fail(ErrorCode::kResourceExhausted, "filling table {}: {}", name,
                  ShortMessage(duck->appender_error(appender)));
  }
  if (duck->appender_close(appender) != DuckDBSuccess)
    return Fail(ErrorCode::kResourceExhausted, "filling table {}: {}", name,
                ShortMessage(duck->appender_error(appender)));
  return {};
}

Result<Source> TabularEngine::Impl::SourceOf(const std::filesystem::path& path,
                                             const ReadOptions& options) {
  const std::string literal = QuoteLiteral(path.string());
  if (EndsWithAny(path, {".parquet"}))
    return Source{fmt::format("read_parquet({}, hive_partitioning=false)", literal), {}, {}};
  if (EndsWithAny(path, {".ndjson", ".jsonl"}))
    return Source{fmt::format("read_json({}, format='newline_delimited', sample_size=-1, "
                              "hive_partitioning=false)",
                              literal),
                  {},
                  {}};
  SKERRY_ASSIGN_OR_RETURN(CsvHeader header, HeaderOf(path));
  if (!options.header) return Source{CsvCall(path, header, options), {}, {}};
  SKERRY_RETURN_IF_ERROR(CheckDistinct(header.fields, path.string()));
  if (!header.more_lines)
    return Fail(ErrorCode::kInvalidArgument, "{} has a header and no rows", path.string());
  std::string checking_call = CheckingCsvCall(path, header);
  return Source{CsvCall(path, header, options), std::move(header.fields), std::move(checking_call)};
}

// Of a compressed file the library gives the first two lines, each as one cell.
Result<CsvHeader> TabularEngine::Impl::HeaderOf(const std::filesystem::path& path) {
  if (!EndsWithAny(path, {".gz"})) return ReadCsvHeader(path);
  Table lines;
  SKERRY_RETURN_IF_ERROR(
      Run(fmt::format(
              "SELECT line FROM read_csv({}, auto_detect=false, columns={{'line': 'VARCHAR'}}, "
              "delim='\x1F', quote='', escape='', header=false, compression='gzip', "
              "max_line_size={}) LIMIT 2",
              QuoteLiteral(path.string()), limits::kCsvHeaderBytes),
          &lines),
      path.string());
  std::string text;
  for (const std::string& line : lines.columns[0].texts) text += line + "\n";
  return ParseCsvHeader(text, path.string());
}

// The names and types of its columns, as the library calls them.
Result<Table> TabularEngine::Impl::Describe(const Source& source) {
  Table described;
  Status status = Run(
      fmt::format("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {})", source.call),
      &described);
  if (status) return described;
  if (!source.checking_call.empty() && status.error().code() == ErrorCode::kInvalidArgument)
    SKERRY_RETURN_IF_ERROR(
        Run(fmt::format("SELECT count(*) FROM {}", source.checking_call), nullptr));
  return Propagate(std::move(status));
}

// The query of the wanted columns, and what they are called.
Result<Selection> TabularEngine::Impl::Select(const Source& source, const std::string& file,
                                              const ReadOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const Table described, Describe(source), file);
  const std::vector<std::string>& names = described.columns[0].texts;
  const std::vector<std::string>& types = described.columns[1].texts;
  if (names.size() > limits::kTableColumns)
    return Fail(ErrorCode::kTooLarge, "{} has {} columns, the limit is {}: leave some out", file,
                names.size(), limits::kTableColumns);
  const std::vector<std::string> given = source.names.size() == names.size() ? source.names : names;
  std::vector<std::size_t> wanted;
  for (const std::string& column : options.columns) {
    const auto found = std::find(given.begin(), given.end(), column);
    if (found == given.end())
      return Fail(ErrorCode::kInvalidArgument, "{} has no column '{}'; it has {}", file, column,
                  QuotedNames(given));
    wanted.push_back(static_cast<std::size_t>(found - given.begin()));
  }
  for (std::size_t i = 0; options.columns.empty() && i < given.size(); ++i) wanted.push_back(i);

  Selection selection;
  std::string select;
  for (const std::size_t i : wanted) {
    // Times of day, lists, structs, blobs, ids: as text.
    const bool nested = types[i].ends_with("]") || types[i].starts_with("STRUCT") ||
                        types[i].starts_with("MAP") || types[i].starts_with("UNION");
    const bool as_text = nested || types[i] == "TIME" || types[i].starts_with("TIME ") ||
                         types[i] == "INTERVAL" || types[i] == "BLOB" || types[i] == "UUID" ||
                         types[i] == "BIT" || types[i] == "\"NULL\"" ||
                         IsIn(options.text_columns, given[i]);
    // Values of mixed types: a text among them without its quotes.
    const char* form = types[i] == "JSON" ? "json_extract_string({}, '$')"
                       : as_text          ? "{}::VARCHAR"
                                          : "{}";
    select +=
        (select.empty() ? "" : ", ") + fmt::format(fmt::runtime(form), QuoteIdentifier(names[i]));
    selection.names.push_back(given[i]);
  }
  selection.sql = fmt::format("SELECT {} FROM {}", select, source.call);
  return selection;
}

Result<Table> TabularEngine::Impl::ReadSource(const Source& source, const std::string& file,
                                              const ReadOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const Selection selection, Select(source, file, options));
  const bool limited = options.max_rows < options.first_rows;
  const std::uint64_t most = limited ? options.max_rows + 1 : options.first_rows;
  Table table;
  const bool some = most < std::numeric_limits<std::uint64_t>::max();
  SKERRY_RETURN_IF_ERROR(Run(selection.sql + (some ? fmt::format(" LIMIT {}", most) : ""), &table),
                         file);
  if (limited && table.rows() > options.max_rows)
    return Fail(ErrorCode::kTooLarge, "{} has more than {} rows", file, options.max_rows);
  if (table.rows() == 0) return Fail(ErrorCode::kInvalidArgument, "{} has no rows", file);
  for (std::size_t i = 0; i < table.columns.size(); ++i) table.columns[i].name = selection.names[i];
  return table;
}

TabularEngine::TabularEngine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TabularEngine::~TabularEngine() = default;

Result<std::unique_ptr<TabularEngine>> TabularEngine::Open(const TabularOptions& options) {
  auto impl = std::make_unique<Impl>();
  SKERRY_ASSIGN_OR_RETURN(impl->duck, LoadDuckDb());
  SKERRY_RETURN_IF_ERROR(impl->Configure(options));
  return std::unique_ptr<TabularEngine>(new TabularEngine(std::move(impl)));
}

Result<Table> TabularEngine::Query(std::string_view sql) {
  Table table;
  SKERRY_RETURN_IF_ERROR(impl_->Run(sql, &table));
  return table;
}

struct TableStream::Impl {
  const DuckDbFunctions* duck = nullptr;
  duckdb_prepared_statement statement = nullptr;
  duckdb_result result{};
  std::optional<ChunkReader> reader{};

  Result<Table> End();

  ~Impl() {
    reader.reset();
    duck->destroy_result(&result);
    duck->destroy_prepare(&statement);
  }
};

TableStream::TableStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TableStream::~TableStream() = default;

// The end of the rows, or why there are no more. A thread that fails interrupts the others, and
// what DuckDB then tells may be that interruption; nobody else interrupts here, so the query is run
// once more for its reason.
Result<Table> TableStream::Impl::End() {
  for (bool again = false;; again = true) {
    const char* text = duck->result_error(&result);
    if (text == nullptr || *text == 0) {
      if (!again) return reader->Take();
      return Fail(ErrorCode::kInternal, "the query was interrupted");
    }
    const duckdb_error_type type = duck->result_error_type(&result);
    if (again || type != DUCKDB_ERROR_INTERRUPT)
      return Fail(CodeOf(type, text), "{}", ShortMessage(text));
    duck->destroy_result(&result);
    if (duck->execute_prepared_streaming(statement, &result) != DuckDBSuccess) continue;
    for (duckdb_data_chunk chunk = duck->fetch_chunk(result); chunk != nullptr;
         chunk = duck->fetch_chunk(result))
      duck->destroy_data_chunk(&chunk);
  }
}

Result<Table> TableStream::Next() {
  duckdb_data_chunk chunk = impl_->duck->fetch_chunk(impl_->result);
  if (chunk == nullptr) {
    Result<Table> end = impl_->End();
    if (end || file_.empty()) return end;
    return Propagate(std::move(end), file_);
  }
  impl_->reader->Append(chunk);
  impl_->duck->destroy_data_chunk(&chunk);
  Table table = impl_->reader->Take();
  for (std::size_t i = 0; i < names_.size(); ++i) table.columns[i].name = names_[i];
  return table;
}

Result<std::unique_ptr<TableStream>> TabularEngine::Stream(std::string_view sql) {
  auto stream = std::make_unique<TableStream::Impl>();
  stream->duck = impl_->duck;
  const DuckDbFunctions& duck = *impl_->duck;
  if (duck.prepare(impl_->connection, std::string(sql).c_str(), &stream->statement) !=
      DuckDBSuccess)
    return Fail(ErrorCode::kInvalidArgument, "{}",
                ShortMessage(duck.prepare_error(stream->statement)));
  if (duck.execute_prepared_streaming(stream->statement, &stream->result) != DuckDBSuccess)
    return Propagate(impl_->ErrorOf(stream->result));
  SKERRY_ASSIGN_OR_RETURN(ChunkReader reader, ChunkReader::Create(duck, stream->result));
  stream->reader.emplace(std::move(reader));
  return std::unique_ptr<TableStream>(new TableStream(std::move(stream)));
}

Status TabularEngine::Execute(std::string_view sql) { return impl_->Run(sql, nullptr); }

Status TabularEngine::Register(std::string_view name, const Table& table) {
  if (table.columns.empty())
    return Fail(ErrorCode::kInvalidArgument, "table {} has no columns", name);
  std::string columns;
  for (const Column& column : table.columns)
    columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", QuoteIdentifier(column.name),
                           SqlTypeOf(column.type));
  SKERRY_RETURN_IF_ERROR(impl_->Run(
      fmt::format("CREATE OR REPLACE TABLE {} ({})", QuoteIdentifier(name), columns), nullptr));
  return impl_->AppendRows(std::string(name), table);
}

Result<std::unique_ptr<TableStream>> TabularEngine::StreamFile(const std::filesystem::path& path,
                                                               const ReadOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const Source source, impl_->SourceOf(path, options));
  SKERRY_ASSIGN_OR_RETURN(Selection selection, impl_->Select(source, path.string(), options));
  SKERRY_ASSIGN_OR_RETURN(std::unique_ptr<TableStream> stream, Stream(selection.sql),
                          path.string());
  stream->names_ = std::move(selection.names);
  stream->file_ = path.string();
  return stream;
}

Result<std::uint64_t> TabularEngine::CountRows(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const Source source, impl_->SourceOf(path, {}));
  SKERRY_ASSIGN_OR_RETURN(const Table counted,
                          Query(fmt::format("SELECT count(*) FROM {}", source.call)),
                          path.string());
  return static_cast<std::uint64_t>(counted.columns[0].ints[0]);
}

Result<Table> TabularEngine::ReadFile(const std::filesystem::path& path,
                                      const ReadOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const Source source, impl_->SourceOf(path, options));
  return impl_->ReadSource(source, path.string(), options);
}

Result<char> TabularEngine::DelimiterOf(const std::filesystem::path& path) {
  if (EndsWithAny(path, {".parquet", ".ndjson", ".jsonl"})) return '\0';
  SKERRY_ASSIGN_OR_RETURN(const CsvHeader header, impl_->HeaderOf(path));
  return header.delimiter;
}

Status TabularEngine::WriteParquet(const Table& table, const std::filesystem::path& path) {
  return impl_->Copy(table, path, "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd");
}

Status TabularEngine::WriteCsv(const Table& table, const std::filesystem::path& path) {
  return impl_->Copy(table, path, "FORMAT csv, HEADER");
}

Result<std::string> DuckDbVersion() {
  SKERRY_ASSIGN_OR_RETURN(const DuckDbFunctions* duckdb, LoadDuckDb());
  return std::string(duckdb->library_version());
}

}  // namespace skerry
