// The record of runs. A view on an open connection (store.h); one thread at a time.
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

// queued -> running -> an end. Of a training: trained. Of a retraining: passed, or refused by the
// gate. Of both: failed (why is the reason), cancelled, and interrupted, by the end of the hub.
struct RunRecord {
  std::string id;
  std::string kind;  // "retrain", "train"
  Json spec;         // as it was asked for
  std::string state;
  std::string reason;
  Json report;        // null until there is one
  std::string model;  // "milling:2" once stored
  std::int64_t created_us = 0;
  std::int64_t started_us = 0;   // 0: not yet
  std::int64_t finished_us = 0;  // 0: not yet

  bool done() const { return state != "queued" && state != "running"; }
  Json ToJson() const;
};

class RunStore {
 public:
  explicit RunStore(Database& database) : db_(&database) {}

  // State queued.
  Status Add(std::string_view id, std::string_view kind, const Json& spec, std::int64_t now_us);
  // False when it is not queued any more.
  Result<bool> Start(std::string_view id, std::int64_t now_us);
  Status Finish(std::string_view id, std::string_view state, std::string_view reason,
                const Json& report, std::string_view model, std::int64_t now_us);

  Result<RunRecord> Find(std::string_view id);               // kNotFound
  Result<std::vector<RunRecord>> List(std::uint64_t limit);  // newest first
  // The oldest in this state.
  Result<std::optional<RunRecord>> First(std::string_view state);

 private:
  Database* db_;
};

}  // namespace skerry
