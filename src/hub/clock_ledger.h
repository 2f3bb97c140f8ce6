// What the hub knows of its sites' clocks, and which files of the lake wait for a correction.
//
// A view on an open connection (store.h); one thread at a time. Ingest writes here in the
// transaction of the shipment, so that a file that needs a correction is on the list from the
// moment that it counts; ClockCorrector works the list off.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "hub/instance_time.h"
#include "hub/ledger.h"
#include "outbox/statement.h"
#include "storage/sqlite.h"

namespace skerry {

// Of one site's instance; more are not kept.
constexpr std::uint64_t kAnchorsPerInstance = 16'384;
// Statements that are walked back for a trusted time.
constexpr std::uint64_t kStatementsWalked = 10'000;

// Of a file on the list.
struct DueCorrection {
  std::string path;  // below the lake
  std::string site;
  std::uint64_t asks = 0;    // how often it was put on the list since it was worked off
  std::uint64_t deaths = 0;  // of hubs that worked on it
  std::uint64_t rows = 0;    // that its correction has now
  InstanceId epoch;          // of the stream
  std::int64_t joined_us = 0, floor_us = 0, received_us = 0;
  std::map<std::string, std::vector<ClockPoint>> anchors;  // of its rows' instances
};

// Event-time bucket (Ledger::kCountBucketUs) -> how many rows more or less are in it.
using CountMoves = std::map<std::int64_t, std::int64_t>;

class ClockLedger {
 public:
  explicit ClockLedger(Database& database) : db_(&database) {}

  // Keeps the anchors that can be and tell something new, and puts files on the list that they may
  // change. The statement is in the ledger already.
  Status TakeAnchors(const ShipmentStatement& statement, const Digest& digest, std::int64_t now_us);
  // A new file of the lake, with what its rows say of their clocks. On the list unless all of them
  // are certainly right.
  Status AddFile(std::string_view site, const InstanceId& epoch, std::string_view path,
                 const std::vector<ClockSpan>& spans, std::int64_t now_us);

  // The list, oldest first.
  Result<std::vector<std::string>> Due();
  // Marks it as being worked on. kNotFound when it is not on the list.
  Result<DueCorrection> Begin(const std::string& path);
  // The file's correction is in place and has so many rows (0: there is none); the counts by time
  // change as `moved` says, and no more as the correction before had it. It stays on the list when
  // it was put there again meanwhile.
  Status Finish(const DueCorrection& due, std::uint64_t rows, const CountMoves& moved);
  // It failed without killing anybody, and stays on the list.
  Status Postpone(const DueCorrection& due);
  // Off the list, with the correction that it has.
  Status GiveUp(const DueCorrection& due);
  // Puts files on the list.
  Status Ask(const std::vector<std::string>& paths);

  // Of lake files those that have a correction, which is below the directory of corrections by the
  // same path.
  Result<std::vector<std::string>> Corrected(const std::vector<std::string>& paths);
  Result<std::vector<std::string>> AllCorrected();

 private:
  Status TakeAnchor(std::string_view site, const ClockAnchor& anchor);
  static Result<std::vector<std::string>> Paths(SqlStatement& select);
  Status Move(const std::string& path, std::int64_t bucket_us, std::int64_t rows);
  Result<std::vector<ClockPoint>> Anchors(std::string_view site, std::string_view instance);
  // The newest trusted time of a statement that was made before the epoch began; 0: none known.
  Result<std::int64_t> TrustedBefore(std::string_view site, const InstanceId& epoch);

  Database* db_;
};

}  // namespace skerry
