// The site's durable store of what may leave: takes scored rows, lets policy decide, commits what
// is left, seals it into Parquet segments, makes signed shipments of them, and deletes what a hub's
// receipt covers. It also keeps the ledger: what became of every row.
//
// Files, below OutboxOptions::directory: outbox-000001.db (SQLite, WAL, synchronous=FULL; another
// number after each failed write, generations.h), segments/, ballast (space for
// receipts on a full disk), quarantine/ (damaged segment files and
// databases, kept for a person to look at). The caller holds the lock on
// the data directory (storage/file.h DirectoryLock).
//
// Ownership: one Outbox a site, owned by the composition root, closed before the clock and the
// metrics that it borrows.
// Threads: every function may be called from any thread. Inside there are two: the writer, the only
// one that changes the database, which commits queued rows in groups; and the sealer, which writes
// Parquet so that a commit never waits for it. DuckDB is opened by the first seal.
// Durability: `done` with OK, and every function that returns OK, mean synced to disk.
// Restart: rows that a previous process committed are sealed under that process' epoch; files of an
// interrupted seal are removed.
//
//   SKERRY_ASSIGN_OR_RETURN(auto outbox, Outbox::Open(std::move(options)));
//   outbox->Submit(batch, policy, [](Status durable) { ... });
//   SKERRY_ASSIGN_OR_RETURN(auto shipments, outbox->PendingShipments());
//   SKERRY_ASSIGN_OR_RETURN(auto outcome, outbox->ApplyReceipt(envelope, hub_keys));
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "model/row_batch.h"
#include "outbox/hand_over.h"
#include "outbox/site_status.h"
#include "outbox/statement.h"
#include "policy/compiled_policy.h"
#include "policy/record_class.h"

namespace skerry {

namespace limits {
constexpr std::size_t kLostRangesShown = 1'000;  // of OutboxFacts
}

// What one class may take. 0: no rule.
struct ClassLimits {
  std::uint64_t quota_bytes = 0;         // beyond it the class sheds its oldest
  std::uint64_t reserve_bytes = 0;       // of the whole quota, kept free of less valuable classes
  std::chrono::milliseconds max_age{0};  // older records are shed, while the clock is trusted
};

struct OutboxOptions {
  std::filesystem::path directory;  // made if absent
  std::string site;
  PrivateKey key;                                       // signs statements
  const Clock* clock = nullptr;                         // borrowed
  InstanceId epoch;                                     // the process' instance; none: a random one
  std::uint64_t quota_bytes = std::uint64_t{4} << 30U;  // database and segment files together
  std::map<RecordClass, ClassLimits> classes;
  // Segments that a receipt covers are kept for a hub that loses them: so many bytes of what the
  // quota and the disk leave, the first to go for anything else. 0: none.
  std::uint64_t grace_bytes = 0;
  std::chrono::milliseconds grace_age{0};  // and no longer, while the clock is trusted; 0: no rule
  std::uint64_t segment_rows = limits::kSegmentRows;
  std::chrono::milliseconds segment_age{30'000};  // unsealed rows wait no longer than this
  std::chrono::milliseconds urgent_age{2'000};    // labels and anomalies no longer than this
  std::size_t queue_rows = limits::kCaptureQueueRows;
  std::uint64_t ledger_rows = limits::kLedgerRows;  // older fates are forgotten, their sums kept
  MetricRegistry* metrics = nullptr;                // borrowed
};

// One signed statement and the segment files of it that the hub does not have yet.
struct Shipment {
  std::string tag;                 // ShipmentTag
  std::string statement_envelope;  // the same bytes at every offer
  // May be fewer than the statement lists, or none when gaps alone are unaccepted. A file may be
  // gone by the time it is read (shed, or receipted by another road): ask again then.
  std::vector<std::pair<Digest, std::filesystem::path>> segments;
  ShipmentStatement statement;
};

enum class ShipmentPick {
  kAll,
  kUrgent,  // those with urgent records (statement.h); nothing is sealed for them
};

struct ReceiptOutcome {
  // kOlder: of a counter below, or of an incarnation before, the one known, or of another hub from
  // the same back-up (hub_restores); nothing changed.
  enum class Kind { kApplied, kOlder };
  Kind kind = Kind::kApplied;
  bool new_incarnation = false;  // the hub was restored: it may have lost what it once received
  std::uint64_t segments_covered = 0;  // out of the backlog: deleted, or kept for a grace
  std::uint64_t bytes_covered = 0;
  std::uint64_t gaps_closed = 0;
  // Of what earlier receipts covered and this one does not: the hub was restored.
  std::uint64_t segments_offered_again = 0;
  std::uint64_t gaps_told_again = 0;
  std::uint64_t records_lost = 0;  // they are no more here either
  std::int64_t issued_at_us = 0;   // by the hub's clock, as the receipt says it
  // Ranges that the receipt covers though they were never offered: kept, and worth an alarm.
  std::uint64_t never_offered = 0;
};

// Where a row's primary record is.
enum class RowPlace {
  kNothingLeaves,  // withheld or not selected
  kUnsealed,
  kSealed,  // in a segment that no receipt covers
  kReceived,
  kShed,
  kRecalled,
  kDamaged,
  kLost,  // received, then lost by the hub, and not here any more
};
// "nothing-leaves", "unsealed", "sealed", "received", "shed", "recalled", "damaged", "lost".
std::string_view RowPlaceName(RowPlace place);

struct RowFate {
  RowDisposition disposition = RowDisposition::kNotSelected;
  RowPlace place = RowPlace::kNothingLeaves;
  // Of the primary record, when one was released:
  std::optional<RecordClass> cls;
  InstanceId epoch;
  std::uint64_t seq = 0;
};

// Whether records of a class that were made under a policy, by its digest's text, are more than may
// leave now.
using WiderPolicy = std::function<bool(const std::string& policy, RecordClass cls)>;

struct StreamBacklog {
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  std::uint64_t last_seq = 0;  // the last one given out
  std::uint64_t unsealed_rows = 0;
  std::uint64_t sealed_segments = 0;
  std::uint64_t sealed_rows = 0;
  std::uint64_t sealed_bytes = 0;
};

// Records that the hub had signed for and has lost, and that are not here any more.
struct LostRange {
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  bool told = false;  // the hub has accepted it as a gap
};

// The receipt on which this outbox has deleted last.
struct HeldReceipt {
  std::string incarnation;
  std::uint64_t counter = 0;
  std::string envelope;
};

// Over the last minutes of this process (limits::kRateWindow), a second.
struct OutboxRates {
  double rows_in = 0;    // captured
  double bytes_in = 0;   // sealed into segments
  double bytes_out = 0;  // of segments that receipts covered
  // Seconds until the backlog is sent, or the quota is reached, at these rates; none when never.
  std::optional<double> drained_in;
  std::optional<double> full_in;
};

// For people and the console; of one moment.
struct OutboxFacts {
  InstanceId epoch;
  Counters counters;
  std::uint64_t receipted_primary_rows = 0;
  std::uint64_t damaged_primary_rows = 0;
  std::uint64_t unsealed_primary_rows = 0;
  std::uint64_t sealed_primary_rows = 0;
  std::uint64_t queued_rows = 0;
  std::uint64_t ledger_rows = 0;
  std::uint64_t database_bytes = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t grace_segments = 0;  // receipts cover them; in no other count
  std::uint64_t grace_bytes = 0;
  std::uint64_t quota_bytes = 0;
  std::uint64_t open_gaps = 0;
  std::uint64_t lost_primary_rows = 0;
  std::vector<LostRange> lost;  // at most limits::kLostRangesShown
  std::uint64_t last_statement = 0;
  std::string receipt_incarnation;  // "" before the first receipt
  std::uint64_t receipt_counter = 0;
  std::int64_t oldest_pending_us = 0;  // commit time; 0 when nothing is pending
  OutboxRates rates;
  std::vector<StreamBacklog> streams;  // those with a backlog, by class value, then age
  std::vector<std::pair<std::string, std::uint64_t>> withheld_by_rule;
};

class Outbox {
 public:
  // kInvalidArgument: options; kDataLoss: the database is damaged; errors of storage.
  static Result<std::unique_ptr<Outbox>> Open(OutboxOptions options);
  ~Outbox();  // Close()
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  InstanceId epoch() const;

  // Never blocks. `policy` decides on the writer thread, before anything is stored. `done` runs
  // exactly once: on a thread of the outbox, OK after the commit is synced, or with the reason why
  // the rows are not kept; or at once on the calling thread with kResourceExhausted when more than
  // queue_rows wait (one batch always fits an empty queue), or kUnavailable after Close. Rows that
  // are not kept are counted as scored and as not captured with the next good commit. `done` must
  // not wait for the outbox.
  void Submit(std::shared_ptr<const RowBatch> batch, std::shared_ptr<const CompiledPolicy> policy,
              std::function<void(Status)> done);

  // As Submit, for rows that nobody waits for: committed with those that come within some 10 ms, or
  // with the first that somebody waits for. Small batches whose ids go on where the last one's end
  // are copied behind it, so that they cost no more than the rows of a large one. Adds to `lost`,
  // which outlives the outbox or is null, the rows that are not kept.
  void Gather(std::shared_ptr<const RowBatch> batch, std::shared_ptr<const CompiledPolicy> policy,
              Counter* lost);

  // Rows of a scorer, all of one package, or none: committed in one transaction with the number, at
  // most once (hand_over.h). As Submit, but rows that are not kept are not counted: the scorer does
  // that, and says so with what it hands over next. After an error nothing is known of the number.
  void SubmitHandOver(const HandOver& said, std::vector<std::shared_ptr<const RowBatch>> batches,
                      const std::shared_ptr<const CompiledPolicy>& policy,
                      std::function<void(Result<HandOverFate>)> done);

  // Waits until everything submitted before the call has been committed or has failed, and `done`
  // has said so.
  Status Flush();
  // Called on the sealer's thread whenever labels or anomalies have become segments: somebody may
  // want to send them now. Must not wait for the outbox.
  void OnUrgentSegments(std::function<void()> handler);
  // What a person should look at, a sentence each.
  std::vector<std::string> Alarms();
  // Flush, then every committed row into segments, and the summary and decision records that are
  // under way with them.
  Status SealNow();

  // Seals what is due (segment_rows, segment_age), makes statements of the segments and gaps that
  // have none, and returns the shipments that receipts do not cover yet, the first `most`: by the
  // highest class in it, then by number.
  Result<std::vector<Shipment>> PendingShipments(ShipmentPick pick = ShipmentPick::kAll,
                                                 std::size_t most = limits::kShipmentsOffered);
  // Whether there are sealed urgent records that no receipt covers. Quick: one look into the index.
  Result<bool> UrgentWaits();
  // Verifies against `hub_keys`, deletes what is covered, gives the space back. What an earlier
  // receipt covered and this one does not, the hub has lost: it is offered again where its files
  // are still here, and else becomes a gap of reason "lost". kPermissionDenied: no signature by a
  // hub key; kInvalidArgument: another site's, or no receipt.
  Result<ReceiptOutcome> ApplyReceipt(std::string_view envelope_json,
                                      std::span<const PublicKey> hub_keys);
  // The newest receipt that was applied; none before the first.
  Result<std::optional<HeldReceipt>> NewestReceipt();
  // Takes a sealed segment out of the way that turned out unreadable: its file moves to
  // quarantine/, its range becomes a gap of reason "damage". kNotFound when there is none.
  Status QuarantineSegment(const Digest& digest, std::string_view reason);

  // Takes back whole segments and unsealed batches that `wider` tells of and no receipt covers:
  // each range becomes a gap of reason "policy". What had been offered may be at the hub already;
  // then its receipt shows it, and the range counts as received. Asked again, on the writer
  // thread, before every statement, for rows that were on their way. The primary rows recalled.
  Result<std::uint64_t> Recall(WiderPolicy wider);

  // A person knows what the hub has lost: no alarm any more until it loses more. What was lost
  // stays in `facts().lost` and in the sums. How many records were news.
  Result<std::uint64_t> AcknowledgeLost();

  // A new status counter, with site, instance, clock, counters, pending and backlog filled in;
  // the caller adds models and alarms and signs.
  Result<SiteStatus> ReadStatus();
  Result<OutboxFacts> facts();

  // None for a row that this outbox never committed, or whose fate the ledger has forgotten.
  Result<std::optional<RowFate>> LookupRow(const RowId& row);
  Result<std::vector<std::optional<RowFate>>> LookupRows(std::span<const RowId> rows);

  // Walks the database, every unsealed batch, segment file, statement, stream and the ledger, and
  // says what is wrong, a sentence each; empty when all is well. Reads everything: minutes for
  // gigabytes.
  Result<std::vector<std::string>> Verify();
  // The latest `rows` records of a class, sealed or not; kTooLarge over limits::kTailRows.
  Result<Table> Tail(RecordClass cls, std::size_t rows);
  // Writes the local records of a class (sealed and unsealed) for use on the site: .parquet or
  // .csv by the name's end. kNotFound when there are none.
  Status ExportTo(const std::filesystem::path& path, RecordClass cls);

  // Commits what is queued and ends both threads. Unsealed rows stay for the next start. Repeats
  // are harmless.
  void Close();

 private:
  struct Impl;
  explicit Outbox(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
