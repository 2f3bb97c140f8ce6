// The group commit: policy, records, ledger and counters of submitted rows in one transaction.
#include <algorithm>
#include <array>
#include <tuple>

#include "base/limits.h"
#include "model/batch_rows.h"
#include "outbox/batch_limits.h"
#include "outbox/decision_log.h"
#include "outbox/scorer_row.h"
#include "outbox/store.h"

namespace skerry {
namespace {

// The batch, or parts of it that are no larger than one row of the database should be.
std::vector<std::shared_ptr<const RowBatch>> PartsOf(const std::shared_ptr<const RowBatch>& batch,
                                                     std::size_t bytes) {
  if (bytes <= limits::kBatchBytes) return {batch};
  const std::size_t parts = bytes / limits::kBatchBytes + 1;
  const std::size_t rows = std::max<std::size_t>(batch->rows / parts, 1);
  std::vector<std::shared_ptr<const RowBatch>> all;
  for (std::size_t first = 0; first < batch->rows; first += rows)
    all.push_back(std::make_shared<const RowBatch>(
        SliceOf(*batch, first, std::min(rows, batch->rows - first))));
  return all;
}

bool IsNews(const Submission& submission) {
  const HandOverFate* const hand_over = submission.hand_over;
  return hand_over == nullptr || (hand_over->kept && !hand_over->repeated);
}

}  // namespace

struct OutboxStore::Group {
  std::shared_ptr<const CompiledPolicy> policy;
  std::shared_ptr<const ModelPackage> package;
  std::vector<std::shared_ptr<const RowBatch>> batches;  // by instance and n
  ReleaseResult result;                                  // over the batches in that order
  std::size_t bytes = 0;                                 // of the batches
};

std::vector<OutboxStore::Group> OutboxStore::GroupsOf(std::span<const Submission> submissions) {
  // Ordered by row id, so that one ledger entry holds the rows of many requests.
  std::vector<const Submission*> order;
  for (const Submission& submission : submissions)
    if (IsNews(submission)) order.push_back(&submission);
  std::stable_sort(order.begin(), order.end(), [](const Submission* a, const Submission* b) {
    const auto key = [](const Submission* s) {
      return std::make_tuple(s->policy.get(), s->batch->package.get(), s->batch->instance,
                             s->batch->first_n);
    };
    return key(a) < key(b);
  });
  std::vector<Group> groups;
  for (const Submission* submission : order) {
    const std::size_t all = MemoryOf(*submission->batch);
    for (auto& part : PartsOf(submission->batch, all)) {
      const std::size_t bytes = part == submission->batch ? all : MemoryOf(*part);
      if (groups.empty() || groups.back().policy != submission->policy ||
          groups.back().package != submission->batch->package ||
          groups.back().bytes + bytes > limits::kBatchBytes)
        groups.push_back({submission->policy, submission->batch->package, {}, {}, 0});
      Group& group = groups.back();
      submission->policy->ReleaseInto(*part, group.result);
      group.batches.push_back(std::move(part));
      group.bytes += bytes;
    }
  }
  return groups;
}

Status OutboxStore::CommitRows(std::span<const Submission> submissions,
                               std::span<HandOverFate* const> hand_overs, std::uint64_t lost_rows) {
  SKERRY_ASSIGN_OR_RETURN(const auto scorers, JudgeHandOvers(hand_overs));
  std::vector<Group> groups = GroupsOf(submissions);
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  ++work.state.commits;
  work.state.counters.scored += lost_rows;
  work.state.counters.not_captured += lost_rows;
  const auto due = windows_.Due(SummaryWindows::Which::kDue);
  SKERRY_RETURN_IF_ERROR(EmitSummaries(work, EmitWhat::kDue));
  for (Group& group : groups) SKERRY_RETURN_IF_ERROR(StoreGroup(work, group));
  SKERRY_RETURN_IF_ERROR(StoreScorers(work, scorers));
  SKERRY_RETURN_IF_ERROR(PruneLedger(work));
  watch_.Look();
  SKERRY_RETURN_IF_ERROR(NoteEpoch());
  SKERRY_RETURN_IF_ERROR(Commit(work));
  epoch_noted_ = true;

  windows_.Finish(due);
  for (const Submission& submission : submissions)
    if (IsNews(submission)) windows_.Add(submission.batch, submission.policy);
  if (!submissions.empty()) last_policy_ = submissions.back().policy;
  return {};
}

Status OutboxStore::StoreGroup(Work& work, Group& group) {
  std::map<RecordClass, std::uint64_t> first_seqs;
  for (const ReleasedRecords& records : group.result.records) {
    SKERRY_ASSIGN_OR_RETURN(const StreamRow* stream, StreamFor(work, records.cls));
    first_seqs[records.cls] = stream->last_seq + 1;
    SKERRY_RETURN_IF_ERROR(InsertBatch(work, records.cls, records.table, records.primary_rows,
                                       group.policy->digest(), group.package->digest));
  }
  Counters& counters = work.state.counters;
  for (const RowDisposition disposition : group.result.disposition) {
    ++counters.scored;
    if (disposition == RowDisposition::kWithheld) ++counters.withheld;
    if (disposition == RowDisposition::kNotSelected) ++counters.not_selected;
  }
  SKERRY_RETURN_IF_ERROR(CountWithheld(group));
  return StoreLedger(work, group, first_seqs);
}

Result<StreamRow*> OutboxStore::StreamFor(Work& work, RecordClass cls) {
  const auto found = work.streams.find(cls);
  if (found != work.streams.end()) return &found->second;
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT INTO streams(epoch, cls, last_seq) VALUES(?, ?, 0)"));
  SKERRY_RETURN_IF_ERROR(
      insert.Bind(1, Blob{InstanceBytes(epoch_)}).Bind(2, static_cast<int>(cls)).Run());
  StreamRow& stream = work.streams[cls];
  stream.id = database_->last_insert_id();
  stream.epoch = epoch_;
  stream.cls = cls;
  return &stream;
}

Result<std::int64_t> OutboxStore::InternInstance(const InstanceId& instance) {
  if (const auto found = instances_.find(instance); found != instances_.end()) return found->second;
  const std::string bytes = InstanceBytes(instance);
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT OR IGNORE INTO instances(instance) VALUES(?)"));
  SKERRY_RETURN_IF_ERROR(insert.Bind(1, Blob{bytes}).Run());
  SKERRY_ASSIGN_OR_RETURN(auto query,
                          database_->Prepare("SELECT id FROM instances WHERE instance = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Bind(1, Blob{bytes}).Step());
  if (!found) return Fail(ErrorCode::kInternal, "an instance that was just stored is not there");
  // Not kept in memory when this row is new: the transaction may still roll back.
  const std::int64_t id = query.Int(0);
  if (database_->changes() == 0) instances_[instance] = id;
  return id;
}

Status OutboxStore::InsertBatch(Work& work, RecordClass cls, const Table& table,
                                std::uint64_t primary_rows, const std::optional<Digest>& policy,
                                const std::optional<Digest>& model) {
  SKERRY_ASSIGN_OR_RETURN(StreamRow * stream, StreamFor(work, cls));
  const std::uint64_t first_seq = stream->last_seq + 1;
  stream->last_seq += table.rows();
  SKERRY_ASSIGN_OR_RETURN(auto update,
                          database_->Prepare("UPDATE streams SET last_seq = ? WHERE id = ?"));
  SKERRY_RETURN_IF_ERROR(update.Bind(1, stream->last_seq).Bind(2, stream->id).Run());
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare("INSERT INTO batches(stream, first_seq, last_seq, primary_rows, policy, "
                         "model, oldest_utc_us, committed_mono_us, body) "
                         "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  return insert.Bind(1, stream->id)
      .Bind(2, first_seq)
      .Bind(3, stream->last_seq)
      .Bind(4, primary_rows)
      .Bind(5, policy ? policy->ToString() : "")
      .Bind(6, model ? model->ToString() : "")
      .Bind(7, clock_->UtcMicros())
      .Bind(8, clock_->MonotonicMicros())
      .Bind(9, Blob{EncodeTable(table)})
      .Run();
}

Status OutboxStore::StoreLedger(Work& work, const Group& group,
                                const std::map<RecordClass, std::uint64_t>& first_seqs) {
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t epoch, InternInstance(epoch_));
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare("INSERT INTO ledger(instance, first_n, rows, fates, epoch, anomaly_seq, "
                         "sample_seq, insight_seq) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"));
  constexpr std::array kClasses = {RecordClass::kAnomaly, RecordClass::kSample,
                                   RecordClass::kInsight};
  std::array<std::uint64_t, 3> next{};
  for (std::size_t i = 0; i < next.size(); ++i)
    if (const auto found = first_seqs.find(kClasses[i]); found != first_seqs.end())
      next[i] = found->second;

  std::size_t row = 0;
  for (std::size_t at = 0; at < group.batches.size();) {
    const RowBatch& first = *group.batches[at];
    const std::array<std::uint64_t, 3> start = next;
    std::string fates;
    while (at < group.batches.size() && group.batches[at]->instance == first.instance &&
           group.batches[at]->first_n == first.first_n + fates.size()) {
      for (std::size_t i = 0; i < group.batches[at]->rows; ++i, ++row)
        fates.push_back(
            static_cast<char>(FateByte(group.result.disposition[row], group.result.classes[row])));
      ++at;
    }
    for (const char fate : fates)
      for (std::size_t i = 0; i < next.size(); ++i)
        if (FateHas(static_cast<std::uint8_t>(fate), kClasses[i])) ++next[i];
    if (fates.empty()) continue;  // a batch without rows
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t instance, InternInstance(first.instance));
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, instance)
                               .Bind(2, first.first_n)
                               .Bind(3, fates.size())
                               .Bind(4, Blob{fates})
                               .Bind(5, epoch)
                               .Bind(6, start[0])
                               .Bind(7, start[1])
                               .Bind(8, start[2])
                               .Run());
    work.state.ledger_rows += fates.size();
  }
  return {};
}

Status OutboxStore::CountWithheld(const Group& group) {
  SKERRY_ASSIGN_OR_RETURN(
      auto upsert,
      database_->Prepare("INSERT INTO withheld(rule, reason, policy, rows) VALUES(?, ?, ?, ?) ON "
                         "CONFLICT DO UPDATE SET rows = rows + excluded.rows"));
  const std::optional<Digest>& policy = group.policy->digest();
  for (const auto& [why, rows] : group.result.withheld)
    SKERRY_RETURN_IF_ERROR(upsert.Bind(1, why.first)
                               .Bind(2, why.second)
                               .Bind(3, policy ? policy->ToString() : "")
                               .Bind(4, rows)
                               .Run());
  return {};
}

// Oldest entries first; what they say is kept as sums, so that the ledger still adds up.
Status OutboxStore::PruneLedger(Work& work) {
  while (work.state.ledger_rows > ledger_rows_) {
    SKERRY_ASSIGN_OR_RETURN(auto query,
                            database_->Prepare("SELECT id, fates FROM ledger ORDER BY id LIMIT 1"));
    SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return {};
    const std::int64_t id = query.Int(0);
    const std::string fates(query.BlobAt(1));
    query.Reset();
    for (const char fate : fates) {
      const RowDisposition disposition = FateDisposition(static_cast<std::uint8_t>(fate));
      if (disposition == RowDisposition::kWithheld) ++work.state.forgotten_withheld;
      if (disposition == RowDisposition::kNotSelected) ++work.state.forgotten_not_selected;
    }
    work.state.forgotten_rows += fates.size();
    work.state.ledger_rows -= fates.size();
    SKERRY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM ledger WHERE id = ?"));
    SKERRY_RETURN_IF_ERROR(remove.Bind(1, id).Run());
  }
  return {};
}

Status OutboxStore::EmitSideRecords(EmitWhat what) {
  const auto which =
      what == EmitWhat::kAll ? SummaryWindows::Which::kAll : SummaryWindows::Which::kDue;
  const auto windows = windows_.Due(which);
  SKERRY_ASSIGN_OR_RETURN(
      const std::uint64_t decisions,
      ReadNumber(*database_,
                 "SELECT (SELECT COUNT(*) FROM withheld WHERE rows > reported) + (SELECT COUNT(*) "
                 "FROM decisions WHERE sent = 0)"));
  if (windows.empty() && decisions == 0) return {};
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_RETURN_IF_ERROR(EmitSummaries(work, what));
  SKERRY_RETURN_IF_ERROR(EmitDecisions(work));
  SKERRY_RETURN_IF_ERROR(Commit(work));
  windows_.Finish(windows);
  return {};
}

Status OutboxStore::EmitSummaries(Work& work, EmitWhat what) {
  const auto which =
      what == EmitWhat::kAll ? SummaryWindows::Which::kAll : SummaryWindows::Which::kDue;
  for (const SummaryWindows::Window* window : windows_.Due(which)) {
    const std::uint64_t min_group = window->policy->classes().summary->min_group;
    const auto number = static_cast<std::int64_t>(++work.state.windows);
    const std::optional<Table> released =
        window->policy->ReleaseSummary(window->histograms.ToSummary(number, min_group));
    if (!released) continue;
    SKERRY_RETURN_IF_ERROR(InsertBatch(work, RecordClass::kSummary, *released, 0,
                                       window->policy->digest(),
                                       window->histograms.package()->digest));
  }
  return {};
}

// The decision log: how many rows were withheld by which rule, never what was in them.
Status OutboxStore::EmitDecisions(Work& work) {
  SKERRY_RETURN_IF_ERROR(LogDecisions(*database_));
  if (last_policy_ == nullptr || !last_policy_->classes().decision) return {};
  SKERRY_ASSIGN_OR_RETURN(const Table table, TakeUnsentDecisions(*database_));
  if (table.rows() == 0) return {};
  return InsertBatch(work, RecordClass::kDecision, table, 0, last_policy_->digest(), std::nullopt);
}

}  // namespace skerry
