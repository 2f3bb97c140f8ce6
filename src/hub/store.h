// The hub's database: one SQLite file, its schema, and the rule that everything that belongs
// together is written in one transaction.
//
// Role: owns the connection and the schema. The tables are read and written through small views
// on the connection, each a domain noun (SiteDirectory, Ledger, AuditLog, LabelStore, RunStore,
// DesiredStore), which are made inside Read and Write and may be combined there:
//   store.Write([&](Database& db) -> Status {
//     SKERRY_RETURN_IF_ERROR(SiteDirectory(db).AddSite(...));
//     return AuditLog(db).Append(...);
//   });
//
// Owned by Hub, borrowed by everything else in this module. Thread-safe: Read and Write run one at
// a time. Durability: what Write did is synced when it returns, or nothing of it is there.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "storage/sqlite.h"

namespace skerry {

class HubStore {
 public:
  // Opens or makes the file and brings its schema up to date. kDataLoss for a damaged one,
  // kFailedPrecondition for one that a newer version wrote.
  static Result<std::unique_ptr<HubStore>> Open(const std::filesystem::path& file);

  // Runs `work(Database&) -> Status` in a transaction; an error rolls everything back. `work` must
  // not call the store again.
  template <typename Work>
  Status Write(Work&& work) {
    const std::lock_guard lock(mutex_);
    SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
    SKERRY_RETURN_IF_ERROR(std::forward<Work>(work)(*database_));
    return transaction.Commit();
  }

  // Runs `work(Database&) -> Result<T>` and returns what it returned. For reading only.
  template <typename Work>
  auto Read(Work&& work) {
    const std::lock_guard lock(mutex_);
    return std::forward<Work>(work)(*database_);
  }

 private:
  explicit HubStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  // Drawn when the store is made (incarnation.h): a hub that lost its store is another hub to its
  // sites.
  Status KeepIncarnation();

  std::mutex mutex_;  // guards *database_
  std::unique_ptr<Database> database_;
};

}  // namespace skerry
