// The outbox's writer thread: takes submitted rows and changes in order, commits rows in groups.
// Internal.
//
// While one commit is being synced, everything that arrives waits for the next: the group grows
// with the load, and the number of fsyncs does not. Rows that nobody waits for are gathered for
// kGather before that, since a commit costs as much as some hundred rows, and small batches of them
// become large ones while they wait: a batch costs as much as ten rows.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "outbox/completions.h"
#include "outbox/store.h"

namespace skerry {

class OutboxWriter {
 public:
  // `on_commit` runs on the writer thread after each group, with its rows.
  OutboxWriter(const OutboxOptions& options, std::unique_ptr<OutboxStore> store,
               std::function<void(std::uint64_t)> on_commit);
  ~OutboxWriter();  // Close()

  // Outbox::Submit. Thread-safe; never blocks.
  void Submit(Submission submission, std::function<void(Status)> done);
  // Outbox::Gather. As Submit.
  void Gather(Submission submission, Counter* lost);
  // Outbox::SubmitHandOver; the batches of one package.
  void SubmitHandOver(const HandOver& said, std::vector<Submission> submissions,
                      std::function<void(Result<HandOverFate>)> done);
  // Runs `change` on the writer thread after everything submitted before has been committed and
  // told of, and waits for it.
  // kUnavailable after Close.
  Status Run(const std::function<Status(OutboxStore&)>& change);
  std::uint64_t queued_rows();
  // False while the database cannot be written.
  bool healthy() const { return !broken_; }
  // Of the database's present generation.
  std::filesystem::path database_path() const { return store_->database_path(); }
  // Commits what is queued and ends the thread.
  void Close();

 private:
  struct Queued {
    std::vector<Submission> submissions;
    std::size_t rows = 0;
    std::size_t bytes = 0;
    std::unique_ptr<HandOverFate> hand_over;  // null for rows of this process
    std::function<void(Status)> done{};
    std::function<void(Result<HandOverFate>)> handed{};  // instead of `done`
    // Of rows that nobody waits for, which have none of the two.
    bool gathered = false;
    Counter* lost = nullptr;            // counts those that are not kept; may be null
    std::shared_ptr<RowBatch> grows{};  // the batch, once it is a copy that more can be added to

    void Add(Submission submission);
    void Finish(const Status& status);
  };
  struct Change {
    const std::function<Status(OutboxStore&)>* run;
    std::uint64_t after;  // batches that have to be committed first
    Status result;
    bool finished = false;
  };
  struct Metrics;

  struct Group;

  void Enqueue(Queued queued);
  // What follows requires mutex_.
  // OK, or why so much more cannot wait.
  Status Fits(std::size_t rows, std::size_t bytes) const;
  // Whether the rows were copied behind those that wait already.
  bool Joined(const Submission& submission, std::size_t bytes, Counter* lost);
  // Whether what waits should be committed without gathering more.
  bool MayNotGather() const;
  void Loop();
  void CommitGroup(std::vector<Queued> queue);
  Status CommitRows(const Group& group);
  void RunChanges(const std::vector<Change*>& changes);
  // That the next good commit has to count.
  std::uint64_t uncounted_rows() const { return owed_rows_ + uncertain_rows_; }
  // After a failed write: the next generation of the database; false while that fails.
  bool EnsureStore();
  void NoteFailure(const Error& error);

  const std::size_t queue_rows_;
  const std::unique_ptr<OutboxStore> store_;  // the writer thread's
  const std::function<void(std::uint64_t)> on_commit_;
  const std::unique_ptr<Metrics> metrics_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable changed_;
  std::deque<Queued> queue_;  // guarded by mutex_, as what follows
  std::deque<Change*> changes_;
  std::uint64_t waiting_rows_ = 0;
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t hurried_ = 0;    // of the queue: those that somebody waits for
  std::uint64_t lost_rows_ = 0;  // refused by the full queue, to be counted
  std::uint64_t submitted_ = 0;  // batches ever taken in
  std::uint64_t taken_ = 0;      // batches ever taken out
  bool closing_ = false;

  // The writer thread's own.
  std::uint64_t owed_rows_ = 0;       // not captured and not counted yet
  std::uint64_t uncertain_rows_ = 0;  // of a failed commit that may be there after all
  bool failed_is_there_ = false;      // what the last recovery found of the failed commit
  std::atomic<bool> broken_ = false;
  int failed_recoveries_ = 0;  // in a row
  std::chrono::steady_clock::time_point recover_after_;

  Completions completions_;
  std::thread thread_;
};

}  // namespace skerry
