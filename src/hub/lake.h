// The lake: released records of all sites as Parquet files that Spark, DuckDB and pandas read as
// they are. Layout and columns: docs/formats/lake.md.
//
//   lake/class=<c>/model_name=<m>/ingest_date=<YYYY-MM-DD>/<site>-<hex of the segment>.parquet
//
// LakeWriter is ingest's side: looks into arriving segments, compares rows under a known identity,
// and puts files in place, durably. The ledger, not the directory, says which files count: a file
// that the ledger does not name was left by a process that died before its commit, and Sweep
// removes it at the next start. LakeReader is everyone else's side: SQL over files that the ledger
// named. Each has a DuckDB of its own, opened at the first use, and a lock: thread-safe, one call
// at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "crypto/digest.h"
#include "hub/instance_time.h"
#include "hub/ledger.h"
#include "outbox/receipt.h"
#include "outbox/statement.h"
#include "tabular/engine.h"

namespace skerry {

// The partition of records that name no model (decision log).
constexpr std::string_view kNoModelName = "none";

// What a segment's file itself says.
// Name and DuckDB's type of the columns of a file that the hub itself reads, in its order.
using LakeColumns = std::vector<std::pair<std::string, std::string>>;

struct SegmentFacts {
  std::uint64_t rows = 0;
  std::uint64_t distinct_seqs = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  std::vector<std::string> model_names;  // sorted; kNoModelName for rows without one
  LakeColumns columns;
};

// The part of a segment that is to be stored: all of it, or the rows of some ranges.
struct SegmentPart {
  std::string site;
  SegmentEntry entry;
  std::filesystem::path file;
  std::vector<IntervalSet::Interval> ranges;  // within the entry's range
  std::string ingest_date;                    // YYYY-MM-DD
  bool whole() const {
    return ranges.size() == 1 && ranges.front().first == entry.first_seq &&
           ranges.front().second == entry.last_seq;
  }
};

class LakeWriter {
 public:
  // Makes the directory.
  static Result<std::unique_ptr<LakeWriter>> Open(std::filesystem::path directory);

  // kDataLoss when the file cannot be read or lacks a column that its class must have, with words
  // for a person; other codes are troubles of this machine.
  Result<SegmentFacts> Inspect(RecordClass cls, const std::filesystem::path& file);
  // Of the rows of `file` in `ranges`, those seqs that `stored` files do not hold with exactly the
  // same columns and values.
  Result<IntervalSet> Differing(const std::filesystem::path& file,
                                std::span<const IntervalSet::Interval> ranges,
                                std::span<const std::string> stored);
  // Puts the part's rows in place, one file a model name; durable on return. Fills the record's
  // files, rows, primary_rows and counts (bucketed by event time; by `now_us` where policy dropped
  // that).
  Status Store(const SegmentPart& part, const SegmentFacts& facts, std::int64_t now_us,
               SegmentRecord& record);
  // What the rows of a file of the lake, which has these columns, say of their clocks; none where
  // policy dropped their times.
  Result<std::vector<ClockSpan>> ClockSpans(const std::string& path, const LakeColumns& columns);
  // Removes files that are not in `known` (paths below the directory) and temporary ones; returns
  // how many.
  Result<std::uint64_t> Sweep(const std::set<std::string>& known);

 private:
  explicit LakeWriter(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Result<TabularEngine*> Engine();
  Result<LakeColumns> ColumnsOf(std::string_view source);
  // The table `inspected` where it holds the file.
  std::string InspectedOr(const std::filesystem::path& file) const;
  // An empty `model_name` takes the rows of all.
  Status Publish(const SegmentPart& part, const std::string& model_name, bool linked,
                 const std::filesystem::path& target);
  Status CountByTime(std::string_view source, const LakeColumns& columns, std::int64_t now_us,
                     SegmentRecord& record);

  const std::filesystem::path directory_;
  std::mutex mutex_;  // guards the others
  std::unique_ptr<TabularEngine> engine_;
  // The file whose columns, those that the hub itself reads, are the engine's table `inspected`:
  // to open one of some hundred columns costs as much as to read these.
  std::filesystem::path inspected_;
};

class LakeReader {
 public:
  explicit LakeReader(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // `sql` with `{files}` replaced by a read_parquet over `paths` (below the directory), columns
  // matched by name, with a column `filename`. An empty `paths` gives an empty table.
  Result<Table> Query(std::string_view sql, std::span<const std::string> paths);
  // The same, with `rows` registered as the table `wanted`.
  Result<Table> QueryWith(std::string_view sql, std::span<const std::string> paths,
                          const Table& wanted);

 private:
  Result<Table> Run(std::string_view sql, std::span<const std::string> paths, const Table* wanted);

  const std::filesystem::path directory_;
  std::mutex mutex_;  // guards engine_
  std::unique_ptr<TabularEngine> engine_;
};

// read_parquet(['a', 'b'], union_by_name = true, filename = true, hive_partitioning = false)
std::string ParquetSource(const std::filesystem::path& directory,
                          std::span<const std::string> paths);

// "2026-01-31"
std::string UtcDate(std::int64_t utc_us);

}  // namespace skerry
