#include "tabular/compaction.h"

#include <fmt/format.h>

#include <span>
#include <string>

#include "storage/file.h"
#include "storage/new_directory.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using Files = std::span<const fs::path>;

std::string SourceOf(Files files) {
  std::string list;
  for (const fs::path& file : files)
    list += (list.empty() ? "" : ", ") + QuoteLiteral(file.string());
  return fmt::format("read_parquet([{}], union_by_name = true, hive_partitioning = false)", list);
}

Result<std::uint64_t> CountRows(TabularEngine& engine, Files files) {
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      engine.Query(fmt::format("SELECT count(*)::BIGINT FROM {}", SourceOf(files))));
  return static_cast<std::uint64_t>(table.columns[0].ints[0]);
}

// Where each part ends, as indices into `files`.
Result<std::vector<std::size_t>> PlanParts(Files files, std::uint64_t part_bytes) {
  std::vector<std::size_t> ends;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].extension() != ".parquet")
      return Fail(ErrorCode::kInvalidArgument, "{} is no Parquet file: only such are put together",
                  files[i].string());
    SKERRY_ASSIGN_OR_RETURN(const FileState state, ReadFileState(files[i]));
    bytes += state.bytes;
    if (bytes >= part_bytes || i + 1 == files.size()) {
      ends.push_back(i + 1);
      bytes = 0;
    }
  }
  return ends;
}

}  // namespace

Result<Compaction> CompactParquet(TabularEngine& engine, const std::vector<fs::path>& files,
                                  const fs::path& out, std::uint64_t part_bytes,
                                  const std::function<bool()>& go_on) {
  const fs::path target = fs::absolute(out).lexically_normal();
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(target));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::size_t> ends, PlanParts(files, part_bytes));
  SKERRY_ASSIGN_OR_RETURN(
      const TemporaryDirectory work,
      TemporaryDirectory::Create("." + target.filename().string(), target.parent_path()));
  Compaction done{.files = files.size()};
  std::vector<fs::path> parts;
  std::size_t first = 0;
  for (const std::size_t end : ends) {
    if (go_on && !go_on()) return Fail(ErrorCode::kUnavailable, "interrupted");
    const Files part = Files(files).subspan(first, end - first);
    first = end;
    std::string rows = "SELECT * FROM " + SourceOf(part);
    if (ends.size() > 1)  // the columns of all, and none of their rows
      rows = fmt::format("SELECT * FROM (SELECT * FROM {} LIMIT 0) UNION ALL BY NAME {}",
                         SourceOf(files), rows);
    parts.push_back(work.path() / fmt::format("part-{:05}.parquet", parts.size()));
    // Pages of version 1: Spark 3 reads no BYTE_STREAM_SPLIT, which version 2 has of doubles.
    SKERRY_RETURN_IF_ERROR(
        engine.Execute(fmt::format("COPY ({}) TO {} (FORMAT PARQUET, COMPRESSION zstd)", rows,
                                   QuoteLiteral(parts.back().string()))));
    SKERRY_RETURN_IF_ERROR(SyncFile(parts.back()));
  }
  done.parts = parts.size();
  SKERRY_ASSIGN_OR_RETURN(done.rows, CountRows(engine, files));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t written, CountRows(engine, parts));
  if (written != done.rows)
    return Fail(ErrorCode::kFailedPrecondition,
                "the files have {} rows now, and {} were written: they changed meanwhile; compact "
                "a copy that nothing writes to",
                done.rows, written);
  SKERRY_RETURN_IF_ERROR(PublishDirectory(work, target));
  return done;
}

}  // namespace skerry
