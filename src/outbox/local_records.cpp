#include "outbox/local_records.h"

#include "storage/file.h"

namespace skerry {
namespace {

// All sources, each with its place in the order as `source_`.
Result<std::string> SelectAll(TabularEngine& engine, const LocalRecords& records) {
  std::string sql;
  int source = 0;
  const auto add = [&](const std::string& from) {
    sql += fmt::format("{}SELECT {} AS source_, * FROM {}",
                       sql.empty() ? "" : " UNION ALL BY NAME ", source++, from);
  };
  for (const std::filesystem::path& file : records.segments)
    add(fmt::format("read_parquet({})", QuoteLiteral(file.string())));
  for (const Table& table : records.unsealed) {
    const std::string name = fmt::format("unsealed_{}", source);
    SKERRY_RETURN_IF_ERROR(engine.Register(name, table));
    add(name);
  }
  return sql;
}

}  // namespace

Result<Table> LatestRecords(const LocalRecords& records, std::size_t rows) {
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  // From the end back, as many as are needed.
  LocalRecords latest;
  std::size_t found = 0;
  for (auto table = records.unsealed.rbegin(); table != records.unsealed.rend() && found < rows;
       ++table) {
    found += table->rows();
    latest.unsealed.insert(latest.unsealed.begin(), *table);
  }
  for (auto file = records.segments.rbegin(); file != records.segments.rend() && found < rows;
       ++file) {
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t in_file, engine->CountRows(*file));
    found += in_file;
    latest.segments.insert(latest.segments.begin(), *file);
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string all, SelectAll(*engine, latest));
  return engine->Query(fmt::format(
      "SELECT * EXCLUDE (source_) FROM (SELECT * FROM ({}) ORDER BY source_ DESC, seq DESC LIMIT "
      "{}) ORDER BY source_, seq",
      all, rows));
}

Status WriteRecords(const LocalRecords& records, const std::filesystem::path& path) {
  const bool csv = path.extension() == ".csv";
  if (!csv && path.extension() != ".parquet")
    return Fail(ErrorCode::kInvalidArgument, "{}: write a name that ends in .csv or .parquet",
                path.string());
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  SKERRY_ASSIGN_OR_RETURN(const std::string all, SelectAll(*engine, records));
  const std::filesystem::path part =
      path.parent_path() / fmt::format(".{}.part", path.filename().string());
  Status done = engine->Execute(
      fmt::format("COPY (SELECT * EXCLUDE (source_) FROM ({}) ORDER BY source_, seq) TO {} ({})",
                  all, QuoteLiteral(part.string()),
                  csv ? "FORMAT csv, HEADER" : "FORMAT parquet, COMPRESSION zstd"));
  if (done) done = PublishFileDurably(part, path);
  if (!done) SKERRY_RETURN_IF_ERROR(RemoveFile(part));
  return done;
}

}  // namespace skerry
