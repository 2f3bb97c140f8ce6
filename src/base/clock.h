// Time comes in through an interface, so that tests run without sleeping and a site's clock may be
// wrong without harm. UTC is for people; order is never taken from it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// How far a UTC time can be trusted (segment column `clock`).
enum class ClockQuality : std::uint8_t { kUnknown = 0, kHoldover = 1, kSynced = 2 };
std::string_view ClockQualityName(ClockQuality quality);

// Thread-safe. Owned by the composition root (cli, site, hub), borrowed by everything below.
class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds since 1970-01-01T00:00:00Z; may be wrong, may step.
  virtual std::int64_t UtcMicros() const = 0;
  // Microseconds since an arbitrary start; never steps back within one process.
  virtual std::int64_t MonotonicMicros() const = 0;
  virtual ClockQuality quality() const = 0;
};

// The kernel's clocks. `quality` asks adjtimex(2) at most once a second.
class SystemClock final : public Clock {
 public:
  std::int64_t UtcMicros() const override;
  std::int64_t MonotonicMicros() const override;
  ClockQuality quality() const override;

 private:
  mutable std::atomic<std::int64_t> asked_at_us_{-1};
  mutable std::atomic<ClockQuality> quality_{ClockQuality::kUnknown};
};

// Moves only when told to. For tests.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(std::int64_t utc_us) : utc_us_(utc_us) {}
  std::int64_t UtcMicros() const override { return utc_us_; }
  std::int64_t MonotonicMicros() const override { return mono_us_; }
  ClockQuality quality() const override { return quality_; }

  void Advance(std::int64_t us) {
    utc_us_ += us;
    mono_us_ += us;
  }
  void SetUtc(std::int64_t utc_us) { utc_us_ = utc_us; }
  void SetQuality(ClockQuality quality) { quality_ = quality; }

 private:
  std::atomic<std::int64_t> utc_us_;
  std::atomic<std::int64_t> mono_us_{0};
  std::atomic<ClockQuality> quality_{ClockQuality::kSynced};
};

// "2026-01-31T08:15:00.250000Z" (RFC 3339, always UTC, microseconds only where there are any).
std::string FormatUtc(std::int64_t utc_us);
Result<std::int64_t> ParseUtc(std::string_view text);

}  // namespace skerry
