// Retraining runs: a queue, one run at a time, each in a child process (retrain_run.h), and what is
// done with its verdict: a challenger that passed the gate is packed, signed and stored as a new
// version of the model, one that was refused stays in the run's directory with its report.
//
// Owns one thread. Borrows what it is given; thread-safe. State is in the store, so queued runs
// survive a restart of the hub; one that was running then becomes failed, with the reason.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/child_process.h"
#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "hub/model_shelf.h"
#include "hub/retrain_spec.h"
#include "hub/run_store.h"
#include "hub/store.h"

namespace skerry {

struct RunDeskParts {
  HubStore* store = nullptr;
  ModelShelf* shelf = nullptr;
  const Clock* clock = nullptr;
  std::filesystem::path lake;     // directory
  std::filesystem::path runs;     // directory; made when absent
  std::filesystem::path program;  // started as `<program> __retrain SPEC.json`
};

class RunDesk {
 public:
  static Result<std::unique_ptr<RunDesk>> Start(RunDeskParts parts);
  ~RunDesk();

  // The run's id. Checks what can be checked now: the model and the label set exist, files can be
  // read, the new version is free. kResourceExhausted when limits::kQueuedRuns wait already.
  Result<std::string> Submit(const RetrainRequest& request);
  // The record with `log_tail`, its last lines.
  Result<Json> Describe(std::string_view id);
  // Kills a running child and ends the thread. Repeats are harmless.
  void Stop();

 private:
  explicit RunDesk(RunDeskParts parts) : parts_(std::move(parts)) {}
  void Loop();
  void Execute(const RunRecord& run);
  Result<RetrainSpec> Prepare(const RunRecord& run);
  // Runs the child and returns its verdict.
  Result<RetrainResult> Train(const RunRecord& run);
  Status Conclude(const RunRecord& run, const RetrainResult& result);
  Status FinishFailed(const RunRecord& run, const Error& error);
  std::filesystem::path DirectoryOf(std::string_view id) const {
    return parts_.runs / std::string(id);
  }
  std::string LogTail(std::string_view id) const;

  const RunDeskParts parts_;
  ChildProcess child_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool pending_ = true;  // look into the store
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skerry
