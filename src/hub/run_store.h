// The record of retraining runs. A view on an open connection (store.h); one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "storage/sqlite.h"

namespace skerry {

// queued -> running -> passed | refused | failed. `refused`: the gate said no; `failed`: the run
// did not come to a verdict. Both keep their report or reason.
struct RunRecord {
  std::string id;
  std::string kind;  // "retrain"
  Json spec;         // as it was asked for
  std::string state;
  std::string reason;
  Json report;        // null until there is one
  std::string model;  // "milling:2" once stored
  std::int64_t created_us = 0;
  std::int64_t started_us = 0;   // 0: not yet
  std::int64_t finished_us = 0;  // 0: not yet

  bool done() const { return state == "passed" || state == "refused" || state == "failed"; }
  Json ToJson() const;
};

class RunStore {
 public:
  explicit RunStore(Database& database) : db_(&database) {}

  // State queued.
  Status Add(std::string_view id, std::string_view kind, const Json& spec, std::int64_t now_us);
  Status Start(std::string_view id, std::int64_t now_us);
  // `state` is passed, refused or failed.
  Status Finish(std::string_view id, std::string_view state, std::string_view reason,
                const Json& report, std::string_view model, std::int64_t now_us);
  // Runs that a former process was at become failed; returns how many.
  Result<std::int64_t> FailInterrupted(std::int64_t now_us);

  Result<RunRecord> Find(std::string_view id);               // kNotFound
  Result<std::vector<RunRecord>> List(std::uint64_t limit);  // newest first
  Result<std::optional<RunRecord>> NextQueued();

 private:
  Database* db_;
};

}  // namespace skerry
