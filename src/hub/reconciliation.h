// Whether the numbers of a site add up: scored = received + withheld + not selected + shed +
// recalled + not captured + quarantined + lost + pending (design, invariant 8; ADR 0019).
//
// No term is computed from the others. `received` and `quarantined` are what the hub itself holds,
// `lost` what it has signed for, lost, and accepted as a gap since
// (received counted from the Parquet files when they were ingested); the counters are the site's
// own signed ones; `pending` is what the site's status lists, less what the hub has by now. A
// difference is shown, never hidden. Pure function; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "hub/ledger.h"
#include "outbox/site_status.h"

namespace skerry {

struct ReconciliationInput {
  std::string site;
  std::optional<SiteStatus> status;  // the newest; none: the site never reported
  std::int64_t status_age_us = 0;
  std::vector<StreamHoldings> streams;
  std::uint64_t duplicate_rows = 0;      // arrived again with the same content, and were ignored
  std::uint64_t conflicting_rows = 0;    // arrived again with other content; in quarantine
  std::uint64_t missing_statements = 0;  // predecessors in the chain that are not here
  // Primary rows of the stream in [first, last] that the hub holds; asked for a pending segment of
  // which it has a part only (the rows came in another grouping).
  std::function<Result<std::uint64_t>(const StreamKey&, std::uint64_t first, std::uint64_t last)>
      held_primary_rows;
};

struct Reconciliation {
  struct Stream {
    StreamHoldings holdings;
    std::uint64_t unexplained = 0;  // seqs up to sealed_through of which nobody says anything
  };

  std::string site;
  std::uint64_t scored = 0;
  std::uint64_t received = 0;
  std::uint64_t withheld = 0;
  std::uint64_t not_selected = 0;
  std::uint64_t shed = 0;
  std::uint64_t recalled = 0;
  std::uint64_t not_captured = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t lost = 0;
  std::uint64_t pending = 0;
  std::int64_t difference = 0;  // scored less the sum of the others
  std::uint64_t unexplained_gaps = 0;
  std::uint64_t duplicates_ignored = 0;
  std::uint64_t conflicting_rows = 0;
  std::uint64_t missing_statements = 0;
  std::uint64_t status_counter = 0;  // 0: no status yet
  std::int64_t status_age_us = 0;
  std::vector<Stream> streams;

  bool balanced() const { return difference == 0; }
  // The form of GET /v1/sites/{site}/reconciliation, see docs/api.md.
  Json ToJson() const;
};

// An error only when `held_primary_rows` fails.
Result<Reconciliation> Reconcile(const ReconciliationInput& input);

}  // namespace skerry
