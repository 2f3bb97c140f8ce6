// Receipts: the only thing on which records are deleted.
#include "base/limits.h"
#include "base/log.h"
#include "outbox/store.h"
#include "storage/file.h"

namespace skerry {
namespace {

enum class ReceiptOrder { kNewer, kOlder, kNewIncarnation };

// How a receipt stands to those seen before.
Result<ReceiptOrder> OrderOf(Database& database, const Receipt& receipt) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database.Prepare("SELECT incarnation, counter FROM receipts ORDER BY id DESC"));
  bool latest = true;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return latest ? ReceiptOrder::kNewer : ReceiptOrder::kNewIncarnation;
    if (query.Text(0) == receipt.hub_incarnation) {
      const bool older = static_cast<std::uint64_t>(query.Int(1)) > receipt.counter;
      return !latest || older ? ReceiptOrder::kOlder : ReceiptOrder::kNewer;
    }
    latest = false;
  }
}

}  // namespace

Result<ReceiptOutcome> OutboxStore::ApplyReceipt(const Receipt& receipt,
                                                 std::string_view envelope) {
  ReceiptOutcome outcome;
  SKERRY_ASSIGN_OR_RETURN(const ReceiptOrder order, OrderOf(*database_, receipt));
  if (order == ReceiptOrder::kOlder) {
    outcome.kind = ReceiptOutcome::Kind::kOlder;
    return outcome;
  }
  outcome.new_incarnation = order == ReceiptOrder::kNewIncarnation;
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(
      auto upsert,
      database_->Prepare("INSERT INTO receipts(incarnation, counter, envelope) VALUES(?, ?, ?) ON "
                         "CONFLICT(incarnation) DO UPDATE SET counter = excluded.counter, "
                         "envelope = excluded.envelope"));
  SKERRY_RETURN_IF_ERROR(upsert.Bind(1, receipt.hub_incarnation)
                             .Bind(2, receipt.counter)
                             .Bind(3, Blob{envelope})
                             .Run());
  SKERRY_ASSIGN_OR_RETURN(std::vector<StreamRow> streams, ReadStreams(*database_));
  std::vector<SegmentRow> deleted;
  for (StreamRow& stream : streams)
    for (const StreamReceipt& told : receipt.streams)
      if (told.epoch == stream.epoch && told.cls == stream.cls)
        SKERRY_RETURN_IF_ERROR(ApplyStream(work, stream, told, outcome, deleted));
  // Statements that nothing waits for any more; the last ones stay for the chain.
  SKERRY_RETURN_IF_ERROR(database_->Execute(fmt::format(
      "DELETE FROM shipments WHERE number + {} <= {} AND number NOT IN (SELECT shipment FROM "
      "segments) AND number NOT IN (SELECT shipment FROM gaps WHERE closed = 0) AND number NOT IN "
      "(SELECT origin FROM gaps WHERE closed = 0)",
      limits::kStatementsKept, work.state.last_statement)));
  SKERRY_RETURN_IF_ERROR(Commit(work));

  // Only after the commit: a file without a row is removed at the next start, a row without its
  // file would be damage.
  for (const SegmentRow& segment : deleted) {
    segment_bytes_ -= segment.bytes;
    if (const Status removed = RemoveFile(segments_directory() / segment.file); !removed)
      LogWarning("outbox cannot remove a received segment, the next start does reason={}",
                 removed.error().ToString());
  }
  SKERRY_RETURN_IF_ERROR(database_->Execute("PRAGMA incremental_vacuum"));
  if (outcome.never_offered > 0)
    LogError("a receipt covers ranges that were never offered; they are kept segments={}",
             outcome.never_offered);
  return outcome;
}

Status OutboxStore::ApplyStream(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                                ReceiptOutcome& outcome, std::vector<SegmentRow>& deleted) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments,
                          ReadSegments(*database_, fmt::format("stream = {}", stream.id)));
  const IntervalSet before = stream.received;
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM segments WHERE id = ?"));
  for (const SegmentRow& segment : segments) {
    if (!receipt.received.Covers(segment.first_seq, segment.last_seq)) continue;
    if (segment.shipment == 0) {
      ++outcome.never_offered;
      continue;
    }
    SKERRY_RETURN_IF_ERROR(remove.Bind(1, segment.id).Run());
    stream.received.Add(segment.first_seq, segment.last_seq);
    work.state.receipted += segment.primary_rows;
    ++outcome.segments_deleted;
    outcome.bytes_deleted += segment.bytes;
    deleted.push_back(segment);
  }
  SKERRY_RETURN_IF_ERROR(ApplyToGaps(work, stream, receipt, outcome));
  if (stream.received == before) return {};
  SKERRY_ASSIGN_OR_RETURN(auto update,
                          database_->Prepare("UPDATE streams SET received = ? WHERE id = ?"));
  return update.Bind(1, DumpJson(stream.received.ToJson())).Bind(2, stream.id).Run();
}

// A gap is closed when the hub has accepted it. One that the hub has received after all (the
// segment had arrived before it was shed) is none: its rows are received.
Status OutboxStore::ApplyToGaps(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                                ReceiptOutcome& outcome) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<GapRow> gaps,
                          ReadGaps(*database_, fmt::format("stream = {}", stream.id)));
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM gaps WHERE id = ?"));
  SKERRY_ASSIGN_OR_RETURN(auto close,
                          database_->Prepare("UPDATE gaps SET closed = 1 WHERE id = ?"));
  for (const GapRow& gap : gaps) {
    if (gap.origin != 0 && receipt.received.Covers(gap.first_seq, gap.last_seq)) {
      Counters& counters = work.state.counters;
      std::uint64_t& counted = gap.reason == kGapQuota    ? counters.shed
                               : gap.reason == kGapPolicy ? counters.recalled
                                                          : work.state.damaged;
      counted -= gap.primary_rows;
      work.state.receipted += gap.primary_rows;
      stream.received.Add(gap.first_seq, gap.last_seq);
      SKERRY_RETURN_IF_ERROR(remove.Bind(1, gap.id).Run());
      ++outcome.gaps_closed;
    } else if (!gap.closed && gap.shipment != 0 &&
               receipt.accepted_gaps.Covers(gap.first_seq, gap.last_seq)) {
      SKERRY_RETURN_IF_ERROR(close.Bind(1, gap.id).Run());
      ++outcome.gaps_closed;
    }
  }
  return {};
}

}  // namespace skerry
