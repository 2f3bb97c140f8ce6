// The site's own bounded history of scored rows in full: for local questions, such as what another
// policy would have let leave. Off unless configured, and it never leaves: no export, shipment or
// bundle reads it.
//
// Role: takes each scored batch beside the outbox, on a thread and in a database of its own
// (journal.db, 0700 directory), so that a full disk or a slow one costs the journal alone: batches
// that it cannot take are counted and left out. The oldest rows go first, by age and by size.
// Ownership: the site's. Borrowed: the clock, the metrics. Threads: any.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "model/row_batch.h"
#include "storage/sqlite.h"

namespace skerry {

struct JournalOptions {
  std::int64_t days = 0;    // rows older than this are removed; 0: no limit of age
  std::uint64_t bytes = 0;  // of the database; 0: no journal
};

class Journal {
 public:
  static Result<std::unique_ptr<Journal>> Open(const std::filesystem::path& directory,
                                               const JournalOptions& options, const Clock& clock,
                                               MetricRegistry& metrics);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Never blocks.
  void Append(std::shared_ptr<const RowBatch> batch);
  // Waits until what was appended before is written or left out.
  void Flush();
  // Rows of `package` scored at or after `since_us`, oldest first, as batches of their own;
  // `skipped` counts those of other packages. Reads beside the writer.
  Status Read(const std::shared_ptr<const ModelPackage>& package, std::int64_t since_us,
              const std::function<Status(const RowBatch&)>& take, std::uint64_t& skipped) const;

 private:
  Journal(std::filesystem::path file, const JournalOptions& options, const Clock& clock,
          MetricRegistry& metrics);
  void Loop();
  Status Write(const std::deque<std::shared_ptr<const RowBatch>>& batches);
  Status Prune();

  const std::filesystem::path file_;
  const JournalOptions options_;
  const Clock* const clock_;
  Counter& written_;
  Counter& left_out_;
  std::unique_ptr<Database> database_;  // the thread's

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<std::shared_ptr<const RowBatch>> queue_;  // guarded by mutex_, as what follows
  std::size_t queued_rows_ = 0;
  bool writing_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace skerry
