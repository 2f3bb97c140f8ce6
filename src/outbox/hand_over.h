// Rows that a scorer, a process of its own, hands over to the site's outbox: each number of a
// scorer is committed once, however often it comes.
//
// A scorer numbers what it hands over 1, 2, 3, ... and has one under way at a time: it goes on to
// the next when it knows what became of the one before. The outbox keeps the last number of each
// scorer and what became of it, in the transaction of the rows; so a repeat is told from news also
// when the answer to the first try was lost, or the site was killed between its commit and its
// answer. Why: docs/adr/0028-stateless-scorers.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace skerry {

namespace limits {
// Scorers that the outbox remembers; beyond it those that were heard of longest ago are forgotten.
constexpr std::size_t kScorersRemembered = 4'096;
}  // namespace limits

struct HandOver {
  // kAbandoned: the scorer asks whether the number was committed, and takes it back where it was
  // not; whatever of it is still on its way is refused from then on.
  enum class Kind : std::uint8_t { kRows, kAbandoned };

  InstanceId scorer;  // the scoring process, as in its row ids
  std::uint64_t number = 0;
  Kind kind = Kind::kRows;
  // Rows that the scorer has ever scored and could not hand over; what is more than it said before
  // is counted as scored and as not captured.
  std::uint64_t lost_rows = 0;
};

// What became of one. Filled by the commit.
struct HandOverFate {
  HandOver said;
  bool kept = false;      // the rows of this number are durable
  bool repeated = false;  // and were before
  bool stale = false;     // the scorer had gone on to a higher number: nothing changed
};

}  // namespace skerry
