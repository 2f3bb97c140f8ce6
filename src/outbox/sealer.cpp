#include "outbox/sealer.h"

#include <set>

#include "outbox/batch_limits.h"
#include "storage/file.h"

namespace skerry {

struct Sealer::Stream {
  std::int64_t id = 0;
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  bool whole = false;  // also what does not fill a segment
  // Rows that come while it is sealed wait for the next turn: under load there are always some, and
  // each turn would make a tiny segment of them.
  std::uint64_t last_seq;
};

struct Sealer::Chunk {
  Table table;  // `seq` first
  SealedFile file;
  std::set<std::string> models;
  std::size_t bytes = 0;  // of the table
  bool full = false;      // the next batch does not fit, or there are enough rows
  // Set when the first batch cannot be read, and nothing else is.
  std::optional<std::int64_t> unreadable;
  std::string why;
};

namespace {

// Bytes that its cells take in memory, roughly.
std::size_t MemoryOf(const Table& table) {
  std::size_t bytes = 0;
  for (const Column& column : table.columns) {
    bytes += column.valid.size() + 8 * (column.ints.size() + column.doubles.size());
    for (const std::string& text : column.texts) bytes += sizeof(std::string) + text.size();
  }
  return bytes;
}

void AppendColumn(Column& to, Column&& from) {
  to.ints.insert(to.ints.end(), from.ints.begin(), from.ints.end());
  to.doubles.insert(to.doubles.end(), from.doubles.begin(), from.doubles.end());
  to.texts.insert(to.texts.end(), std::make_move_iterator(from.texts.begin()),
                  std::make_move_iterator(from.texts.end()));
  to.valid.insert(to.valid.end(), from.valid.begin(), from.valid.end());
}

bool SameShape(const Table& with_seq, const Table& table) {
  if (with_seq.columns.size() != table.columns.size() + 1) return false;
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    if (with_seq.columns[i + 1].name != table.columns[i].name ||
        with_seq.columns[i + 1].type != table.columns[i].type)
      return false;
  return true;
}

void AppendRows(Table& to, Table&& from, std::uint64_t first_seq) {
  if (to.columns.empty()) {
    to.columns.push_back({.name = "seq", .type = ColumnType::kInt64});
    for (const Column& column : from.columns)
      to.columns.push_back({.name = column.name, .type = column.type});
  }
  for (std::size_t row = 0; row < from.rows(); ++row)
    to.columns[0].AppendInt(static_cast<std::int64_t>(first_seq + row));
  for (std::size_t i = 0; i < from.columns.size(); ++i)
    AppendColumn(to.columns[i + 1], std::move(from.columns[i]));
}

// The batch's table, if its bytes are whole and hold as many rows as its range.
Result<Table> DecodeBatch(std::string_view body, std::uint64_t rows) {
  SKERRY_ASSIGN_OR_RETURN(Table table, DecodeTable(body));
  if (table.rows() != rows)
    return Fail(ErrorCode::kDataLoss, "a batch of {} rows holds {}", rows, table.rows());
  return table;
}

std::uint64_t U64(const SqlStatement& row, int column) {
  return static_cast<std::uint64_t>(row.Int(column));
}

}  // namespace

Sealer::Sealer(const OutboxOptions& options, InstanceId epoch,
               std::function<std::filesystem::path()> database_path, OnWriter on_writer,
               OnSealed on_sealed)
    : directory_(options.directory),
      epoch_(epoch),
      clock_(options.clock),
      segment_rows_(options.segment_rows),
      segment_age_us_(std::chrono::microseconds(options.segment_age).count()),
      urgent_age_us_(
          std::chrono::microseconds(std::min(options.segment_age, options.urgent_age)).count()),
      database_path_(std::move(database_path)),
      on_writer_(std::move(on_writer)),
      on_sealed_(std::move(on_sealed)) {}

Status Sealer::OpenDatabase() {
  const std::filesystem::path path = database_path_();
  if (database_ != nullptr && database_->path() == path) return {};
  SKERRY_ASSIGN_OR_RETURN(database_, Database::Open(path, {.read_only = true}));
  return {};
}

Status Sealer::Seal(SealWhich which) {
  const std::scoped_lock lock(mutex_);
  SKERRY_RETURN_IF_ERROR(OpenDatabase());
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Stream> streams, StreamsToSeal(which));
  for (const Stream& stream : streams) SKERRY_RETURN_IF_ERROR(SealStream(stream));
  return {};
}

Result<std::vector<Sealer::Stream>> Sealer::StreamsToSeal(SealWhich which) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare("SELECT b.stream, s.epoch, s.cls, SUM(b.last_seq - b.first_seq + 1), "
                         "MIN(b.committed_mono_us), MAX(b.last_seq), SUM(LENGTH(b.body)) FROM "
                         "batches b JOIN streams s ON s.id = "
                         "b.stream GROUP BY b.stream ORDER BY s.cls, b.stream"));
  std::vector<Stream> streams;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return streams;
    Stream stream{query.Int(0), InstanceFromBytes(query.BlobAt(1)),
                  static_cast<RecordClass>(query.Int(2)), false, U64(query, 5)};
    // The monotonic clock means nothing across processes, and nothing more comes to their streams.
    const bool aged =
        stream.epoch != epoch_ || clock_->MonotonicMicros() - query.Int(4) >=
                                      (IsUrgent(stream.cls) ? urgent_age_us_ : segment_age_us_);
    stream.whole = which == SealWhich::kAll || aged;
    if (stream.whole || U64(query, 3) >= segment_rows_ ||
        U64(query, 6) >= limits::kSegmentTableBytes)
      streams.push_back(stream);
  }
}

Status Sealer::SealStream(const Stream& stream) {
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(Chunk chunk, Collect(stream));
    if (chunk.unreadable) {
      SKERRY_RETURN_IF_ERROR(on_writer_(
          [&](OutboxStore& store) { return store.QuarantineBatch(*chunk.unreadable, chunk.why); }));
      continue;
    }
    const std::size_t rows = chunk.table.rows();
    if (rows == 0 || (!stream.whole && !chunk.full)) return {};
    SKERRY_RETURN_IF_ERROR(WriteChunk(stream, chunk));
  }
}

Result<Sealer::Chunk> Sealer::Collect(const Stream& stream) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare("SELECT id, first_seq, last_seq, primary_rows, policy, model, "
                         "oldest_utc_us, body FROM batches WHERE stream = ? AND last_seq <= ? "
                         "ORDER BY first_seq"));
  query.Bind(1, stream.id).Bind(2, static_cast<std::int64_t>(stream.last_seq));
  Chunk chunk;
  SealedFile& file = chunk.file;
  file.stream = stream.id;
  while (!chunk.full) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    const std::uint64_t first_seq = U64(query, 1);
    const std::uint64_t last_seq = U64(query, 2);
    auto table = DecodeBatch(query.BlobAt(7), last_seq - first_seq + 1);
    const bool starts = file.batches == 0;
    if (!table) {
      if (!starts) break;
      chunk.unreadable = query.Int(0);
      chunk.why = table.error().ToString();
      break;
    }
    if (!starts && (first_seq != file.last_seq + 1 || query.Text(4) != file.policy ||
                    !SameShape(chunk.table, *table)))
      break;
    const std::size_t bytes = MemoryOf(*table);
    if (!starts && chunk.bytes + bytes > limits::kSegmentTableBytes) {
      chunk.full = true;
      break;
    }
    if (starts) {
      file.first_seq = first_seq;
      file.policy = query.Text(4);
      file.oldest_utc_us = query.Int(6);
    }
    file.last_seq = last_seq;
    file.primary_rows += U64(query, 3);
    ++file.batches;
    if (!query.Text(5).empty()) chunk.models.emplace(query.Text(5));
    AppendRows(chunk.table, std::move(*table), first_seq);
    chunk.bytes += bytes;
    chunk.full = chunk.table.rows() >= segment_rows_;
  }
  return chunk;
}

Status Sealer::WriteChunk(const Stream& stream, Chunk& chunk) {
  if (engine_ == nullptr) {
    SKERRY_ASSIGN_OR_RETURN(
        engine_,
        TabularEngine::Open({.memory_limit = "256MiB", .threads = 1, .temp_directory = ""}));
  }
  SealedFile& file = chunk.file;
  file.file = fmt::format("{}-{}-{}-{}.parquet", RecordClassName(stream.cls), stream.epoch.Short(),
                          file.first_seq, file.last_seq);
  for (const std::string& model : chunk.models) file.models += model + "\n";
  const std::filesystem::path target = directory_ / "segments" / file.file;
  const std::filesystem::path temporary = directory_ / "segments" / ("." + file.file + ".tmp");
  const auto write = [&]() -> Status {
    SKERRY_RETURN_IF_ERROR(engine_->WriteParquet(chunk.table, temporary));
    SKERRY_ASSIGN_OR_RETURN(file.digest, DigestOfFile(temporary));
    std::error_code error;
    file.bytes = std::filesystem::file_size(temporary, error);
    if (error) return Fail(ErrorCode::kInternal, "{}: {}", temporary.string(), error.message());
    return PublishFileDurably(temporary, target);
  };
  Status done = write();
  if (!done && done.error().code() == ErrorCode::kResourceExhausted) {
    // A segment is a small part of its rows in the database, whose pages it frees for new ones.
    bool dropped = false;
    SKERRY_RETURN_IF_ERROR(RemoveFile(temporary));
    SKERRY_RETURN_IF_ERROR(on_writer_([&](OutboxStore& store) -> Status {
      dropped = store.GiveSpace();
      return {};
    }));
    if (dropped) done = write();
  }
  if (done) done = on_writer_([&](OutboxStore& store) { return store.InsertSegment(file); });
  if (done) {
    on_sealed_(stream.cls, file.bytes);
    return {};
  }
  SKERRY_RETURN_IF_ERROR(RemoveFile(temporary));
  // The rows changed while the file was written: the next round sees what is left.
  if (done.error().code() == ErrorCode::kConflict) return RemoveFile(target);
  // Otherwise the file stays: a commit that failed may be there after all. If not, the next seal
  // writes the same file, or the next start removes it.
  return Propagate(std::move(done), fmt::format("sealing {}", file.file));
}

Result<std::vector<Table>> Sealer::UnsealedTables(RecordClass cls) {
  const std::scoped_lock lock(mutex_);
  SKERRY_RETURN_IF_ERROR(OpenDatabase());
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare("SELECT first_seq, last_seq, body FROM batches WHERE stream IN (SELECT id "
                         "FROM streams WHERE cls = ?) ORDER BY stream, first_seq"));
  query.Bind(1, static_cast<int>(cls));
  std::vector<Table> tables;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return tables;
    auto table = DecodeBatch(query.BlobAt(2), U64(query, 1) - U64(query, 0) + 1);
    if (!table) continue;
    if (tables.empty() || !SameShape(tables.back(), *table)) tables.emplace_back();
    AppendRows(tables.back(), std::move(*table), U64(query, 0));
  }
}

}  // namespace skerry
