// Turns committed rows into Parquet segments. Internal.
//
// Works beside the writer: reads through a connection of its own, writes the file, and asks the
// writer for the one transaction that puts the segment in the rows' place. A crash in between
// leaves a file that no row names; the next start removes it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "outbox/store.h"
#include "tabular/engine.h"

namespace skerry {

enum class SealWhich {
  kDue,  // full segments, and rows older than the age limit or of an earlier process
  kAll,
};

// Thread-safe: one seal at a time.
class Sealer {
 public:
  using OnWriter = std::function<Status(const std::function<Status(OutboxStore&)>&)>;
  // Of each segment, with its bytes.
  using OnSealed = std::function<void(RecordClass, std::uint64_t)>;
  // `database_path`: of the present generation, from any thread.
  Sealer(const OutboxOptions& options, InstanceId epoch,
         std::function<std::filesystem::path()> database_path, OnWriter on_writer,
         OnSealed on_sealed);

  Status Seal(SealWhich which);
  // Every unsealed batch of a class, decoded; those that cannot be read are left out.
  Result<std::vector<Table>> UnsealedTables(RecordClass cls);

 private:
  struct Stream;
  struct Chunk;
  Status OpenDatabase();
  Result<std::vector<Stream>> StreamsToSeal(SealWhich which);
  Status SealStream(const Stream& stream);
  // Consecutive rows of one shape and policy, at least `segment_rows` of them if there are so many
  // and the memory that a segment may take allows.
  Result<Chunk> Collect(const Stream& stream);
  Status WriteChunk(const Stream& stream, Chunk& chunk);

  const std::filesystem::path directory_;
  const InstanceId epoch_;
  const Clock* const clock_;
  const std::uint64_t segment_rows_;
  const std::int64_t segment_age_us_;
  const std::int64_t urgent_age_us_;
  const std::function<std::filesystem::path()> database_path_;
  const OnWriter on_writer_;
  const OnSealed on_sealed_;

  std::mutex mutex_;
  std::unique_ptr<Database>
      database_;  // guarded by mutex_; of the generation that it was opened for
  std::unique_ptr<TabularEngine> engine_;  // guarded by mutex_; opened by the first seal
};

}  // namespace skerry
