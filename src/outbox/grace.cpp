// What receipts have covered, and what becomes of it when the hub turns out to have lost it again.
//
// A covered segment leaves the backlog and becomes a row of `receipted`. Its file stays where it is
// for a grace, as long as nothing else wants the space: more backlog, a quota, a disk that fills
// up. The row stays for longer, since it knows how many primary rows its range has.
//
// No file is moved, and a file goes before its row forgets it: a row whose file is not there is no
// damage, only the end of a grace.
#include <algorithm>
#include <filesystem>
#include <limits>
#include <tuple>

#include "base/log.h"
#include "outbox/store.h"
#include "storage/file.h"

namespace skerry {
namespace {

// Rows that know a segment without having it. Beyond them the oldest neighbours are merged.
constexpr std::uint64_t kReceiptedRows = 20'000;
constexpr std::uint64_t kQuotaBytesARow = 2'048;  // so that small quotas are not filled by them
// Of a disk, left free by what is kept for a grace.
constexpr std::uint64_t kDiskShareFree = 20;
constexpr std::uint64_t kDiskBytesFree = std::uint64_t{1} << 30U;
// So that a status can name them all as pending (limits::kStatusPending) when they are offered
// again.
constexpr std::uint64_t kGraceSegments = 10'000;
constexpr std::size_t kEndedAtOnce = 4'096;

std::uint64_t RowsOf(const SegmentRow& row) { return row.last_seq - row.first_seq + 1; }

// Primary rows in `part` of the row's range. Exact where all rows of it are primary or none is, or
// where the part is the whole; else by share, which happens to ranges that were merged long ago.
std::uint64_t PrimaryRowsIn(const SegmentRow& row, const IntervalSet::Interval& part) {
  const std::uint64_t rows = part.second - part.first + 1;
  if (row.primary_rows >= RowsOf(row)) return rows;
  const double share = static_cast<double>(rows) / static_cast<double>(RowsOf(row));
  return rows == RowsOf(row)
             ? row.primary_rows
             : static_cast<std::uint64_t>(static_cast<double>(row.primary_rows) * share);
}

}  // namespace

bool OutboxStore::HasWholeFile(const SegmentRow& segment) const {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(segments_directory() / segment.file, error);
  return !segment.file.empty() && !error && bytes == segment.bytes;
}

Status OutboxStore::MoveToReceipted(const SegmentRow& segment) {
  const bool stays = grace_quota_bytes_ > 0;
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare(fmt::format(
          "INSERT INTO receipted(stream, first_seq, last_seq, primary_rows, shipment, "
          "receipted_us{}) SELECT stream, first_seq, last_seq, primary_rows, shipment, ?{} FROM "
          "segments WHERE id = ?",
          stays ? ", bytes, digest, file, policy, models, oldest_utc_us" : "",
          stays ? ", bytes, digest, file, policy, models, oldest_utc_us" : "")));
  // Under a clock that says nothing no age begins.
  const std::int64_t now_us = clock_->quality() == ClockQuality::kUnknown
                                  ? std::numeric_limits<std::int64_t>::max()
                                  : clock_->UtcMicros();
  SKERRY_RETURN_IF_ERROR(insert.Bind(1, now_us).Bind(2, segment.id).Run());
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM segments WHERE id = ?"));
  ++receipted_since_merge_;
  return remove.Bind(1, segment.id).Run();
}

Status OutboxStore::NoteReceipted(std::int64_t stream, std::uint64_t first_seq,
                                  std::uint64_t last_seq, std::uint64_t primary_rows,
                                  std::uint64_t shipment) {
  SKERRY_ASSIGN_OR_RETURN(auto insert,
                          database_->Prepare("INSERT INTO receipted(stream, first_seq, last_seq, "
                                             "primary_rows, shipment) VALUES(?, ?, ?, ?, ?)"));
  return insert.Bind(1, stream)
      .Bind(2, first_seq)
      .Bind(3, last_seq)
      .Bind(4, primary_rows)
      .Bind(5, shipment)
      .Run();
}

Status OutboxStore::TakeBack(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                             ReceiptOutcome& outcome) {
  IntervalSet lost;
  for (const auto& [first, last] : stream.received.intervals())
    for (const auto& [from, to] : receipt.received.Missing(first, last)) lost.Add(from, to);
  if (lost.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<SegmentRow> rows,
      ReadReceipted(*database_, fmt::format("stream = {} ORDER BY first_seq", stream.id)));
  for (const SegmentRow& row : rows) {
    if (!lost.Overlaps(row.first_seq, row.last_seq)) continue;
    if (!HasWholeFile(row)) {
      SKERRY_RETURN_IF_ERROR(Lose(work, stream, row, lost, outcome));
      continue;
    }
    // The whole of it, also where the hub has a part: it takes what is new to it.
    SKERRY_RETURN_IF_ERROR(OfferAgain(row));
    stream.received.Remove(row.first_seq, row.last_seq);
    lost.Remove(row.first_seq, row.last_seq);
    work.state.receipted -= std::min(work.state.receipted, row.primary_rows);
    ++outcome.segments_offered_again;
  }
  // A range that no row knows: what was lost with a part of the database.
  for (const auto& [first, last] : lost.intervals()) {
    if (!stream.received.Overlaps(first, last)) continue;
    stream.received.Remove(first, last);
    SKERRY_RETURN_IF_ERROR(AddGap(stream.id, first, last, 0, kGapLost, 0));
    outcome.records_lost += last - first + 1;
  }
  return {};
}

// What has come back since was a part of what a person knew of.
Status OutboxStore::CapAcknowledged(Work& work, std::uint64_t newly_lost) {
  if (work.state.lost_acknowledged == 0) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t lost, ReadNumber(*database_, kLostRecords));
  work.state.lost_acknowledged = std::min(work.state.lost_acknowledged, lost - newly_lost);
  return {};
}

Result<std::uint64_t> OutboxStore::AcknowledgeLost() {
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t lost, ReadNumber(*database_, kLostRecords));
  const std::uint64_t news = lost - std::min(lost, work.state.lost_acknowledged);
  work.state.lost_acknowledged = lost;
  SKERRY_RETURN_IF_ERROR(Commit(work));
  return news;
}

Status OutboxStore::OfferAgain(const SegmentRow& row) {
  // By its own statement, so that the hub sees the whole chain; by a new one where that is gone.
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare(
          "INSERT INTO segments(stream, first_seq, last_seq, primary_rows, bytes, digest, file, "
          "policy, models, oldest_utc_us, shipment) SELECT stream, first_seq, last_seq, "
          "primary_rows, bytes, digest, file, policy, models, oldest_utc_us, COALESCE((SELECT "
          "number FROM shipments WHERE number = shipment), 0) FROM receipted WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(insert.Bind(1, row.id).Run());
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM receipted WHERE id = ?"));
  return remove.Bind(1, row.id).Run();
}

Status OutboxStore::Lose(Work& work, StreamRow& stream, const SegmentRow& row,
                         const IntervalSet& lost, ReceiptOutcome& outcome) {
  SKERRY_ASSIGN_OR_RETURN(
      const std::uint64_t statement,
      ReadNumber(*database_,
                 fmt::format("SELECT number FROM shipments WHERE number = {}", row.shipment)));
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM receipted WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(remove.Bind(1, row.id).Run());
  std::uint64_t primary_left = row.primary_rows;
  IntervalSet kept;
  kept.Add(row.first_seq, row.last_seq);
  for (const auto& [first, last] : lost.intervals()) {
    if (last < row.first_seq || first > row.last_seq) continue;
    const IntervalSet::Interval part{std::max(first, row.first_seq), std::min(last, row.last_seq)};
    const std::uint64_t primary_rows = std::min(PrimaryRowsIn(row, part), primary_left);
    primary_left -= primary_rows;
    kept.Remove(part.first, part.second);
    stream.received.Remove(part.first, part.second);
    SKERRY_RETURN_IF_ERROR(
        AddGap(stream.id, part.first, part.second, primary_rows, kGapLost, statement));
    work.state.receipted -= std::min(work.state.receipted, primary_rows);
    outcome.records_lost += part.second - part.first + 1;
  }
  for (const auto& part : kept.intervals()) {
    const bool last_part = part == kept.intervals().back();
    const std::uint64_t primary_rows =
        last_part ? primary_left : std::min(PrimaryRowsIn(row, part), primary_left);
    primary_left -= primary_rows;
    SKERRY_RETURN_IF_ERROR(
        NoteReceipted(stream.id, part.first, part.second, primary_rows, row.shipment));
  }
  return {};
}

// Neighbours of a stream become one row. That loses where the primary rows are, where neither all
// nor none are primary, and so only what is older than a back-up should be.
Status OutboxStore::MergeReceipted() {
  const std::uint64_t most =
      std::min(kReceiptedRows, std::max<std::uint64_t>(quota_bytes_ / kQuotaBytesARow, 64));
  if (receipted_since_merge_ < most / 4) return {};
  receipted_since_merge_ = 0;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t there,
                          ReadNumber(*database_, "SELECT COUNT(*) FROM receipted WHERE file = ''"));
  if (there <= most) return {};
  SKERRY_ASSIGN_OR_RETURN(
      std::vector<SegmentRow> rows,
      ReadReceipted(*database_, fmt::format("file = '' ORDER BY id LIMIT {}", there - most / 2)));
  std::sort(rows.begin(), rows.end(), [](const SegmentRow& a, const SegmentRow& b) {
    return std::tie(a.stream, a.first_seq) < std::tie(b.stream, b.first_seq);
  });
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM receipted WHERE id = ?"));
  SKERRY_ASSIGN_OR_RETURN(auto widen,
                          database_->Prepare("UPDATE receipted SET last_seq = ?, primary_rows = ?, "
                                             "shipment = 0 WHERE id = ?"));
  for (std::size_t at = 0; at < rows.size();) {
    SegmentRow merged = rows[at];
    std::size_t next = at + 1;
    for (; next < rows.size() && rows[next].stream == merged.stream &&
           rows[next].first_seq == merged.last_seq + 1;
         ++next) {
      merged.last_seq = rows[next].last_seq;
      merged.primary_rows += rows[next].primary_rows;
      SKERRY_RETURN_IF_ERROR(remove.Bind(1, rows[next].id).Run());
    }
    if (next > at + 1)
      SKERRY_RETURN_IF_ERROR(
          widen.Bind(1, merged.last_seq).Bind(2, merged.primary_rows).Bind(3, merged.id).Run());
    at = next;
  }
  return {};
}

Result<std::uint64_t> OutboxStore::GraceAllowed() {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, UsedBytes());
  std::uint64_t allowed =
      std::min(grace_quota_bytes_, QuotaOfRecords() - std::min(QuotaOfRecords(), used));
  std::error_code error;
  const std::filesystem::space_info disk = std::filesystem::space(directory_, error);
  if (error) return allowed;
  const std::uint64_t to_be_free = std::min(kDiskBytesFree, disk.capacity / kDiskShareFree);
  const std::uint64_t too_few = to_be_free - std::min<std::uint64_t>(to_be_free, disk.available);
  return std::min(allowed, grace_bytes_ - std::min(grace_bytes_, too_few));
}

// Beyond what is allowed an eighth more goes, so that not every receipt has to remove something.
Status OutboxStore::TrimGrace(EnforceWhen when) {
  if (grace_segments_ == 0) return {};
  if (when == EnforceWhen::kNow && grace_age_.count() > 0 &&
      clock_->quality() != ClockQuality::kUnknown) {
    SKERRY_ASSIGN_OR_RETURN(
        const std::vector<SegmentRow> aged,
        ReadReceipted(
            *database_,
            fmt::format("file != '' AND receipted_us < {} ORDER BY id LIMIT {}",
                        clock_->UtcMicros() - std::chrono::microseconds(grace_age_).count(),
                        kEndedAtOnce)));
    SKERRY_RETURN_IF_ERROR(EndGrace(aged));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t allowed, GraceAllowed());
  if (grace_bytes_ <= allowed && grace_segments_ <= kGraceSegments) return {};
  SKERRY_ASSIGN_OR_RETURN(
      std::vector<SegmentRow> oldest,
      ReadReceipted(*database_, fmt::format("file != '' ORDER BY id LIMIT {}", kEndedAtOnce)));
  std::uint64_t bytes = grace_bytes_;
  std::uint64_t segments = grace_segments_;
  std::size_t ending = 0;
  while (ending < oldest.size() &&
         (bytes > allowed - allowed / 8 || segments > kGraceSegments - kGraceSegments / 8)) {
    bytes -= std::min(bytes, oldest[ending++].bytes);
    --segments;
  }
  return EndGrace(std::span(oldest).first(ending));
}

Status OutboxStore::EndGrace(std::span<const SegmentRow> rows) {
  if (rows.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(
      auto forget, database_->Prepare("UPDATE receipted SET file = '', bytes = 0, digest = '', "
                                      "policy = '', models = '' WHERE id = ?"));
  for (const SegmentRow& row : rows) {
    if (const Status removed = RemoveFile(segments_directory() / row.file); !removed)
      LogWarning("outbox cannot remove a received segment, the next start does reason={}",
                 removed.error().ToString());
    grace_bytes_ -= std::min(grace_bytes_, row.bytes);
    grace_segments_ -= std::min<std::uint64_t>(grace_segments_, 1);
    SKERRY_RETURN_IF_ERROR(forget.Bind(1, row.id).Run());
  }
  return Commit(work);
}

bool OutboxStore::DropGrace() {
  if (grace_segments_ == 0) return false;
  const auto rows =
      ReadReceipted(*database_, fmt::format("file != '' ORDER BY id LIMIT {}", kEndedAtOnce));
  if (!rows || rows->empty()) return false;
  if (const Status ended = EndGrace(*rows); !ended)
    LogWarning("outbox removed what it kept for a grace and cannot note it reason={}",
               ended.error().ToString());
  return true;
}

}  // namespace skerry
