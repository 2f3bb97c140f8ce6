// Every change to the outbox's database, each one transaction. Internal.
//
// Used by the writer thread alone, but for database_path(). A failed change is rolled back whole;
// after a failed write the database is abandoned, and what it holds is copied into a new one
// (Recover, generations.h).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "outbox/anchors.h"
#include "outbox/database.h"
#include "outbox/generations.h"
#include "outbox/hand_over.h"
#include "outbox/outbox.h"
#include "outbox/summary_windows.h"
#include "storage/ballast.h"
#include "storage/sqlite.h"

namespace skerry {

struct Submission {
  std::shared_ptr<const RowBatch> batch;
  std::shared_ptr<const CompiledPolicy> policy;
  HandOverFate* hand_over = nullptr;  // of a scorer; stored only where that is news
};

// A Parquet file that has been written and published, for InsertSegment.
struct SealedFile {
  std::int64_t stream = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  std::uint64_t batches = 0;
  std::uint64_t bytes = 0;
  Digest digest;
  std::string file;
  std::string policy;
  std::string models;
  std::int64_t oldest_utc_us = 0;
};

enum class EmitWhat { kDue, kAll };
enum class EnforceWhen {
  kAfterCommit,  // the whole quota at once, the rules of classes now and then
  kNow,
};

class OutboxStore {
 public:
  // Opens or makes the database; removes orphaned segment files, and turns missing ones into gaps.
  static Result<std::unique_ptr<OutboxStore>> Open(const OutboxOptions& options, InstanceId epoch);

  // Policy decides, then records, ledger and counters commit together. `lost_rows` were scored and
  // could not be kept; they are counted in the same commit. What became of each of `hand_overs` is
  // filled in, and holds once the commit has succeeded.
  Status CommitRows(std::span<const Submission> submissions,
                    std::span<HandOverFate* const> hand_overs, std::uint64_t lost_rows);
  // Summaries and decision records that are due, or all that there are.
  Status EmitSideRecords(EmitWhat what);
  // kConflict when the batches are not what the file was made of (some were shed meanwhile).
  Status InsertSegment(const SealedFile& sealed);
  // An unreadable batch: set aside, a gap of reason "damage".
  Status QuarantineBatch(std::int64_t id, std::string_view reason);
  Status QuarantineSegment(const Digest& digest, std::string_view reason);
  // Signs statements for the segments and gaps that are in none; with kUrgent for urgent segments
  // alone.
  Status MakeStatements(ShipmentPick pick);
  // `receipt` is what `envelope` says, verified against `hub_keys`.
  Result<ReceiptOutcome> ApplyReceipt(const Receipt& receipt, std::string_view envelope,
                                      std::span<const PublicKey> hub_keys);
  Result<SiteStatus> ReadStatus();
  // Sheds until database and segments fit the quotas, lowest value and oldest first.
  Status EnforceQuota(EnforceWhen when);
  // Outbox::Recall; the verdicts hold until the next call.
  Result<std::uint64_t> Recall(WiderPolicy wider);
  // What has come since under a policy that is wider. Before every statement.
  Result<std::uint64_t> RecallWider();
  // Outbox::AcknowledgeLost.
  Result<std::uint64_t> AcknowledgeLost();
  // A reader found damage: where the database is damaged, and not another file, a new generation.
  Status MendIfDamaged();
  // The change before failed so that the database cannot be trusted any more. Best effort: tells
  // the next start.
  void Distrust();
  // Space for changes that give space back, such as a receipt, on a full disk: what is kept for a
  // grace, then the ballast. False: there is none.
  bool GiveSpace() { return DropGrace() || ballast_.Drop(); }
  // Everything that is kept for a grace goes. False: there was nothing. Best effort.
  bool DropGrace();
  // After that: a new generation of the database. True when the change is there after all.
  Result<bool> Recover();

  Database& database() { return *database_; }
  const OutboxState& state() const { return state_; }
  std::uint64_t segment_bytes() const { return segment_bytes_; }  // what waits, without the grace
  std::filesystem::path segments_directory() const { return directory_ / "segments"; }
  // Of the present generation; from any thread.
  std::filesystem::path database_path() const {
    return GenerationPath(directory_, generation_.load());
  }

 private:
  // One transaction under way, with what memory will hold once it commits.
  struct Work {
    Transaction transaction;
    OutboxState state;
    std::map<RecordClass, StreamRow> streams;  // of the current epoch
  };
  // Rows that go through the same policy and package.
  struct Group;

  OutboxStore(const OutboxOptions& options, InstanceId epoch);
  Status OpenDatabase();
  Status OpenGeneration(std::uint64_t number);
  // Copies the present generation into the next one and opens that.
  Status NextGeneration();
  // Nothing of the database can be read: everything goes to quarantine/, and an empty one begins.
  Status StartAnew(const Error& why);
  Status LoadCaches();
  Status CountBytes();
  Status CheckSegmentFiles();
  Result<Work> Begin();
  Status Commit(Work& work);

  Result<StreamRow*> StreamFor(Work& work, RecordClass cls);
  Result<std::int64_t> InternInstance(const InstanceId& instance);
  // Gives the records their seq and stores them.
  Status InsertBatch(Work& work, RecordClass cls, const Table& table, std::uint64_t primary_rows,
                     const std::optional<Digest>& policy, const std::optional<Digest>& model);
  static std::vector<Group> GroupsOf(std::span<const Submission> submissions);
  Status StoreGroup(Work& work, Group& group);
  // hand_overs.cpp: decides each by what is stored and those before it; the scorers' new states.
  struct ScorerRow;
  Result<std::map<InstanceId, ScorerRow>> JudgeHandOvers(std::span<HandOverFate* const> hand_overs);
  Status StoreScorers(Work& work, const std::map<InstanceId, ScorerRow>& scorers);
  Status StoreLedger(Work& work, const Group& group,
                     const std::map<RecordClass, std::uint64_t>& first_seqs);
  Status CountWithheld(const Group& group);
  Status PruneLedger(Work& work);
  // anchors.cpp: the epoch has rows, and so needs an anchor.
  Status NoteEpoch();
  Status NoteInstance(const InstanceId& instance);
  // What the next statement tells of the clocks, taken off the list in the transaction under way.
  Result<std::vector<ClockAnchor>> TakeAnchors();
  Status EmitSummaries(Work& work, EmitWhat what);
  Status EmitDecisions(Work& work);
  Status AddGap(std::int64_t stream, std::uint64_t first_seq, std::uint64_t last_seq,
                std::uint64_t primary_rows, std::string_view reason, std::uint64_t origin);
  Status TakeSegmentOut(const SegmentRow& segment, std::string_view reason);
  Result<std::uint64_t> RecallMadeUnder(const std::string& policy, RecordClass cls);
  // shedding.cpp
  using BytesByClass = std::array<std::uint64_t, kRecordClasses.size()>;
  Result<std::uint64_t> UsedBytes();
  Result<BytesByClass> ReadBytesByClass();
  std::uint64_t QuotaOfRecords() const;
  Result<std::optional<RecordClass>> FindVictim();
  Status ShedAged();
  // A segment, or else some unsealed batches; `which` is SQL. False when there is nothing of it.
  Result<bool> ShedOldest(RecordClass cls, std::string_view which);
  Result<bool> ShedBatches(std::string_view which);
  // Unsealed batches become gaps; `which` is SQL after WHERE. How many, and their primary rows.
  struct TakenOut {
    std::size_t batches = 0;
    std::uint64_t primary_rows = 0;
  };
  Result<TakenOut> TakeBatchesOut(std::string_view which, std::string_view reason);
  Status MakeStatement(Work& work, std::span<const SegmentRow> segments,
                       std::span<const GapRow> gaps,
                       const std::unordered_map<std::int64_t, StreamRow>& streams,
                       std::vector<ClockAnchor> anchors);
  Status ApplyStream(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                     ReceiptOutcome& outcome, std::vector<SegmentRow>& covered);
  Status ApplyToGaps(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                     ReceiptOutcome& outcome);
  // The hub holds [first, last] of the gap after all; `rest` are its other parts.
  Status TakeOutOfGap(Work& work, StreamRow& stream, const GapRow& gap,
                      const std::vector<IntervalSet::Interval>& rest);
  // grace.cpp
  // A covered segment, out of the backlog; its file stays while grace is on.
  Status MoveToReceipted(const SegmentRow& segment);
  Status NoteReceipted(std::int64_t stream, std::uint64_t first_seq, std::uint64_t last_seq,
                       std::uint64_t primary_rows, std::uint64_t shipment);
  // What earlier receipts covered of the stream and this one does not: offered again, or lost.
  Status TakeBack(Work& work, StreamRow& stream, const StreamReceipt& receipt,
                  ReceiptOutcome& outcome);
  Status OfferAgain(const SegmentRow& row);
  Status Lose(Work& work, StreamRow& stream, const SegmentRow& row, const IntervalSet& lost,
              ReceiptOutcome& outcome);
  Status CapAcknowledged(Work& work, std::uint64_t newly_lost);
  Status MergeReceipted();
  Result<std::uint64_t> GraceAllowed();
  Status TrimGrace(EnforceWhen when);
  Status EndGrace(std::span<const SegmentRow> rows);
  bool HasWholeFile(const SegmentRow& segment) const;

  const std::filesystem::path directory_;
  const std::string site_;
  const InstanceId epoch_;
  const PrivateKey key_;
  const Clock* const clock_;
  const std::uint64_t quota_bytes_;
  const std::uint64_t grace_quota_bytes_;
  const std::chrono::milliseconds grace_age_;
  const std::map<RecordClass, ClassLimits> class_limits_;
  const std::uint64_t ledger_rows_;
  const std::string boot_;  // ReadBootId

  Ballast ballast_;
  std::atomic<std::uint64_t> generation_ = 0;
  bool salvaged_in_part_ = false;  // segments that no row names may be wanted
  std::unique_ptr<Database> database_;
  OutboxState state_;
  std::map<RecordClass, StreamRow> streams_;
  std::unordered_map<InstanceId, std::int64_t> instances_;
  std::uint64_t segment_bytes_ = 0;
  std::uint64_t grace_bytes_ = 0;  // of segments that receipts have covered
  std::uint64_t grace_segments_ = 0;
  std::uint64_t receipted_since_merge_ = 1'000'000;  // so that the first receipt looks
  std::chrono::steady_clock::time_point classes_checked_;
  SummaryWindows windows_;
  std::shared_ptr<const CompiledPolicy> last_policy_;
  AnchorWatch watch_;
  bool epoch_noted_ = false;  // in table `boots` of this generation
  WiderPolicy wider_;
  std::map<std::pair<std::string, RecordClass>, bool> wider_verdicts_;
};

}  // namespace skerry
