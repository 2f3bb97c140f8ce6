#include "outbox/database.h"

#include <array>

#include "base/log.h"
#include "codec/text.h"

namespace skerry {
namespace {

constexpr std::string_view kSchemaV1 = R"sql(
CREATE TABLE state(
  id INTEGER PRIMARY KEY CHECK (id = 1), site TEXT NOT NULL,
  scored INTEGER NOT NULL DEFAULT 0, withheld INTEGER NOT NULL DEFAULT 0,
  not_selected INTEGER NOT NULL DEFAULT 0, shed INTEGER NOT NULL DEFAULT 0,
  recalled INTEGER NOT NULL DEFAULT 0, not_captured INTEGER NOT NULL DEFAULT 0,
  receipted INTEGER NOT NULL DEFAULT 0, damaged INTEGER NOT NULL DEFAULT 0,
  ledger_rows INTEGER NOT NULL DEFAULT 0, forgotten_rows INTEGER NOT NULL DEFAULT 0,
  forgotten_withheld INTEGER NOT NULL DEFAULT 0, forgotten_not_selected INTEGER NOT NULL DEFAULT 0,
  status_counter INTEGER NOT NULL DEFAULT 0, last_statement INTEGER NOT NULL DEFAULT 0,
  last_statement_digest TEXT NOT NULL DEFAULT '', windows INTEGER NOT NULL DEFAULT 0,
  commits INTEGER NOT NULL DEFAULT 0);
CREATE TABLE instances(id INTEGER PRIMARY KEY, instance BLOB NOT NULL UNIQUE);
CREATE TABLE streams(
  id INTEGER PRIMARY KEY, epoch BLOB NOT NULL, cls INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  received TEXT NOT NULL DEFAULT '[]', UNIQUE(epoch, cls));
-- Records that are in no segment yet, as one group commit made them (codec/columns.h EncodeTable).
CREATE TABLE batches(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, primary_rows INTEGER NOT NULL, policy TEXT NOT NULL,
  model TEXT NOT NULL, oldest_utc_us INTEGER NOT NULL, committed_mono_us INTEGER NOT NULL,
  body BLOB NOT NULL);
CREATE INDEX batches_by_stream ON batches(stream, first_seq);
CREATE TABLE segments(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, primary_rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  digest TEXT NOT NULL, file TEXT NOT NULL, policy TEXT NOT NULL, models TEXT NOT NULL,
  oldest_utc_us INTEGER NOT NULL, shipment INTEGER NOT NULL DEFAULT 0);
CREATE INDEX segments_by_stream ON segments(stream, first_seq);
CREATE INDEX segments_by_shipment ON segments(shipment);
CREATE TABLE gaps(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, primary_rows INTEGER NOT NULL, reason TEXT NOT NULL,
  closed INTEGER NOT NULL DEFAULT 0, shipment INTEGER NOT NULL DEFAULT 0,
  origin INTEGER NOT NULL DEFAULT 0);
CREATE INDEX gaps_by_stream ON gaps(stream, first_seq);
CREATE INDEX gaps_by_shipment ON gaps(shipment);
CREATE TABLE shipments(number INTEGER PRIMARY KEY, epoch BLOB NOT NULL, envelope BLOB NOT NULL);
-- What became of rows first_n .. first_n + rows - 1 of an instance: a byte a row, and where each
-- class' first record of the range is in the streams of `epoch`.
CREATE TABLE ledger(
  id INTEGER PRIMARY KEY, instance INTEGER NOT NULL REFERENCES instances, first_n INTEGER NOT NULL,
  rows INTEGER NOT NULL, fates BLOB NOT NULL, epoch INTEGER NOT NULL REFERENCES instances,
  anomaly_seq INTEGER NOT NULL, sample_seq INTEGER NOT NULL, insight_seq INTEGER NOT NULL);
CREATE INDEX ledger_by_row ON ledger(instance, first_n);
CREATE TABLE receipts(
  id INTEGER PRIMARY KEY, incarnation TEXT NOT NULL UNIQUE, counter INTEGER NOT NULL,
  envelope BLOB NOT NULL);
CREATE TABLE withheld(
  rule TEXT NOT NULL, reason TEXT NOT NULL, policy TEXT NOT NULL, rows INTEGER NOT NULL,
  reported INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(rule, reason, policy)) WITHOUT ROWID;
-- outbox/decision_log.h
CREATE TABLE decisions(
  n INTEGER PRIMARY KEY, rule TEXT NOT NULL, reason TEXT NOT NULL, policy TEXT NOT NULL,
  rows INTEGER NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0);
CREATE INDEX decisions_unsent ON decisions(n) WHERE sent = 0;
-- Unreadable batches, kept for a person to look at.
CREATE TABLE quarantine(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL, body BLOB NOT NULL);
)sql";

// Epochs of this start of the machine that no statement has told a clock anchor of (anchors.h).
constexpr std::string_view kSchemaBoots = R"sql(
CREATE TABLE boots(id INTEGER PRIMARY KEY, instance BLOB NOT NULL UNIQUE, boot TEXT NOT NULL);
)sql";

// What receipts have covered, a row a segment, in the order of the receipts. While `file` is not
// empty the segment is kept for a grace. What had been covered before this step is known by its
// ranges and its sum alone.
constexpr std::string_view kSchemaReceipted = R"sql(
CREATE TABLE receipted(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, primary_rows INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
  digest TEXT NOT NULL DEFAULT '', file TEXT NOT NULL DEFAULT '', policy TEXT NOT NULL DEFAULT '',
  models TEXT NOT NULL DEFAULT '', oldest_utc_us INTEGER NOT NULL DEFAULT 0,
  shipment INTEGER NOT NULL DEFAULT 0, receipted_us INTEGER NOT NULL DEFAULT 0);
CREATE INDEX receipted_in_grace ON receipted(id) WHERE file != '';
INSERT INTO receipted(stream, first_seq, last_seq, primary_rows)
  SELECT s.id, json_extract(r.value, '$[0]'), json_extract(r.value, '$[1]'), 0
  FROM streams s, json_each(s.received) r;
UPDATE receipted SET primary_rows = (SELECT receipted FROM state)
  WHERE id = (SELECT MIN(id) FROM receipted);
)sql";

// Of the records that the hub had lost, how many a person has taken note of.
constexpr std::string_view kSchemaAcknowledged =
    "ALTER TABLE state ADD COLUMN lost_acknowledged INTEGER NOT NULL DEFAULT 0;";

// The last number that each scorer has handed over (hand_over.h), whether its rows are kept, and
// how many rows it has lost; `seen` is state.commits when it was heard of.
constexpr std::string_view kSchemaScorers = R"sql(
CREATE TABLE scorers(
  id INTEGER PRIMARY KEY, instance BLOB NOT NULL UNIQUE, number INTEGER NOT NULL,
  kept INTEGER NOT NULL, lost_rows INTEGER NOT NULL, seen INTEGER NOT NULL);
CREATE INDEX scorers_by_seen ON scorers(seen);
)sql";

constexpr std::array<std::string_view, 5> kMigrations = {kSchemaV1, kSchemaBoots, kSchemaReceipted,
                                                         kSchemaAcknowledged, kSchemaScorers};

constexpr const char* kStateColumns =
    "scored, withheld, not_selected, shed, recalled, not_captured, receipted, damaged, "
    "ledger_rows, "
    "forgotten_rows, forgotten_withheld, forgotten_not_selected, status_counter, last_statement, "
    "windows, commits, lost_acknowledged";

// The numbers of `state` in the order of kStateColumns.
std::array<std::uint64_t*, 17> StateNumbers(OutboxState& state) {
  Counters& counters = state.counters;
  return {&counters.scored,
          &counters.withheld,
          &counters.not_selected,
          &counters.shed,
          &counters.recalled,
          &counters.not_captured,
          &state.receipted,
          &state.damaged,
          &state.ledger_rows,
          &state.forgotten_rows,
          &state.forgotten_withheld,
          &state.forgotten_not_selected,
          &state.status_counter,
          &state.last_statement,
          &state.windows,
          &state.commits,
          &state.lost_acknowledged};
}

unsigned FateBit(RecordClass cls) {
  switch (cls) {
    case RecordClass::kAnomaly: return 0x08;
    case RecordClass::kSample: return 0x10;
    case RecordClass::kInsight: return 0x20;
    default: return 0;
  }
}

std::uint64_t U64(const SqlStatement& row, int column) {
  return static_cast<std::uint64_t>(row.Int(column));
}

Result<std::vector<SegmentRow>> ReadSegmentsOf(Database& database, std::string_view table,
                                               std::string_view where) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format("SELECT id, stream, first_seq, last_seq, primary_rows, bytes, "
                                   "digest, file, policy, models, shipment FROM {} WHERE {}",
                                   table, where)));
  std::vector<SegmentRow> rows;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    rows.push_back({query.Int(0), query.Int(1), U64(query, 2), U64(query, 3), U64(query, 4),
                    U64(query, 5), std::string(query.Text(6)), std::string(query.Text(7)),
                    std::string(query.Text(8)), std::string(query.Text(9)), U64(query, 10)});
  }
}

}  // namespace

std::span<const std::string_view> OutboxMigrations() { return kMigrations; }

Result<OutboxState> ReadState(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database.Prepare(fmt::format("SELECT {}, site, last_statement_digest FROM state",
                                               kStateColumns)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return Fail(ErrorCode::kDataLoss, "the outbox's state is missing");
  OutboxState state;
  int column = 0;
  for (std::uint64_t* number : StateNumbers(state)) *number = U64(query, column++);
  state.site = query.Text(column);
  state.last_statement_digest = query.Text(column + 1);
  return state;
}

Status WriteState(Database& database, const OutboxState& state) {
  SKERRY_ASSIGN_OR_RETURN(
      auto update, database.Prepare(fmt::format("UPDATE state SET ({}, last_statement_digest) = "
                                                "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                                                kStateColumns)));
  OutboxState copy = state;
  int index = 1;
  for (const std::uint64_t* number : StateNumbers(copy)) update.Bind(index++, *number);
  update.Bind(index, copy.last_statement_digest);
  return update.Run();
}

Result<std::vector<StreamRow>> ReadStreams(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database.Prepare("SELECT id, epoch, cls, last_seq, received FROM streams"));
  std::vector<StreamRow> rows;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    SKERRY_ASSIGN_OR_RETURN(const Json intervals, ParseJson(query.Text(4)), "streams.received");
    SKERRY_ASSIGN_OR_RETURN(IntervalSet received,
                            IntervalSet::FromJson(intervals, "streams.received"));
    rows.push_back({query.Int(0), InstanceFromBytes(query.BlobAt(1)),
                    static_cast<RecordClass>(query.Int(2)), U64(query, 3), std::move(received)});
  }
}

Result<std::vector<SegmentRow>> ReadSegments(Database& database, std::string_view where) {
  return ReadSegmentsOf(database, "segments", where);
}

Result<std::vector<SegmentRow>> ReadReceipted(Database& database, std::string_view where) {
  return ReadSegmentsOf(database, "receipted", where);
}

Result<std::vector<GapRow>> ReadGaps(Database& database, std::string_view where) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format("SELECT id, stream, first_seq, last_seq, primary_rows, reason, "
                                   "closed, shipment, origin FROM gaps WHERE {}",
                                   where)));
  std::vector<GapRow> rows;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    rows.push_back({query.Int(0), query.Int(1), U64(query, 2), U64(query, 3), U64(query, 4),
                    std::string(query.Text(5)), query.Int(6) != 0, U64(query, 7), U64(query, 8)});
  }
}

Result<std::uint64_t> ReadNumber(Database& database, std::string_view sql) {
  SKERRY_ASSIGN_OR_RETURN(auto query, database.Prepare(sql));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? U64(query, 0) : 0;
}

std::string InstanceBytes(const InstanceId& id) {
  return {reinterpret_cast<const char*>(id.bytes().data()), id.bytes().size()};
}

InstanceId InstanceFromBytes(std::string_view bytes) {
  return InstanceId::Parse(EncodeHex(bytes)).value_or(InstanceId());
}

std::uint8_t FateByte(RowDisposition disposition, std::uint8_t classes) {
  unsigned fate = static_cast<unsigned>(disposition);
  for (const RecordClass cls : {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight})
    if ((classes >> static_cast<unsigned>(cls) & 1U) != 0) fate |= FateBit(cls);
  return static_cast<std::uint8_t>(fate);
}

bool FateHas(std::uint8_t fate, RecordClass cls) { return (fate & FateBit(cls)) != 0; }

RowDisposition FateDisposition(std::uint8_t fate) {
  return static_cast<RowDisposition>(fate & kFateDispositionMask);
}

Result<ReadSnapshot> ReadSnapshot::Begin(Database& database) {
  SKERRY_RETURN_IF_ERROR(database.Execute("BEGIN"));
  return ReadSnapshot(&database);
}

ReadSnapshot::~ReadSnapshot() {
  if (database_ == nullptr) return;
  if (const Status ended = database_->Execute("COMMIT"); !ended)
    LogWarning("outbox read transaction did not end: {}", ended.error().ToString());
}

}  // namespace skerry
