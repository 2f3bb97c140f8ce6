#include "hub/lake.h"

#include <algorithm>
#include <system_error>

#include "base/clock.h"
#include "base/ids.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEngineMemory = "512MiB";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr std::string_view kInspected = "inspected";
constexpr std::string_view kReadColumns =
    "'seq', 'instance', 'n', 'model', 'primary', 'event_time', 'mono_us', 'clock'";

// 'a', 'b'
std::string PathList(const fs::path& directory, std::span<const std::string> paths) {
  std::string list;
  for (const std::string& path : paths)
    list +=
        fmt::format("{}{}", list.empty() ? "" : ", ", QuoteLiteral((directory / path).string()));
  return list;
}

std::string SourceOf(const fs::path& directory, std::span<const std::string> paths) {
  return fmt::format("read_parquet([{}], union_by_name = true, hive_partitioning = false)",
                     PathList(directory, paths));
}

std::string SourceOf(const fs::path& file) {
  return fmt::format("read_parquet({}, hive_partitioning = false)", QuoteLiteral(file.string()));
}

std::string RangesSql(std::span<const IntervalSet::Interval> ranges) {
  std::string sql;
  for (const auto& [first, last] : ranges)
    sql += fmt::format("{}seq BETWEEN {} AND {}", sql.empty() ? "" : " OR ", first, last);
  return sql.empty() ? "false" : fmt::format("({})", sql);
}

// `model` is "name:version"; the partition goes by the name.
constexpr std::string_view kModelNameSql = "coalesce(split_part(model, ':', 1), 'none')";

bool HasColumn(const LakeColumns& columns, std::string_view name) {
  return std::any_of(columns.begin(), columns.end(),
                     [&](const auto& column) { return column.first == name; });
}

// Which columns a class cannot do without (docs/formats/lake.md).
std::vector<std::string_view> RequiredColumns(RecordClass cls) {
  switch (cls) {
    case RecordClass::kAnomaly:
    case RecordClass::kSample:
    case RecordClass::kInsight: return {"seq", "instance", "n", "model", "primary"};
    case RecordClass::kLabel:
    case RecordClass::kSummary:
    case RecordClass::kDecision: return {"seq"};
  }
  return {"seq"};
}

// DuckDB says what is wrong with a file by kInvalidArgument; here that is the file's damage.
tl::unexpected<Error> Unreadable(const Error& error) {
  const bool of_file =
      error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kDataLoss;
  return tl::make_unexpected(Error(of_file ? ErrorCode::kDataLoss : error.code(), error.message()));
}

std::uint64_t CellUint(const Table& table, std::size_t column, std::size_t row) {
  const Column& cells = table.columns[column];
  if (cells.IsNull(row)) return 0;
  // Sums of DuckDB are HUGEINT, which arrive as doubles.
  if (cells.type == ColumnType::kDouble) return static_cast<std::uint64_t>(cells.doubles[row]);
  return static_cast<std::uint64_t>(cells.ints[row]);
}

Status LinkOrCopy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (!error) return {};
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error)
    return Fail(error == std::errc::no_space_on_device ? ErrorCode::kResourceExhausted
                                                       : ErrorCode::kInternal,
                "copying {} to {}: {}", from.string(), to.string(), error.message());
  return {};
}

}  // namespace

std::string ParquetSource(const fs::path& directory, std::span<const std::string> paths) {
  return fmt::format(
      "read_parquet([{}], union_by_name = true, filename = true, hive_partitioning = false)",
      PathList(directory, paths));
}

std::string UtcDate(std::int64_t utc_us) { return FormatUtc(utc_us).substr(0, 10); }

Result<std::unique_ptr<LakeWriter>> LakeWriter::Open(fs::path directory) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  return std::unique_ptr<LakeWriter>(new LakeWriter(std::move(directory)));
}

Result<TabularEngine*> LakeWriter::Engine() {
  if (!engine_) {
    SKERRY_ASSIGN_OR_RETURN(
        engine_,
        TabularEngine::Open({.memory_limit = std::string(kEngineMemory),
                             .threads = 1,
                             .temp_directory = (directory_.parent_path() / "spill").string()}));
  }
  return engine_.get();
}

Result<LakeColumns> LakeWriter::ColumnsOf(std::string_view source) {
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      engine_->Query(
          fmt::format("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {})", source)));
  LakeColumns columns;
  for (std::size_t row = 0; row < table.rows(); ++row)
    columns.emplace_back(table.columns[0].texts[row], table.columns[1].texts[row]);
  return columns;
}

std::string LakeWriter::InspectedOr(const fs::path& file) const {
  return inspected_ == file ? std::string(kInspected) : SourceOf(file);
}

Result<SegmentFacts> LakeWriter::Inspect(RecordClass cls, const fs::path& file) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(TabularEngine * engine, Engine());
  inspected_.clear();
  const Status read = engine->Execute(
      fmt::format("CREATE OR REPLACE TEMP TABLE {} AS SELECT COLUMNS(c -> c IN ({})) FROM {}",
                  kInspected, kReadColumns, SourceOf(file)));
  // Without any of them there is no table; what is missing is said all the same.
  const std::string source = read ? std::string(kInspected) : SourceOf(file);
  auto columns = ColumnsOf(source);
  if (!columns) return Unreadable(columns.error());
  for (const std::string_view name : RequiredColumns(cls)) {
    if (!HasColumn(*columns, name)) return Fail(ErrorCode::kDataLoss, "it has no column {}", name);
  }
  if (!read) return Unreadable(read.error());
  inspected_ = file;
  const bool has_model = HasColumn(*columns, "model");
  const std::string sql = fmt::format(
      "SELECT {} AS name, count(*), count(DISTINCT seq), min(seq)::BIGINT, max(seq)::BIGINT, {} "
      "FROM {} GROUP BY 1 ORDER BY 1",
      has_model ? kModelNameSql : std::string_view("'none'"),
      HasColumn(*columns, "primary") ? "count(*) FILTER (WHERE \"primary\")" : "0", source);
  const auto table = engine->Query(sql);
  if (!table) return Unreadable(table.error());
  SegmentFacts facts;
  for (std::size_t row = 0; row < table->rows(); ++row) {
    facts.model_names.push_back(table->columns[0].texts[row]);
    if (const Status name = CheckName("model name", facts.model_names.back()); !name)
      return Fail(ErrorCode::kDataLoss, "{}", name.error().message());
    facts.rows += CellUint(*table, 1, row);
    facts.distinct_seqs += CellUint(*table, 2, row);
    const std::uint64_t first = CellUint(*table, 3, row);
    facts.first_seq = row == 0 ? first : std::min(facts.first_seq, first);
    facts.last_seq = std::max(facts.last_seq, CellUint(*table, 4, row));
    facts.primary_rows += CellUint(*table, 5, row);
  }
  facts.columns = std::move(*columns);
  return facts;
}

Result<IntervalSet> LakeWriter::Differing(const fs::path& file,
                                          std::span<const IntervalSet::Interval> ranges,
                                          std::span<const std::string> stored) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(TabularEngine * engine, Engine());
  IntervalSet differing;
  const auto all = [&] {
    for (const auto& [first, last] : ranges) differing.Add(first, last);
    return differing;
  };
  if (stored.empty()) return all();
  const std::string mine = SourceOf(file);
  const std::string theirs = SourceOf(directory_, stored);
  SKERRY_ASSIGN_OR_RETURN(auto my_columns, ColumnsOf(mine));
  SKERRY_ASSIGN_OR_RETURN(auto their_columns, ColumnsOf(theirs));
  std::sort(my_columns.begin(), my_columns.end());
  std::sort(their_columns.begin(), their_columns.end());
  if (my_columns != their_columns) return all();
  std::string names;
  for (const auto& [name, type] : my_columns)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", QuoteIdentifier(name));
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      engine->Query(fmt::format("SELECT DISTINCT seq::BIGINT FROM (SELECT {0} FROM {1} WHERE {3} "
                                "EXCEPT SELECT {0} FROM {2}) ORDER BY 1",
                                names, mine, theirs, RangesSql(ranges))));
  for (std::size_t row = 0; row < table.rows(); ++row)
    differing.Add(CellUint(table, 0, row), CellUint(table, 0, row));
  return differing;
}

Status LakeWriter::Publish(const SegmentPart& part, const std::string& model_name, bool linked,
                           const fs::path& target) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
  const fs::path temporary =
      target.parent_path() /
      fmt::format(".{}.{}{}", target.filename().string(), RandomHex(6), kTemporarySuffix);
  if (linked) {
    SKERRY_RETURN_IF_ERROR(LinkOrCopy(part.file, temporary));
  } else {
    const std::string by_model =
        model_name.empty() ? std::string()
                           : fmt::format(" AND {} = {}", kModelNameSql, QuoteLiteral(model_name));
    SKERRY_RETURN_IF_ERROR(engine_->Execute(fmt::format(
        "COPY (SELECT * FROM {} WHERE {}{} ORDER BY seq) TO {} (FORMAT PARQUET, COMPRESSION zstd, "
        "PARQUET_VERSION v2)",
        SourceOf(part.file), RangesSql(part.ranges), by_model, QuoteLiteral(temporary.string()))));
  }
  return PublishFileDurably(temporary, target);
}

Status LakeWriter::CountByTime(std::string_view source, const LakeColumns& columns,
                               std::int64_t now_us, SegmentRecord& record) {
  const bool timed = HasColumn(columns, "event_time");
  const std::string bucket = timed
                                 ? fmt::format(
                                       "coalesce(CASE WHEN isfinite(event_time) THEN "
                                       "epoch_us(event_time) END, {0}) // {1} * {1}",
                                       now_us, Ledger::kCountBucketUs)
                                 : fmt::format("{0} // {1} * {1}", now_us, Ledger::kCountBucketUs);
  const bool has_primary = HasColumn(columns, "primary");
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      engine_->Query(fmt::format("SELECT ({})::BIGINT, count(*), {} FROM {} GROUP BY 1 ORDER BY 1",
                                 bucket, has_primary ? "count(*) FILTER (WHERE \"primary\")" : "0",
                                 source)));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    record.counts.emplace_back(table.columns[0].ints[row], CellUint(table, 1, row));
    record.rows += CellUint(table, 1, row);
    record.primary_rows += CellUint(table, 2, row);
  }
  return {};
}

Status LakeWriter::Store(const SegmentPart& part, const SegmentFacts& facts, std::int64_t now_us,
                         SegmentRecord& record) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] TabularEngine * engine, Engine());
  const bool split = facts.model_names.size() > 1;
  const bool linked = part.whole() && !split;
  std::vector<std::string> placed;
  for (const std::string& model_name : facts.model_names) {
    const std::string path = fmt::format("class={}/model_name={}/ingest_date={}/{}-{}.parquet",
                                         RecordClassName(part.entry.cls), model_name,
                                         part.ingest_date, part.site, part.entry.digest.hex());
    SKERRY_RETURN_IF_ERROR(Publish(part, split ? model_name : "", linked, directory_ / path));
    placed.push_back(path);
    record.files.push_back({path, model_name, 0});
  }
  // Counted from the files that were just put in place, not from what was meant to be in them; a
  // link is the segment itself.
  if (linked && inspected_ == part.file) inspected_ = directory_ / placed.front();
  const std::string source =
      placed.size() == 1 ? InspectedOr(directory_ / placed.front()) : SourceOf(directory_, placed);
  SKERRY_RETURN_IF_ERROR(CountByTime(source, facts.columns, now_us, record));
  if (!split) {
    record.files.front().rows = record.rows;
    return {};
  }
  for (LakeFile& file : record.files) {
    SKERRY_ASSIGN_OR_RETURN(
        const Table count,
        engine_->Query(fmt::format("SELECT count(*) FROM {}", SourceOf(directory_ / file.path))));
    file.rows = CellUint(count, 0, 0);
  }
  return {};
}

Result<std::uint64_t> LakeWriter::Sweep(const std::set<std::string>& known) {
  std::uint64_t removed = 0;
  std::error_code error;
  std::vector<fs::path> orphans;
  for (fs::recursive_directory_iterator entry(directory_, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file()) continue;
    if (!known.contains(entry->path().lexically_relative(directory_).string()))
      orphans.push_back(entry->path());
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory_.string(), error.message());
  for (const fs::path& orphan : orphans) {
    SKERRY_RETURN_IF_ERROR(RemoveFile(orphan));
    ++removed;
  }
  return removed;
}

Result<Table> LakeReader::Query(std::string_view sql, std::span<const std::string> paths) {
  return Run(sql, paths, nullptr);
}

Result<Table> LakeReader::QueryWith(std::string_view sql, std::span<const std::string> paths,
                                    const Table& wanted) {
  return Run(sql, paths, &wanted);
}

Result<Table> LakeReader::Run(std::string_view sql, std::span<const std::string> paths,
                              const Table* wanted) {
  if (paths.empty()) return Table();
  const std::lock_guard lock(mutex_);
  if (!engine_) {
    SKERRY_ASSIGN_OR_RETURN(
        engine_, TabularEngine::Open(
                     {.memory_limit = std::string(kEngineMemory),
                      .threads = 1,
                      .temp_directory = (directory_.parent_path() / "spill-read").string()}));
  }
  if (wanted != nullptr) SKERRY_RETURN_IF_ERROR(engine_->Register("wanted", *wanted));
  std::string text(sql);
  constexpr std::string_view kHole = "{files}";
  const std::string source = ParquetSource(directory_, paths);
  for (std::size_t at = text.find(kHole); at != std::string::npos;
       at = text.find(kHole, at + source.size()))
    text.replace(at, kHole.size(), source);
  return engine_->Query(text);
}

}  // namespace skerry
