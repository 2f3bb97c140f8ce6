#include "outbox/queries.h"

#include <array>

#include "base/limits.h"
#include "crypto/dsse.h"

namespace skerry {
namespace {

std::uint64_t U64(const SqlStatement& row, int column) {
  return static_cast<std::uint64_t>(row.Int(column));
}

Result<Shipment> ReadShipment(Database& database, std::uint64_t number,
                              const std::filesystem::path& segments_directory) {
  Shipment shipment;
  SKERRY_ASSIGN_OR_RETURN(auto query,
                          database.Prepare("SELECT envelope FROM shipments WHERE number = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Bind(1, number).Step());
  if (!found) return Fail(ErrorCode::kDataLoss, "statement {} is missing", number);
  shipment.statement_envelope = query.BlobAt(0);
  SKERRY_ASSIGN_OR_RETURN(
      const DsseEnvelope envelope,
      DsseEnvelope::FromJson(shipment.statement_envelope, limits::kStatementBytes));
  SKERRY_ASSIGN_OR_RETURN(shipment.statement, ShipmentStatement::FromJson(envelope.payload));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments,
                          ReadSegments(database, fmt::format("shipment = {} ORDER BY id", number)));
  std::vector<Digest> offered;
  for (const SegmentRow& segment : segments) {
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(segment.digest));
    offered.push_back(digest);
    shipment.segments.emplace_back(std::move(digest), segments_directory / segment.file);
  }
  shipment.tag = ShipmentTag(shipment.statement, shipment.statement_envelope, offered);
  return shipment;
}

// Whether `table` has a row whose range holds the record.
Result<bool> Holds(Database& database, std::string_view table, std::int64_t stream,
                   std::uint64_t seq) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format("SELECT last_seq FROM {} WHERE stream = ? AND first_seq <= ? "
                                   "ORDER BY first_seq DESC LIMIT 1",
                                   table)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Bind(1, stream).Bind(2, seq).Step());
  return found && U64(query, 0) >= seq;
}

Result<RowPlace> PlaceOf(Database& database, const std::vector<StreamRow>& streams,
                         const RowFate& fate) {
  const auto stream = std::find_if(streams.begin(), streams.end(), [&](const StreamRow& row) {
    return row.epoch == fate.epoch && row.cls == *fate.cls;
  });
  if (stream == streams.end()) return RowPlace::kDamaged;
  SKERRY_ASSIGN_OR_RETURN(const bool unsealed, Holds(database, "batches", stream->id, fate.seq));
  if (unsealed) return RowPlace::kUnsealed;
  SKERRY_ASSIGN_OR_RETURN(const bool sealed, Holds(database, "segments", stream->id, fate.seq));
  if (sealed) return RowPlace::kSealed;
  if (stream->received.Contains(fate.seq)) return RowPlace::kReceived;
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<GapRow> gaps,
      ReadGaps(database, fmt::format("stream = {} AND first_seq <= {} AND last_seq >= {}",
                                     stream->id, fate.seq, fate.seq)));
  if (!gaps.empty() && gaps.front().reason == kGapQuota) return RowPlace::kShed;
  if (!gaps.empty() && gaps.front().reason == kGapPolicy) return RowPlace::kRecalled;
  if (!gaps.empty() && gaps.front().reason == kGapLost) return RowPlace::kLost;
  return RowPlace::kDamaged;
}

Result<std::optional<RowFate>> ReadFate(Database& database, SqlStatement& query,
                                        const std::vector<StreamRow>& streams, const RowId& row) {
  query.Bind(1, Blob{InstanceBytes(row.instance)}).Bind(2, row.n);
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found || row.n - U64(query, 0) >= query.BlobAt(1).size()) {
    query.Reset();
    return std::nullopt;
  }
  const std::string fates(query.BlobAt(1).substr(0, row.n - U64(query, 0) + 1));
  const std::array<std::uint64_t, 3> first = {U64(query, 2), U64(query, 3), U64(query, 4)};
  RowFate fate;
  fate.epoch = InstanceFromBytes(query.BlobAt(5));
  query.Reset();
  fate.disposition = FateDisposition(static_cast<std::uint8_t>(fates.back()));
  fate.cls = ClassOf(fate.disposition);
  if (!fate.cls) {
    fate.epoch = InstanceId();
    return fate;
  }
  const RecordClass cls = *fate.cls;
  fate.seq = first[cls == RecordClass::kAnomaly ? 0 : cls == RecordClass::kSample ? 1 : 2];
  for (std::size_t i = 0; i + 1 < fates.size(); ++i)
    if (FateHas(static_cast<std::uint8_t>(fates[i]), cls)) ++fate.seq;
  SKERRY_ASSIGN_OR_RETURN(fate.place, PlaceOf(database, streams, fate));
  return fate;
}

Status ReadLost(Database& database, OutboxFacts& facts) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format(
          "SELECT s.epoch, s.cls, g.first_seq, g.last_seq, g.primary_rows, g.closed FROM gaps g "
          "JOIN streams s ON s.id = g.stream WHERE g.reason = '{}' ORDER BY s.cls, s.id, "
          "g.first_seq",
          kGapLost)));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return {};
    facts.lost_primary_rows += U64(query, 4);
    if (facts.lost.size() < limits::kLostRangesShown)
      facts.lost.push_back({InstanceFromBytes(query.BlobAt(0)),
                            static_cast<RecordClass>(query.Int(1)), U64(query, 2), U64(query, 3),
                            U64(query, 4), query.Int(5) != 0});
  }
}

Status ReadBacklog(Database& database, OutboxFacts& facts) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare("SELECT s.epoch, s.cls, s.last_seq, "
                       "(SELECT SUM(last_seq - first_seq + 1) FROM batches WHERE stream = s.id), "
                       "(SELECT COUNT(*) FROM segments WHERE stream = s.id), "
                       "(SELECT SUM(last_seq - first_seq + 1) FROM segments WHERE stream = s.id), "
                       "(SELECT SUM(bytes) FROM segments WHERE stream = s.id) "
                       "FROM streams s ORDER BY s.cls, s.id"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return {};
    const StreamBacklog backlog{InstanceFromBytes(query.BlobAt(0)),
                                static_cast<RecordClass>(query.Int(1)),
                                U64(query, 2),
                                U64(query, 3),
                                U64(query, 4),
                                U64(query, 5),
                                U64(query, 6)};
    facts.segment_bytes += backlog.sealed_bytes;
    if (backlog.unsealed_rows > 0 || backlog.sealed_segments > 0) facts.streams.push_back(backlog);
  }
}

}  // namespace

Result<std::vector<Shipment>> ReadPendingShipments(Database& database,
                                                   const std::filesystem::path& segments_directory,
                                                   ShipmentPick pick, std::size_t most) {
  SKERRY_ASSIGN_OR_RETURN(const ReadSnapshot snapshot, ReadSnapshot::Begin(database));
  // A shed segment's first statement is offered until its gap is closed, so that the hub sees the
  // whole chain.
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format(
          "SELECT number, MIN(cls) AS best FROM ("
          "SELECT g.shipment AS number, s.cls FROM segments g JOIN streams s ON s.id = g.stream "
          "UNION ALL SELECT g.shipment, s.cls FROM gaps g JOIN streams s ON s.id = g.stream WHERE "
          "g.closed = 0 UNION ALL SELECT g.origin, s.cls FROM gaps g JOIN streams s ON s.id = "
          "g.stream WHERE g.closed = 0 AND g.origin IN (SELECT number FROM shipments)) WHERE "
          "number > 0 {} GROUP BY number ORDER BY best, number "
          "LIMIT {}",
          pick == ShipmentPick::kUrgent ? "AND cls <= 1" : "", most)));
  std::vector<Shipment> shipments;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return shipments;
    SKERRY_ASSIGN_OR_RETURN(Shipment shipment,
                            ReadShipment(database, U64(query, 0), segments_directory));
    shipments.push_back(std::move(shipment));
  }
}

Result<std::vector<std::optional<RowFate>>> ReadFates(Database& database,
                                                      std::span<const RowId> rows) {
  SKERRY_ASSIGN_OR_RETURN(const ReadSnapshot snapshot, ReadSnapshot::Begin(database));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<StreamRow> streams, ReadStreams(database));
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare("SELECT l.first_n, l.fates, l.anomaly_seq, l.sample_seq, l.insight_seq, "
                       "e.instance FROM ledger l JOIN instances e ON e.id = l.epoch WHERE "
                       "l.instance = (SELECT id FROM instances WHERE instance = ?) AND l.first_n "
                       "<= ? ORDER BY l.first_n DESC LIMIT 1"));
  std::vector<std::optional<RowFate>> fates;
  for (const RowId& row : rows) {
    SKERRY_ASSIGN_OR_RETURN(auto fate, ReadFate(database, query, streams, row));
    fates.push_back(std::move(fate));
  }
  return fates;
}

Result<std::optional<HeldReceipt>> ReadNewestReceipt(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(auto query,
                          database.Prepare("SELECT incarnation, counter, envelope FROM receipts "
                                           "ORDER BY id DESC LIMIT 1"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return std::nullopt;
  return HeldReceipt{std::string(query.Text(0)), U64(query, 1), std::string(query.BlobAt(2))};
}

Result<OutboxFacts> ReadFacts(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(const ReadSnapshot snapshot, ReadSnapshot::Begin(database));
  OutboxFacts facts;
  SKERRY_ASSIGN_OR_RETURN(const OutboxState state, ReadState(database));
  facts.counters = state.counters;
  facts.receipted_primary_rows = state.receipted;
  facts.damaged_primary_rows = state.damaged;
  facts.ledger_rows = state.ledger_rows;
  facts.last_statement = state.last_statement;
  SKERRY_ASSIGN_OR_RETURN(facts.unsealed_primary_rows,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM batches"));
  SKERRY_ASSIGN_OR_RETURN(facts.sealed_primary_rows,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM segments"));
  SKERRY_ASSIGN_OR_RETURN(facts.open_gaps,
                          ReadNumber(database, "SELECT COUNT(*) FROM gaps WHERE closed = 0"));
  SKERRY_ASSIGN_OR_RETURN(
      const std::uint64_t oldest,
      ReadNumber(database,
                 "SELECT MIN(us) FROM (SELECT MIN(oldest_utc_us) AS us FROM batches "
                 "UNION ALL SELECT MIN(oldest_utc_us) FROM segments)"));
  facts.oldest_pending_us = static_cast<std::int64_t>(oldest);
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t pages, ReadNumber(database, "PRAGMA page_count"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t page_bytes, ReadNumber(database, "PRAGMA page_size"));
  facts.database_bytes = pages * page_bytes;
  SKERRY_RETURN_IF_ERROR(ReadBacklog(database, facts));
  SKERRY_RETURN_IF_ERROR(ReadLost(database, facts));
  SKERRY_ASSIGN_OR_RETURN(facts.grace_segments,
                          ReadNumber(database, "SELECT COUNT(*) FROM receipted WHERE file != ''"));
  SKERRY_ASSIGN_OR_RETURN(
      facts.grace_bytes, ReadNumber(database, "SELECT SUM(bytes) FROM receipted WHERE file != ''"));
  SKERRY_ASSIGN_OR_RETURN(auto receipt,
                          database.Prepare("SELECT incarnation, counter FROM receipts ORDER BY id "
                                           "DESC LIMIT 1"));
  SKERRY_ASSIGN_OR_RETURN(const bool has_receipt, receipt.Step());
  if (has_receipt) {
    facts.receipt_incarnation = receipt.Text(0);
    facts.receipt_counter = U64(receipt, 1);
  }
  SKERRY_ASSIGN_OR_RETURN(auto rules, database.Prepare("SELECT rule, SUM(rows) FROM withheld GROUP "
                                                       "BY rule ORDER BY rule"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, rules.Step());
    if (!more) return facts;
    facts.withheld_by_rule.emplace_back(rules.Text(0), U64(rules, 1));
  }
}

}  // namespace skerry
