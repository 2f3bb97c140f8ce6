// Runs of all kinds (run_kind.h): a queue, one run at a time, each in a child process; how far it
// is, its log, its end.
//
// Owns one thread. Borrows what it is given; thread-safe. State is in the store, so queued runs
// survive a restart of the hub; one that was running then becomes interrupted once its child is
// gone, which ends with its hub. What a run leaves that did not come to a verdict is its spec and
// its logs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "hub/run_kind.h"
#include "hub/run_store.h"
#include "hub/store.h"

namespace skerry {

struct RunDeskParts {
  HubStore* store = nullptr;
  const Clock* clock = nullptr;
  std::filesystem::path runs;     // directory; made when absent
  std::filesystem::path program;  // skerry; started with what a kind's Prepare returns
  std::map<std::string, std::unique_ptr<RunKind>> kinds{};  // by the body's `kind`
};

class RunDesk {
 public:
  static Result<std::unique_ptr<RunDesk>> Start(RunDeskParts parts);
  ~RunDesk();

  // The run's id. Errors are those of the kind's Check, and kResourceExhausted when
  // limits::kQueuedRuns wait already.
  Result<std::string> Submit(const Json& body);
  // Ends a run that waits, or asks the one under way to end: it is cancelled when its child is
  // gone, or comes to its end if it was about to. Returns the state. kFailedPrecondition: it has
  // ended already.
  Result<std::string> Cancel(std::string_view id);
  // The record with `log` (the file), `log_tail` (its last lines) and, while it runs, `progress`
  // (run_log.h).
  Result<Json> Describe(std::string_view id);
  // Newest first, without `report`.
  Result<Json> List();
  // The last bytes of the run's log, limits::kRunLogTailBytes at most; `of` is "run", or "spark":
  // what Spark said.
  Result<std::string> Log(std::string_view id, std::string_view of);
  // Ends a running child and the thread. Repeats are harmless.
  void Stop();

 private:
  explicit RunDesk(RunDeskParts parts) : parts_(std::move(parts)) {}
  void Loop();
  // Runs of a former process of the hub, one after the other.
  void EndInterrupted();
  bool WaitForChild(const std::filesystem::path& directory);
  void Execute(const RunRecord& run);
  Result<RunVerdict> RunChild(const RunRecord& run);
  Status Finish(const RunRecord& run, const RunVerdict& verdict);
  // Of a run without a verdict.
  void FinishEarly(const RunRecord& run, const Error& error);
  Result<RunKind*> KindOf(const std::string& kind) const;
  bool stopping();
  bool cancelled(const std::string& id);
  std::filesystem::path DirectoryOf(std::string_view id) const {
    return parts_.runs / std::string(id);
  }
  std::filesystem::path LogOf(std::string_view id) const { return DirectoryOf(id) / "log.txt"; }
  Json DescribeRecord(const RunRecord& run) const;

  const RunDeskParts parts_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool pending_ = true;  // look into the store
  bool stopping_ = false;
  std::set<std::string> cancelled_;  // runs that were asked to end
  std::thread thread_;
};

}  // namespace skerry
