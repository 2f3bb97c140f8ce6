#include "outbox/writer.h"

#include "base/limits.h"
#include "base/log.h"
#include "model/batch_rows.h"
#include "outbox/batch_limits.h"

namespace skerry {
namespace {

constexpr int kRecoveriesAtOnce = 3;
constexpr std::chrono::milliseconds kRecoveryPause{1'000};
// Rows that nobody waits for: so long, or so many.
constexpr std::chrono::milliseconds kGather{10};
constexpr std::size_t kGatherRows = 4'096;
// Batches up to so many rows are copied into one of up to so many.
constexpr std::size_t kJoinRows = 64;
constexpr std::size_t kJoinedRows = 1'024;

}  // namespace

struct OutboxWriter::Metrics {
  explicit Metrics(MetricRegistry& registry)
      : captured(registry.AddCounter("skerry_outbox_rows_captured_total",
                                     "Rows whose commit was synced.")),
        not_captured(
            registry.AddCounter("skerry_outbox_rows_not_captured_total",
                                "Rows that could not be kept: full queue, failed commit.")),
        commits(registry.AddCounter("skerry_outbox_commits_total", "Group commits.")),
        failures(registry.AddCounter("skerry_outbox_failed_commits_total",
                                     "Group commits that were rolled back.")),
        seconds(registry.AddHistogram("skerry_outbox_commit_seconds",
                                      "Time of a group commit, policy and fsync included.",
                                      LatencySecondsBounds())),
        queued(registry.AddGauge("skerry_outbox_queue_rows", "Rows that wait for a commit.")),
        segment_bytes(registry.AddGauge("skerry_outbox_segment_bytes",
                                        "Bytes of sealed segments that no receipt covers.")),
        shed(registry.AddGauge("skerry_outbox_shed_rows", "Primary rows shed over the quota.")) {}

  Counter& captured;
  Counter& not_captured;
  Counter& commits;
  Counter& failures;
  Histogram& seconds;
  Gauge& queued;
  Gauge& segment_bytes;
  Gauge& shed;
};

OutboxWriter::OutboxWriter(const OutboxOptions& options, std::unique_ptr<OutboxStore> store,
                           std::function<void(std::uint64_t)> on_commit)
    : queue_rows_(options.queue_rows),
      store_(std::move(store)),
      on_commit_(std::move(on_commit)),
      metrics_(std::make_unique<Metrics>(*options.metrics)),
      thread_([this] { Loop(); }) {}

OutboxWriter::~OutboxWriter() { Close(); }

void OutboxWriter::Queued::Add(Submission submission) {
  rows += submission.batch->rows;
  bytes += MemoryOf(*submission.batch);
  submissions.push_back(std::move(submission));
}

void OutboxWriter::Queued::Finish(const Status& status) {
  if (gathered) {
    if (!status && lost != nullptr) lost->Add(rows);
  } else if (!handed) {
    done(status);
  } else if (status) {
    handed(*hand_over);
  } else {
    handed(tl::unexpected(status.error()));
  }
}

// What one commit takes on.
struct OutboxWriter::Group {
  std::vector<Submission> submissions;
  std::vector<HandOverFate*> hand_overs;
  std::uint64_t own_rows = 0;  // of this process; those of scorers are counted by the scorers

  std::uint64_t StoredRows() const {
    std::uint64_t rows = 0;
    for (const Submission& submission : submissions)
      if (submission.hand_over == nullptr ||
          (submission.hand_over->kept && !submission.hand_over->repeated))
        rows += submission.batch->rows;
    return rows;
  }
};

void OutboxWriter::Submit(Submission submission, std::function<void(Status)> done) {
  Queued queued;
  queued.Add(std::move(submission));
  queued.done = std::move(done);
  Enqueue(std::move(queued));
}

void OutboxWriter::Gather(Submission submission, Counter* lost) {
  if (submission.batch->rows <= kJoinRows) {
    const std::size_t bytes = MemoryOf(*submission.batch);
    const std::scoped_lock lock(mutex_);
    if (Joined(submission, bytes, lost)) return;
  }
  Queued queued;
  queued.Add(std::move(submission));
  queued.gathered = true;
  queued.lost = lost;
  Enqueue(std::move(queued));
}

bool OutboxWriter::Joined(const Submission& submission, std::size_t bytes, Counter* lost) {
  const RowBatch& rows = *submission.batch;
  if (queue_.empty() || !Fits(rows.rows, bytes)) return false;
  Queued& last = queue_.back();
  if (!last.gathered || last.lost != lost || last.rows + rows.rows > kJoinedRows ||
      last.submissions.front().policy != submission.policy ||
      !FollowsOn(*last.submissions.front().batch, rows))
    return false;
  if (last.grows == nullptr) {
    last.grows = std::make_shared<RowBatch>(*last.submissions.front().batch);
    last.submissions.front().batch = last.grows;
  }
  AppendRows(*last.grows, rows);
  last.rows += rows.rows;
  last.bytes += bytes;
  waiting_rows_ += rows.rows;
  waiting_bytes_ += bytes;
  if (MayNotGather()) wake_.notify_one();
  return true;
}

void OutboxWriter::SubmitHandOver(const HandOver& said, std::vector<Submission> submissions,
                                  std::function<void(Result<HandOverFate>)> done) {
  Queued queued;
  queued.hand_over = std::make_unique<HandOverFate>(HandOverFate{said});
  for (Submission& submission : submissions) {
    submission.hand_over = queued.hand_over.get();
    queued.Add(std::move(submission));
  }
  queued.handed = std::move(done);
  Enqueue(std::move(queued));
}

void OutboxWriter::Enqueue(Queued queued) {
  Status refused;
  {
    const std::scoped_lock lock(mutex_);
    refused = Fits(queued.rows, queued.bytes);
    if (refused) {
      waiting_rows_ += queued.rows;
      waiting_bytes_ += queued.bytes;
      ++submitted_;
      if (!queued.gathered) ++hurried_;
      const bool first = queue_.empty();
      queue_.push_back(std::move(queued));
      // Not for rows that are gathered: to be woken for each would cost more than their commit.
      if (first || MayNotGather()) wake_.notify_one();
      return;
    }
    if (!closing_ && !queued.hand_over) lost_rows_ += queued.rows;
  }
  queued.Finish(refused);
}

Status OutboxWriter::Fits(std::size_t rows, std::size_t bytes) const {
  if (closing_) return Fail(ErrorCode::kUnavailable, "the outbox is closed");
  if (waiting_rows_ > 0 && waiting_rows_ + rows > queue_rows_)
    return Fail(ErrorCode::kResourceExhausted,
                "the capture queue is full: {} rows wait for the disk, the limit is {}",
                waiting_rows_, queue_rows_);
  if (waiting_rows_ > 0 && waiting_bytes_ + bytes > limits::kCaptureQueueBytes)
    return Fail(ErrorCode::kResourceExhausted,
                "the capture queue is full: {} bytes of rows wait for the disk, the limit is {}",
                waiting_bytes_, limits::kCaptureQueueBytes);
  return {};
}

bool OutboxWriter::MayNotGather() const {
  return hurried_ > 0 || !changes_.empty() || closing_ || waiting_rows_ >= kGatherRows ||
         waiting_bytes_ >= limits::kCommitBytes;
}

Status OutboxWriter::Run(const std::function<Status(OutboxStore&)>& change) {
  std::unique_lock lock(mutex_);
  if (closing_) return Fail(ErrorCode::kUnavailable, "the outbox is closed");
  Change entry{&change, submitted_, {}, false};
  changes_.push_back(&entry);
  wake_.notify_one();
  changed_.wait(lock, [&] { return entry.finished; });
  return std::move(entry.result);
}

std::uint64_t OutboxWriter::queued_rows() {
  const std::scoped_lock lock(mutex_);
  return waiting_rows_;
}

void OutboxWriter::Close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  completions_.Wait();
}

void OutboxWriter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return !queue_.empty() || !changes_.empty() || closing_; });
    wake_.wait_for(lock, kGather, [&] { return MayNotGather(); });
    // Closing, and nothing is left to commit or to count.
    if (queue_.empty() && changes_.empty() && lost_rows_ == 0 && uncounted_rows() == 0) return;
    std::vector<Queued> group;
    std::size_t rows = 0;
    std::size_t bytes = 0;
    while (!queue_.empty() &&
           (group.empty() || (rows < limits::kCommitRows && bytes < limits::kCommitBytes))) {
      rows += queue_.front().rows;
      bytes += queue_.front().bytes;
      if (!queue_.front().gathered) --hurried_;
      group.push_back(std::move(queue_.front()));
      queue_.pop_front();
      ++taken_;
    }
    owed_rows_ += std::exchange(lost_rows_, 0);
    std::vector<Change*> ready;
    while (!changes_.empty() && changes_.front()->after <= taken_) {
      ready.push_back(changes_.front());
      changes_.pop_front();
    }
    const bool last = closing_ && queue_.empty() && changes_.empty();
    lock.unlock();
    if (last) recover_after_ = {};  // a last time
    if (!group.empty() || (last && uncounted_rows() > 0)) CommitGroup(std::move(group));
    RunChanges(ready);
    lock.lock();
    waiting_rows_ -= rows;
    waiting_bytes_ -= bytes;
    metrics_->queued.Set(static_cast<double>(waiting_rows_));
    if (last) return;
  }
}

void OutboxWriter::CommitGroup(std::vector<Queued> queue) {
  Group group;
  for (Queued& queued : queue) {
    if (queued.hand_over)
      group.hand_overs.push_back(queued.hand_over.get());
    else
      group.own_rows += queued.rows;
    for (Submission& submission : queued.submissions)
      group.submissions.push_back(std::move(submission));
  }
  const auto started = std::chrono::steady_clock::now();
  const Status done = CommitRows(group);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const std::uint64_t rows = done ? group.StoredRows() : group.own_rows;
  metrics_->seconds.Observe(took.count());
  (done ? metrics_->commits : metrics_->failures).Add();
  (done ? metrics_->captured : metrics_->not_captured).Add(rows);
  const std::size_t told = queue.size();
  // With the rows themselves, so that they are freed there too.
  auto finished = std::make_shared<std::pair<std::vector<Queued>, std::vector<Submission>>>(
      std::move(queue), std::move(group.submissions));
  completions_.Tell(told, [finished = std::move(finished), done] {
    for (Queued& queued : finished->first) queued.Finish(done);
  });
  if (!done) {
    LogError("outbox could not commit rows={} reason={}", rows, done.error().ToString());
    return;
  }
  if (const Status fits = store_->EnforceQuota(EnforceWhen::kAfterCommit); !fits)
    NoteFailure(fits.error());
  metrics_->segment_bytes.Set(static_cast<double>(store_->segment_bytes()));
  metrics_->shed.Set(static_cast<double>(store_->state().counters.shed));
  on_commit_(rows);
}

Status OutboxWriter::CommitRows(const Group& group) {
  if (!EnsureStore()) {
    owed_rows_ += group.own_rows;
    return Fail(ErrorCode::kUnavailable, "the outbox's database cannot be written");
  }
  Status done = store_->CommitRows(group.submissions, group.hand_overs, owed_rows_);
  if (!done && done.error().code() == ErrorCode::kResourceExhausted && store_->DropGrace())
    done = store_->CommitRows(group.submissions, group.hand_overs, owed_rows_);
  if (done) {
    owed_rows_ = 0;
    return done;
  }
  NoteFailure(done.error());
  if (!broken_) {
    owed_rows_ += group.own_rows;
    return done;
  }
  uncertain_rows_ = std::exchange(owed_rows_, 0) + group.own_rows;
  // There after all, and synced by the checkpoint that EnsureStore makes.
  if (EnsureStore() && failed_is_there_) return {};
  return done;
}

bool OutboxWriter::EnsureStore() {
  if (!broken_) return true;
  // The first attempts follow at once; a disk that stays away is asked now and then.
  const auto now = std::chrono::steady_clock::now();
  if (now < recover_after_) return false;
  const Result<bool> there = store_->Recover();
  if (!there) {
    LogError("outbox cannot go on in another database reason={}", there.error().ToString());
    if (++failed_recoveries_ > kRecoveriesAtOnce) recover_after_ = now + kRecoveryPause;
    return false;
  }
  broken_ = false;
  failed_recoveries_ = 0;
  failed_is_there_ = *there;
  if (!*there) owed_rows_ += uncertain_rows_;
  uncertain_rows_ = 0;
  return true;
}

void OutboxWriter::NoteFailure(const Error& error) {
  // Refused and rolled back, the connection is as good as before.
  if (error.code() == ErrorCode::kResourceExhausted || error.code() == ErrorCode::kUnavailable ||
      error.code() == ErrorCode::kConflict || error.code() == ErrorCode::kNotFound)
    return;
  if (!broken_) store_->Distrust();
  broken_ = true;
}

void OutboxWriter::RunChanges(const std::vector<Change*>& changes) {
  if (!changes.empty()) completions_.Wait();  // of what was submitted before them
  for (Change* change : changes) {
    Status result = Fail(ErrorCode::kUnavailable, "the outbox's database cannot be written");
    if (EnsureStore()) {
      result = (*change->run)(*store_);
      // What is asked for may give space back, and needs some to do so.
      if (!result && result.error().code() == ErrorCode::kResourceExhausted && store_->GiveSpace())
        result = (*change->run)(*store_);
      if (!result) NoteFailure(result.error());
    }
    const std::scoped_lock lock(mutex_);
    change->result = std::move(result);
    change->finished = true;
  }
  if (!changes.empty()) changed_.notify_all();
}

}  // namespace skerry
