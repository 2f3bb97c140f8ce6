#include "outbox/store.h"

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "base/log.h"
#include "storage/file.h"

namespace skerry {
namespace {

// Of the disk, kept back for receipts when it is full.
constexpr std::uint64_t kBallastBytes = std::uint64_t{4} << 20U;

}  // namespace
OutboxStore::OutboxStore(const OutboxOptions& options, InstanceId epoch)
    : directory_(options.directory),
      site_(options.site),
      epoch_(epoch),
      key_(options.key),
      clock_(options.clock),
      quota_bytes_(options.quota_bytes),
      grace_quota_bytes_(options.grace_bytes),
      grace_age_(options.grace_age),
      class_limits_(options.classes),
      ledger_rows_(options.ledger_rows),
      boot_(ReadBootId()),
      ballast_(options.directory / "ballast", std::min(kBallastBytes, options.quota_bytes / 16)),
      watch_(*options.clock, epoch) {}

Result<std::unique_ptr<OutboxStore>> OutboxStore::Open(const OutboxOptions& options,
                                                       InstanceId epoch) {
  std::unique_ptr<OutboxStore> store(new OutboxStore(options, epoch));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store->segments_directory(), 0700));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(store->directory_ / "quarantine", 0700));
  SKERRY_RETURN_IF_ERROR(store->OpenDatabase(), "opening the outbox");
  SKERRY_RETURN_IF_ERROR(store->CheckSegmentFiles(), "checking the outbox's segments");
  store->ballast_.Keep();
  return store;
}

Status OutboxStore::OpenDatabase() {
  SKERRY_ASSIGN_OR_RETURN(std::uint64_t number, LatestGeneration(directory_));
  number = std::max<std::uint64_t>(number, 1);
  generation_ = number;
  const bool failed = GenerationFailed(directory_, number);
  Status opened = failed ? NextGeneration() : OpenGeneration(number);
  if (opened && !failed) return RemoveGenerationsBefore(directory_, number, false);
  if (!opened && !failed && opened.error().code() == ErrorCode::kDataLoss)
    opened = NextGeneration();
  if (!opened && opened.error().code() == ErrorCode::kDataLoss) return StartAnew(opened.error());
  return opened;
}

Status OutboxStore::OpenGeneration(std::uint64_t number) {
  database_.reset();
  SKERRY_ASSIGN_OR_RETURN(database_, Database::Open(GenerationPath(directory_, number)));
  SKERRY_RETURN_IF_ERROR(database_->Migrate(OutboxMigrations()));
  {
    SKERRY_ASSIGN_OR_RETURN(
        auto insert, database_->Prepare("INSERT OR IGNORE INTO state(id, site) VALUES(1, ?)"));
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, site_).Run());
  }
  return LoadCaches();
}

Status OutboxStore::NextGeneration() {
  SKERRY_ASSIGN_OR_RETURN(const Salvage salvage, SalvageGeneration(directory_, generation_));
  salvaged_in_part_ = salvaged_in_part_ || !salvage.lost.empty();
  SKERRY_RETURN_IF_ERROR(OpenGeneration(salvage.number));
  generation_ = salvage.number;
  return RemoveGenerationsBefore(directory_, salvage.number, !salvage.lost.empty());
}

// A site has to start whatever became of its outbox. The numbers that a hub compares go on above
// those that were used, by the clock.
Status OutboxStore::StartAnew(const Error& why) {
  LogError("outbox cannot read its database, sets it aside and begins anew reason={}",
           why.ToString());
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t latest, LatestGeneration(directory_));
  database_.reset();
  SKERRY_RETURN_IF_ERROR(RemoveGenerationsBefore(directory_, latest + 1, true));
  salvaged_in_part_ = true;
  SKERRY_RETURN_IF_ERROR(OpenGeneration(latest + 1));
  generation_ = latest + 1;
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  const auto now_us = static_cast<std::uint64_t>(std::max<std::int64_t>(clock_->UtcMicros(), 0));
  work.state.status_counter = now_us;
  work.state.last_statement = now_us / 1'000'000;
  return Commit(work);
}

Status OutboxStore::LoadCaches() {
  SKERRY_ASSIGN_OR_RETURN(state_, ReadState(*database_));
  if (state_.site != site_)
    return Fail(
        ErrorCode::kFailedPrecondition,
        "{} is the outbox of site {}, not of {}: give each site a data directory of its own",
        directory_.string(), state_.site, site_);
  epoch_noted_ = false;
  instances_.clear();
  streams_.clear();
  SKERRY_ASSIGN_OR_RETURN(const std::vector<StreamRow> streams, ReadStreams(*database_));
  for (const StreamRow& stream : streams)
    if (stream.epoch == epoch_) streams_[stream.cls] = stream;
  return CountBytes();
}

Status OutboxStore::CountBytes() {
  SKERRY_ASSIGN_OR_RETURN(segment_bytes_,
                          ReadNumber(*database_, "SELECT SUM(bytes) FROM segments"));
  SKERRY_ASSIGN_OR_RETURN(
      grace_bytes_, ReadNumber(*database_, "SELECT SUM(bytes) FROM receipted WHERE file != ''"));
  SKERRY_ASSIGN_OR_RETURN(
      grace_segments_, ReadNumber(*database_, "SELECT COUNT(*) FROM receipted WHERE file != ''"));
  return {};
}

// A file without a row is what an interrupted seal left behind, or one whose deletion was
// interrupted; or its row was lost with a part of the database, and then it is kept aside. A row
// without its file is damage, or the end of a grace where a receipt covers it.
Status OutboxStore::CheckSegmentFiles() {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, ReadSegments(*database_, "1"));
  std::set<std::string> known;
  for (const SegmentRow& segment : segments) known.insert(segment.file);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> receipted,
                          ReadReceipted(*database_, "file != ''"));
  std::vector<SegmentRow> ended;
  for (const SegmentRow& segment : receipted) {
    known.insert(segment.file);
    if (grace_quota_bytes_ == 0 || !HasWholeFile(segment)) ended.push_back(segment);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(segments_directory(), error)) {
    if (known.contains(entry.path().filename().string())) continue;
    LogInfo("outbox removes a file that no segment names file={}", entry.path().string());
    if (salvaged_in_part_) {
      SKERRY_RETURN_IF_ERROR(
          PublishFileDurably(entry.path(), directory_ / "quarantine" / entry.path().filename()));
    } else {
      SKERRY_RETURN_IF_ERROR(RemoveFile(entry.path()));
    }
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", segments_directory().string(),
                error.message());
  for (const SegmentRow& segment : segments) {
    const auto bytes = std::filesystem::file_size(segments_directory() / segment.file, error);
    if (!error && bytes == segment.bytes) continue;
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(segment.digest));
    SKERRY_RETURN_IF_ERROR(
        QuarantineSegment(digest, error ? "its file is missing" : "its file has another length"));
  }
  const Status done = EndGrace(ended);
  // A full disk keeps no site from starting; the rows tell of files that are not there meanwhile.
  if (!done && done.error().code() == ErrorCode::kResourceExhausted) return {};
  return done;
}

Result<OutboxStore::Work> OutboxStore::Begin() {
  SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  return Work{std::move(transaction), state_, streams_};
}

Status OutboxStore::Commit(Work& work) {
  SKERRY_RETURN_IF_ERROR(WriteState(*database_, work.state));
  SKERRY_RETURN_IF_ERROR(work.transaction.Commit());
  state_ = std::move(work.state);
  streams_ = std::move(work.streams);
  return {};
}

Status OutboxStore::MendIfDamaged() {
  if (database_->IntegrityCheck()) return {};
  return NextGeneration();
}

void OutboxStore::Distrust() { MarkGenerationFailed(directory_, generation_); }

Result<bool> OutboxStore::Recover() {
  const std::uint64_t commits = state_.commits;
  SKERRY_RETURN_IF_ERROR(NextGeneration(), "copying the outbox after a failed write");
  return state_.commits > commits;
}

Status OutboxStore::InsertSegment(const SealedFile& sealed) {
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(
      auto remove,
      database_->Prepare(
          "DELETE FROM batches WHERE stream = ? AND first_seq >= ? AND last_seq <= ?"));
  SKERRY_RETURN_IF_ERROR(
      remove.Bind(1, sealed.stream).Bind(2, sealed.first_seq).Bind(3, sealed.last_seq).Run());
  if (static_cast<std::uint64_t>(database_->changes()) != sealed.batches)
    return Fail(ErrorCode::kConflict, "the rows of segment {} changed while it was written",
                sealed.file);
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare("INSERT INTO segments(stream, first_seq, last_seq, primary_rows, bytes, "
                         "digest, file, policy, models, oldest_utc_us) "
                         "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  SKERRY_RETURN_IF_ERROR(insert.Bind(1, sealed.stream)
                             .Bind(2, sealed.first_seq)
                             .Bind(3, sealed.last_seq)
                             .Bind(4, sealed.primary_rows)
                             .Bind(5, sealed.bytes)
                             .Bind(6, sealed.digest.ToString())
                             .Bind(7, sealed.file)
                             .Bind(8, sealed.policy)
                             .Bind(9, sealed.models)
                             .Bind(10, sealed.oldest_utc_us)
                             .Run());
  SKERRY_RETURN_IF_ERROR(Commit(work));
  segment_bytes_ += sealed.bytes;
  return {};
}

Status OutboxStore::QuarantineBatch(std::int64_t id, std::string_view reason) {
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(auto query,
                          database_->Prepare("SELECT stream, first_seq, last_seq, primary_rows "
                                             "FROM batches WHERE id = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Bind(1, id).Step());
  if (!found) return {};  // shed meanwhile
  const std::int64_t stream = query.Int(0);
  const auto first_seq = static_cast<std::uint64_t>(query.Int(1));
  const auto last_seq = static_cast<std::uint64_t>(query.Int(2));
  const auto primary_rows = static_cast<std::uint64_t>(query.Int(3));
  query.Reset();
  SKERRY_ASSIGN_OR_RETURN(
      auto move, database_->Prepare("INSERT INTO quarantine(stream, first_seq, last_seq, reason, "
                                    "at_us, body) SELECT stream, first_seq, last_seq, ?, ?, body "
                                    "FROM batches WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(move.Bind(1, reason).Bind(2, clock_->UtcMicros()).Bind(3, id).Run());
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM batches WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(remove.Bind(1, id).Run());
  SKERRY_RETURN_IF_ERROR(AddGap(stream, first_seq, last_seq, primary_rows, kGapDamage, 0));
  work.state.damaged += primary_rows;
  LogError("outbox sets an unreadable batch aside stream={} seq={}-{} reason={}", stream, first_seq,
           last_seq, reason);
  return Commit(work);
}

Status OutboxStore::QuarantineSegment(const Digest& digest, std::string_view reason) {
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<SegmentRow> found,
      ReadSegments(*database_, fmt::format("digest = '{}'", digest.ToString())));
  if (found.empty())
    return Fail(ErrorCode::kNotFound, "the outbox has no segment {}", digest.ToString());
  for (const SegmentRow& segment : found) {
    SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
    SKERRY_RETURN_IF_ERROR(TakeSegmentOut(segment, kGapDamage));
    work.state.damaged += segment.primary_rows;
    SKERRY_RETURN_IF_ERROR(Commit(work));
    segment_bytes_ -= segment.bytes;
    LogError("outbox sets a segment aside file={} reason={}", segment.file, reason);
    std::error_code error;  // an absent file is what the reason may be
    std::filesystem::rename(segments_directory() / segment.file,
                            directory_ / "quarantine" / segment.file, error);
  }
  return {};
}

Status OutboxStore::TakeSegmentOut(const SegmentRow& segment, std::string_view reason) {
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM segments WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(remove.Bind(1, segment.id).Run());
  return AddGap(segment.stream, segment.first_seq, segment.last_seq, segment.primary_rows, reason,
                segment.shipment);
}

Result<OutboxStore::TakenOut> OutboxStore::TakeBatchesOut(std::string_view which,
                                                          std::string_view reason) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare(fmt::format(
          "SELECT id, stream, first_seq, last_seq, primary_rows FROM batches WHERE {}", which)));
  std::vector<GapRow> batches;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    GapRow& batch = batches.emplace_back();
    batch.id = query.Int(0);
    batch.stream = query.Int(1);
    batch.first_seq = static_cast<std::uint64_t>(query.Int(2));
    batch.last_seq = static_cast<std::uint64_t>(query.Int(3));
    batch.primary_rows = static_cast<std::uint64_t>(query.Int(4));
  }
  query.Reset();
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM batches WHERE id = ?"));
  TakenOut taken{batches.size(), 0};
  for (const GapRow& batch : batches) {
    SKERRY_RETURN_IF_ERROR(
        AddGap(batch.stream, batch.first_seq, batch.last_seq, batch.primary_rows, reason, 0));
    SKERRY_RETURN_IF_ERROR(remove.Bind(1, batch.id).Run());
    taken.primary_rows += batch.primary_rows;
  }
  return taken;
}

// Neighbours are merged, but not where a range had been offered: the hub may have it, and then its
// own part of the gap has to be taken back.
Status OutboxStore::AddGap(std::int64_t stream, std::uint64_t first_seq, std::uint64_t last_seq,
                           std::uint64_t primary_rows, std::string_view reason,
                           std::uint64_t origin) {
  if (origin == 0) {
    SKERRY_ASSIGN_OR_RETURN(
        auto extend,
        database_->Prepare("UPDATE gaps SET last_seq = ?, primary_rows = primary_rows + ? WHERE "
                           "stream = ? AND last_seq = ? AND reason = ? AND shipment = 0 AND "
                           "origin = 0 AND closed = 0"));
    SKERRY_RETURN_IF_ERROR(extend.Bind(1, last_seq)
                               .Bind(2, primary_rows)
                               .Bind(3, stream)
                               .Bind(4, first_seq - 1)
                               .Bind(5, reason)
                               .Run());
    if (database_->changes() > 0) return {};
  }
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT INTO gaps(stream, first_seq, last_seq, primary_rows, "
                                      "reason, origin) VALUES(?, ?, ?, ?, ?, ?)"));
  return insert.Bind(1, stream)
      .Bind(2, first_seq)
      .Bind(3, last_seq)
      .Bind(4, primary_rows)
      .Bind(5, reason)
      .Bind(6, origin)
      .Run();
}

}  // namespace skerry
