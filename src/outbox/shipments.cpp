// Statements: signed once, kept, and offered with the same bytes until receipts cover them. And
// the status, which speaks of the same counters.
#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "base/limits.h"
#include "outbox/store.h"

namespace skerry {
namespace {

using Streams = std::unordered_map<std::int64_t, StreamRow>;

Result<SegmentEntry> EntryOf(const SegmentRow& row, const StreamRow& stream) {
  SegmentEntry entry{stream.cls,
                     stream.epoch,
                     row.first_seq,
                     row.last_seq,
                     row.last_seq - row.first_seq + 1,
                     row.primary_rows,
                     row.bytes,
                     {}};
  SKERRY_ASSIGN_OR_RETURN(entry.digest, Digest::Parse(row.digest));
  return entry;
}

// The segments from `at` on that go into one statement: one policy, urgent ones apart from others,
// and the named limits.
std::size_t EndOfShipment(const std::vector<SegmentRow>& segments, const Streams& streams,
                          std::size_t at) {
  const std::size_t first = at;
  std::uint64_t bytes = 0;
  const auto urgent = [&](std::size_t i) {
    return i < segments.size() && IsUrgent(streams.at(segments[i].stream).cls);
  };
  while (at < segments.size() && at - first < limits::kSegmentsPerShipment &&
         segments[at].policy == segments[first].policy && urgent(at) == urgent(first) &&
         bytes < limits::kShipmentBytes)
    bytes += segments[at++].bytes;
  return at;
}

}  // namespace

Status OutboxStore::MakeStatements(ShipmentPick pick) {
  if (const auto recalled = RecallWider(); !recalled) return tl::make_unexpected(recalled.error());
  const bool all = pick == ShipmentPick::kAll;
  SKERRY_ASSIGN_OR_RETURN(
      std::vector<SegmentRow> segments,
      ReadSegments(*database_, all ? std::string("shipment = 0")
                                   : fmt::format("shipment = 0 AND {}", kOfUrgentStream)));
  std::vector<GapRow> gaps;
  if (all) {
    SKERRY_ASSIGN_OR_RETURN(gaps, ReadGaps(*database_, "shipment = 0 AND closed = 0 ORDER BY id"));
  }
  if (segments.empty() && gaps.empty()) return {};
  Streams streams;
  SKERRY_ASSIGN_OR_RETURN(std::vector<StreamRow> rows, ReadStreams(*database_));
  for (StreamRow& row : rows) streams[row.id] = std::move(row);
  std::sort(segments.begin(), segments.end(), [&](const SegmentRow& a, const SegmentRow& b) {
    return std::make_tuple(streams[a.stream].cls, a.stream, a.first_seq) <
           std::make_tuple(streams[b.stream].cls, b.stream, b.first_seq);
  });

  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(std::vector<ClockAnchor> anchors, TakeAnchors());
  std::size_t segment = 0;
  std::size_t gap = 0;
  while (segment < segments.size() || gap < gaps.size()) {
    const std::size_t end = EndOfShipment(segments, streams, segment);
    const std::size_t gap_end = std::min(gaps.size(), gap + limits::kGapsPerStatement);
    SKERRY_RETURN_IF_ERROR(MakeStatement(work, std::span(segments).subspan(segment, end - segment),
                                         std::span(gaps).subspan(gap, gap_end - gap), streams,
                                         std::exchange(anchors, {})));
    segment = end;
    gap = gap_end;
  }
  SKERRY_RETURN_IF_ERROR(Commit(work));
  watch_.Forget();
  return {};
}

Status OutboxStore::MakeStatement(Work& work, std::span<const SegmentRow> segments,
                                  std::span<const GapRow> gaps, const Streams& streams,
                                  std::vector<ClockAnchor> anchors) {
  ShipmentStatement statement;
  statement.site = site_;
  statement.epoch = epoch_;
  statement.number = ++work.state.last_statement;
  if (!work.state.last_statement_digest.empty()) {
    SKERRY_ASSIGN_OR_RETURN(statement.previous, Digest::Parse(work.state.last_statement_digest));
  }
  std::set<std::string> models;
  for (const SegmentRow& row : segments) {
    SKERRY_ASSIGN_OR_RETURN(SegmentEntry entry, EntryOf(row, streams.at(row.stream)));
    statement.segments.push_back(std::move(entry));
    std::istringstream lines(row.models);
    for (std::string line; std::getline(lines, line);) models.insert(line);
  }
  for (const GapRow& row : gaps) {
    const StreamRow& stream = streams.at(row.stream);
    statement.gaps.push_back({stream.cls, stream.epoch, row.first_seq, row.last_seq,
                              row.last_seq - row.first_seq + 1, row.primary_rows, row.reason});
  }
  statement.anchors = std::move(anchors);
  if (statement.anchors.empty()) {
    if (const std::optional<ClockAnchor> now = watch_.Now()) statement.anchors.push_back(*now);
  }
  statement.counters = work.state.counters;
  if (!segments.empty() && !segments.front().policy.empty()) {
    SKERRY_ASSIGN_OR_RETURN(statement.policy, Digest::Parse(segments.front().policy));
  }
  for (const std::string& model : models) {
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(model));
    statement.models.push_back(std::move(digest));
  }
  statement.sealed_at_us = clock_->UtcMicros();

  SKERRY_ASSIGN_OR_RETURN(const std::string envelope, SignStatement(statement, key_));
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare("INSERT INTO shipments(number, epoch, envelope) VALUES(?, ?, ?)"));
  SKERRY_RETURN_IF_ERROR(insert.Bind(1, statement.number)
                             .Bind(2, Blob{InstanceBytes(epoch_)})
                             .Bind(3, Blob{envelope})
                             .Run());
  work.state.last_statement_digest = Digest::Sha256(envelope).ToString();
  SKERRY_ASSIGN_OR_RETURN(auto mark_segment,
                          database_->Prepare("UPDATE segments SET shipment = ? WHERE id = ?"));
  for (const SegmentRow& row : segments)
    SKERRY_RETURN_IF_ERROR(mark_segment.Bind(1, statement.number).Bind(2, row.id).Run());
  SKERRY_ASSIGN_OR_RETURN(auto mark_gap,
                          database_->Prepare("UPDATE gaps SET shipment = ? WHERE id = ?"));
  for (const GapRow& row : gaps)
    SKERRY_RETURN_IF_ERROR(mark_gap.Bind(1, statement.number).Bind(2, row.id).Run());
  return {};
}

Result<SiteStatus> OutboxStore::ReadStatus() {
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SiteStatus status;
  status.site = site_;
  status.instance = epoch_;
  status.counter = ++work.state.status_counter;
  status.utc_us = clock_->UtcMicros();
  status.clock = clock_->quality();
  status.counters = work.state.counters;
  std::unordered_map<std::int64_t, StreamRow> streams;
  SKERRY_ASSIGN_OR_RETURN(std::vector<StreamRow> rows, ReadStreams(*database_));
  for (StreamRow& row : rows) streams[row.id] = std::move(row);
  const auto add = [&](const auto& row) {
    const StreamRow& stream = streams.at(row.stream);
    status.pending.push_back(
        {stream.epoch, stream.cls, row.first_seq, row.last_seq, row.primary_rows});
  };
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments,
                          ReadSegments(*database_, "1 ORDER BY stream, first_seq"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<GapRow> untold,
                          ReadGaps(*database_, fmt::format("reason IN ('{}', '{}') AND closed = 0",
                                                           kGapDamage, kGapLost)));
  if (segments.size() + untold.size() > limits::kStatusPending)
    return Fail(ErrorCode::kTooLarge, "{} pending segments are more than a status of {} can name",
                segments.size() + untold.size(), limits::kStatusPending);
  for (const SegmentRow& row : segments) {
    add(row);
    status.backlog_bytes += row.bytes;
  }
  for (const GapRow& row : untold) add(row);
  SKERRY_ASSIGN_OR_RETURN(status.unsealed_primary_rows,
                          ReadNumber(*database_, "SELECT SUM(primary_rows) FROM batches"));
  SKERRY_RETURN_IF_ERROR(Commit(work));
  return status;
}

}  // namespace skerry
