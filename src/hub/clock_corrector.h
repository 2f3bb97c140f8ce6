// Writes the corrections of wrong times: beside a file of the lake, a Parquet file that says of its
// rows whose time is not to be trusted when they were made, as far as is known. Format:
// docs/formats/clock-correction.md; what is believed of a clock: instance_time.h; why: ADR 0021.
//
//   corrections/clock/<path of the lake file below lake/>
//
// Ingest puts a file on the list in the transaction that takes it (ClockLedger), and again when an
// anchor comes that may change what is known. Files are written after that, each as a whole (temp,
// sync, rename), so a hub that dies in between goes on with the list at its next start; the same
// facts give the same file. A correction is never the only place of anything: all of them can be
// made again from the lake and the store.
//
// Owned by Hub; borrows the store. Start makes a thread that works the list off, Wake tells it that
// there is more: it waits for a lull, a minute at most. CorrectDue does it in the caller's.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "hub/clock_ledger.h"
#include "hub/store.h"
#include "tabular/engine.h"

namespace skerry {

class ClockCorrector {
 public:
  // Makes the directory of corrections; removes files that no lake file has a correction in, and
  // puts on the list what is missing.
  static Result<std::unique_ptr<ClockCorrector>> Open(HubStore& store, std::filesystem::path lake,
                                                      std::filesystem::path corrections);
  ~ClockCorrector();  // Stop()
  ClockCorrector(const ClockCorrector&) = delete;
  ClockCorrector& operator=(const ClockCorrector&) = delete;

  void Start();
  void Wake();
  // Ends the thread after the file at hand; the rest stays on the list. Repeats are harmless.
  void Stop();

  // Works the list off. A file that cannot be corrected stops nothing behind it: what its content
  // forbids is left alone, anything else (a full disk) stays on the list and is the error.
  Status CorrectDue();

  const std::filesystem::path& directory() const { return corrections_; }
  // While it lives no correction is replaced or removed: DuckDB opens a file more than once for a
  // query, and the parts of two are no file.
  std::shared_lock<std::shared_mutex> HoldFiles() const {
    return std::shared_lock<std::shared_mutex>(files_mutex_);
  }

 private:
  ClockCorrector(HubStore& store, std::filesystem::path lake, std::filesystem::path corrections);
  Status Repair();
  void Loop();
  Status Correct(const std::string& path);
  struct Correction {
    Table table;
    CountMoves moved;
  };
  Result<Correction> Make(const DueCorrection& due);
  Status Publish(const std::string& path, const Table& correction);

  HubStore* const store_;
  const std::filesystem::path lake_;
  const std::filesystem::path corrections_;

  mutable std::shared_mutex files_mutex_;  // taken after work_mutex_
  std::mutex work_mutex_;                  // guards engine_; held while the list is worked off
  std::unique_ptr<TabularEngine> engine_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool asked_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skerry
