// The outbox's database: its tables, and the few queries that several parts of the module share.
// Internal.
//
// The writer thread alone changes it, through one connection; readers have connections of their own
// and see whole commits (WAL snapshots).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "outbox/outbox.h"
#include "outbox/receipt.h"
#include "outbox/statement.h"
#include "storage/sqlite.h"

namespace skerry {

// For Database::Migrate.
std::span<const std::string_view> OutboxMigrations();

// The single row of `state`.
struct OutboxState {
  std::string site;
  Counters counters;
  std::uint64_t receipted = 0;  // primary rows
  std::uint64_t damaged = 0;    // primary rows
  std::uint64_t ledger_rows = 0;
  // Sums of the fates that the ledger has forgotten.
  std::uint64_t forgotten_rows = 0;
  std::uint64_t forgotten_withheld = 0;
  std::uint64_t forgotten_not_selected = 0;
  std::uint64_t status_counter = 0;
  std::uint64_t last_statement = 0;
  std::string last_statement_digest;  // "" before the first
  std::uint64_t windows = 0;          // summaries made
  std::uint64_t commits = 0;  // group commits, to tell whether a failed one is there after all
  std::uint64_t lost_acknowledged = 0;  // records, of the gaps of reason "lost"
};
Result<OutboxState> ReadState(Database& database);
Status WriteState(Database& database, const OutboxState& state);

struct StreamRow {
  std::int64_t id = 0;
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  std::uint64_t last_seq = 0;
  IntervalSet received;  // ranges that receipts have covered
};
Result<std::vector<StreamRow>> ReadStreams(Database& database);

struct SegmentRow {
  std::int64_t id = 0;
  std::int64_t stream = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  std::uint64_t bytes = 0;
  std::string digest;
  std::string file;            // name below segments/
  std::string policy;          // digest, or ""
  std::string models;          // digests, one a line
  std::uint64_t shipment = 0;  // 0: in none yet
};
// `where` is SQL after WHERE, with ORDER BY where order matters.
Result<std::vector<SegmentRow>> ReadSegments(Database& database, std::string_view where);
// What receipts have covered. With a `file` it is still here; without one only the range and its
// primary rows are known, and neighbours may have been merged (grace.cpp).
Result<std::vector<SegmentRow>> ReadReceipted(Database& database, std::string_view where);

struct GapRow {
  std::int64_t id = 0;
  std::int64_t stream = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  std::string reason;
  bool closed = false;         // a receipt has accepted it
  std::uint64_t shipment = 0;  // whose statement tells of it; 0: none yet
  std::uint64_t origin = 0;    // the shipment that had offered the range; 0: never offered
};
Result<std::vector<GapRow>> ReadGaps(Database& database, std::string_view where);

// SQL on a table with a column `stream`: whether IsUrgent(its class).
constexpr std::string_view kOfUrgentStream = "stream IN (SELECT id FROM streams WHERE cls <= 1)";
static_assert(IsUrgent(static_cast<RecordClass>(1)) && !IsUrgent(static_cast<RecordClass>(2)));

// Primary rows of the gaps of reason kGapLost.
constexpr std::string_view kLostPrimaryRows =
    "SELECT SUM(primary_rows) FROM gaps WHERE reason = 'lost'";
// Records of them, the secondary ones too.
constexpr std::string_view kLostRecords =
    "SELECT SUM(last_seq - first_seq + 1) FROM gaps WHERE reason = 'lost'";
static_assert(kGapLost == "lost");

// One number, 0 when the query gives no row.
Result<std::uint64_t> ReadNumber(Database& database, std::string_view sql);

std::string InstanceBytes(const InstanceId& id);
InstanceId InstanceFromBytes(std::string_view bytes);

// A row's fate in one byte of the ledger: the disposition in the low three bits, then a bit for
// each class that made a record of it.
constexpr std::uint8_t kFateDispositionMask = 0x07;
std::uint8_t FateByte(RowDisposition disposition, std::uint8_t classes);
bool FateHas(std::uint8_t fate, RecordClass cls);  // kAnomaly, kSample or kInsight
RowDisposition FateDisposition(std::uint8_t fate);

// A read transaction: everything inside sees one commit. Ends with the object.
class ReadSnapshot {
 public:
  static Result<ReadSnapshot> Begin(Database& database);
  ReadSnapshot(ReadSnapshot&& other) noexcept
      : database_(std::exchange(other.database_, nullptr)) {}
  ReadSnapshot& operator=(ReadSnapshot&&) = delete;
  ~ReadSnapshot();

 private:
  explicit ReadSnapshot(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace skerry
