// Receipts: the only thing on which records are deleted.
#include <map>

#include "base/limits.h"
#include "base/log.h"
#include "outbox/queries.h"
#include "outbox/store.h"
#include "storage/file.h"

namespace skerry {
namespace {

enum class ReceiptOrder { kNewer, kOlder, kNewIncarnation };

// How a receipt stands to the one applied last.
Result<ReceiptOrder> OrderOf(Database& database, const Receipt& receipt,
                             std::span<const PublicKey> hub_keys) {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<HeldReceipt> held, ReadNewestReceipt(database));
  if (!held) return ReceiptOrder::kNewer;
  const auto known = VerifyReceipt(held->envelope, hub_keys);
  // Of a hub that this site has left.
  if (!known) return ReceiptOrder::kNewIncarnation;
  if (receipt.hub_restores != known->hub_restores)
    return receipt.hub_restores > known->hub_restores ? ReceiptOrder::kNewIncarnation
                                                      : ReceiptOrder::kOlder;
  const bool same = receipt.hub_incarnation == known->hub_incarnation;
  return same && receipt.counter >= known->counter ? ReceiptOrder::kNewer : ReceiptOrder::kOlder;
}

void Log(const ReceiptOutcome& outcome) {
  if (outcome.never_offered > 0)
    LogError("a receipt covers ranges that were never offered; they are kept segments={}",
             outcome.never_offered);
  if (outcome.segments_offered_again + outcome.gaps_told_again > 0)
    LogWarning("the hub was restored: what it has lost is offered again segments={} gaps={}",
               outcome.segments_offered_again, outcome.gaps_told_again);
  if (outcome.records_lost > 0)
    LogError("the hub was restored and has lost records that are not here any more records={}",
             outcome.records_lost);
}

}  // namespace

Result<ReceiptOutcome> OutboxStore::ApplyReceipt(const Receipt& receipt, std::string_view envelope,
                                                 std::span<const PublicKey> hub_keys) {
  ReceiptOutcome outcome;
  SKERRY_ASSIGN_OR_RETURN(const ReceiptOrder order, OrderOf(*database_, receipt, hub_keys));
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
  std::map<std::pair<InstanceId, RecordClass>, const StreamReceipt*> told;
  for (const StreamReceipt& stream : receipt.streams) told[{stream.epoch, stream.cls}] = &stream;
  SKERRY_ASSIGN_OR_RETURN(std::vector<StreamRow> streams, ReadStreams(*database_));
  std::vector<SegmentRow> covered;
  for (StreamRow& stream : streams) {
    // A stream that the hub does not know is one of which it holds nothing.
    const auto found = told.find({stream.epoch, stream.cls});
    SKERRY_RETURN_IF_ERROR(ApplyStream(
        work, stream, found == told.end() ? StreamReceipt() : *found->second, outcome, covered));
  }
  SKERRY_RETURN_IF_ERROR(CapAcknowledged(work, outcome.records_lost));
  SKERRY_RETURN_IF_ERROR(MergeReceipted());
  // Statements that nothing waits for any more; the last ones stay for the chain.
  SKERRY_RETURN_IF_ERROR(database_->Execute(fmt::format(
      "DELETE FROM shipments WHERE number + {} <= {} AND number NOT IN (SELECT shipment FROM "
      "segments) AND number NOT IN (SELECT shipment FROM gaps WHERE closed = 0) AND number NOT IN "
      "(SELECT origin FROM gaps WHERE closed = 0) AND number NOT IN (SELECT shipment FROM "
      "receipted WHERE file != '')",
      limits::kStatementsKept, work.state.last_statement)));
  SKERRY_RETURN_IF_ERROR(Commit(work));

  // Only after the commit: a file without a row is removed at the next start, a row without its
  // file would be damage.
  for (const SegmentRow& segment : covered) {
    if (grace_quota_bytes_ > 0) break;
    if (const Status removed = RemoveFile(segments_directory() / segment.file); !removed)
      LogWarning("outbox cannot remove a received segment, the next start does reason={}",
                 removed.error().ToString());
  }
  SKERRY_RETURN_IF_ERROR(CountBytes());
  SKERRY_RETURN_IF_ERROR(TrimGrace(EnforceWhen::kAfterCommit));
  SKERRY_RETURN_IF_ERROR(database_->Execute("PRAGMA incremental_vacuum"));
  Log(outcome);
  return outcome;
}

Status OutboxStore::ApplyStream(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                                ReceiptOutcome& outcome, std::vector<SegmentRow>& covered) {
  const IntervalSet before = stream.received;
  SKERRY_RETURN_IF_ERROR(TakeBack(work, stream, receipt, outcome));
  if (!receipt.received.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments,
                            ReadSegments(*database_, fmt::format("stream = {}", stream.id)));
    for (const SegmentRow& segment : segments) {
      if (!receipt.received.Covers(segment.first_seq, segment.last_seq)) continue;
      if (segment.shipment == 0) {
        ++outcome.never_offered;
        continue;
      }
      SKERRY_RETURN_IF_ERROR(MoveToReceipted(segment));
      stream.received.Add(segment.first_seq, segment.last_seq);
      work.state.receipted += segment.primary_rows;
      ++outcome.segments_covered;
      outcome.bytes_covered += segment.bytes;
      covered.push_back(segment);
    }
  }
  SKERRY_RETURN_IF_ERROR(ApplyToGaps(work, stream, receipt, outcome));
  if (stream.received == before) return {};
  SKERRY_ASSIGN_OR_RETURN(auto update,
                          database_->Prepare("UPDATE streams SET received = ? WHERE id = ?"));
  return update.Bind(1, DumpJson(stream.received.ToJson())).Bind(2, stream.id).Run();
}

// A gap is closed when the hub has accepted it, and told again when a restored hub does not know of
// it any more. One that the hub has received after all (the segment had arrived before it was shed)
// is none: its rows are received.
Status OutboxStore::ApplyToGaps(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                                ReceiptOutcome& outcome) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<GapRow> gaps,
                          ReadGaps(*database_, fmt::format("stream = {}", stream.id)));
  SKERRY_ASSIGN_OR_RETURN(auto close,
                          database_->Prepare("UPDATE gaps SET closed = 1 WHERE id = ?"));
  SKERRY_ASSIGN_OR_RETURN(
      auto reopen,
      database_->Prepare("UPDATE gaps SET closed = 0, shipment = COALESCE((SELECT number FROM "
                         "shipments WHERE number = shipment), 0) WHERE id = ?"));
  for (const GapRow& gap : gaps) {
    const auto rest = receipt.received.Missing(gap.first_seq, gap.last_seq);
    // What the hub had lost had been offered; of it a part may come back, by a late stick.
    const bool lost = gap.reason == kGapLost;
    const std::uint64_t rows = gap.last_seq - gap.first_seq + 1;
    const bool divisible = gap.primary_rows == 0 || gap.primary_rows == rows;
    if (rest.empty()
            ? lost || gap.origin != 0
            : lost && divisible && receipt.received.Overlaps(gap.first_seq, gap.last_seq)) {
      SKERRY_RETURN_IF_ERROR(TakeOutOfGap(work, stream, gap, rest));
      ++outcome.gaps_closed;
      continue;
    }
    const bool accepted = receipt.accepted_gaps.Covers(gap.first_seq, gap.last_seq);
    if (!gap.closed && gap.shipment != 0 && accepted) {
      SKERRY_RETURN_IF_ERROR(close.Bind(1, gap.id).Run());
      ++outcome.gaps_closed;
    } else if (gap.closed && !accepted) {
      SKERRY_RETURN_IF_ERROR(reopen.Bind(1, gap.id).Run());
      ++outcome.gaps_told_again;
    }
  }
  return {};
}

Status OutboxStore::TakeOutOfGap(Work& work, StreamRow& stream, const GapRow& gap,
                                 const std::vector<IntervalSet::Interval>& rest) {
  SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM gaps WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(remove.Bind(1, gap.id).Run());
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT INTO gaps(stream, first_seq, last_seq, primary_rows, "
                                      "reason, closed, shipment, origin) VALUES(?, ?, ?, ?, ?, ?, "
                                      "?, ?)"));
  IntervalSet arrived;
  arrived.Add(gap.first_seq, gap.last_seq);
  std::uint64_t primary_rows = gap.primary_rows;
  for (const auto& [first, last] : rest) {
    const std::uint64_t in_part = gap.primary_rows == 0 ? 0 : last - first + 1;
    arrived.Remove(first, last);
    primary_rows -= in_part;
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, gap.stream)
                               .Bind(2, first)
                               .Bind(3, last)
                               .Bind(4, in_part)
                               .Bind(5, gap.reason)
                               .Bind(6, gap.closed ? 1 : 0)
                               .Bind(7, gap.shipment)
                               .Bind(8, gap.origin)
                               .Run());
  }
  Counters& counters = work.state.counters;
  // What is lost stands in the gaps alone.
  if (gap.reason == kGapQuota) counters.shed -= primary_rows;
  if (gap.reason == kGapPolicy) counters.recalled -= primary_rows;
  if (gap.reason == kGapDamage) work.state.damaged -= primary_rows;
  work.state.receipted += primary_rows;
  for (const auto& [first, last] : arrived.intervals()) {
    stream.received.Add(first, last);
    const std::uint64_t in_part = arrived.intervals().size() == 1 ? primary_rows
                                  : gap.primary_rows == 0         ? 0
                                                                  : last - first + 1;
    SKERRY_RETURN_IF_ERROR(NoteReceipted(gap.stream, first, last, in_part, gap.origin));
  }
  return {};
}

}  // namespace skerry
