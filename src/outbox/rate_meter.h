// How fast an outbox fills and drains. Internal. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>

#include "outbox/outbox.h"

namespace skerry {

class RateMeter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // Sums since the start of the process.
  struct Totals {
    std::uint64_t rows_in = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
  };

  void Add(const Totals& more);
  // Remembers the sums at this moment; one every limits::kRateStep is kept.
  void Sample(TimePoint now);
  // Over limits::kRateWindow, or what there is of it. `backlog` and `room` in bytes.
  OutboxRates Rates(TimePoint now, std::uint64_t backlog, std::uint64_t room) const;

 private:
  mutable std::mutex mutex_;
  Totals totals_;                                     // guarded by mutex_
  std::deque<std::pair<TimePoint, Totals>> samples_;  // guarded by mutex_
};

}  // namespace skerry
