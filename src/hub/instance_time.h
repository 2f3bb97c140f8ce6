// When a row was made, told from its instance's monotonic clock and the moments at which that was
// seen beside a trusted UTC (anchors, outbox/statement.h). Why so: docs/adr/0021.
//
// What is believed:
// - A row whose clock was `synced` is right, unless its time cannot be (before the site joined, or
//   after the row arrived), or a later anchor refutes it: true time runs at least as fast as the
//   monotonic clock, so an anchor whose UTC has fallen behind what the row claims shows that it
//   was ahead. A UTC that jumped forward refutes nothing: the machine may have stood still.
// - One in `holdover` is right unless the anchors around it say otherwise; `unknown` never is.
// - Anchors are held to the same: one that cannot be, or that a later one refutes, is left out.
// A row that is not right gets the time of the nearest anchor, and how wrong that may be. Between
// two anchors that disagree, and without any, it gets bounds alone.
//
// Pure values; times are microseconds, UTC or since the start of the instance's monotonic clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace skerry {

// Two clocks that agree may differ by so much: a leap second, and what slewing leaves.
constexpr std::int64_t kClockToleranceUs = 2'000'000;
// How far a machine's oscillator goes wrong without a time service, with some to spare.
constexpr std::int64_t kClockDriftPpm = 200;
// How far the right clocks of a site and of its hub may be apart.
constexpr std::int64_t kHubClockSlackUs = 600'000'000;
// Numbers of microseconds that a monotonic clock cannot reach; what says more is not believed.
constexpr std::int64_t kMonotonicMostUs = 100'000'000'000'000'000;

// Event times beyond it are as wrong as it is.
constexpr std::int64_t kEventMostUs = 1'000'000'000'000'000'000;

// Of a segment's column `clock`; unknown for any other word.
ClockQuality ClockQualityOf(std::string_view name);

struct ClockPoint {
  std::int64_t mono_us = 0;
  std::int64_t utc_us = 0;
  bool operator==(const ClockPoint&) const = default;
};

// What a row says of its time.
struct RowTime {
  std::int64_t event_us = 0;
  std::int64_t mono_us = 0;
  ClockQuality clock = ClockQuality::kUnknown;
};

// What is known of the rows of one instance in one file.
struct FileTime {
  std::int64_t joined_us = 0;    // the site exists since
  std::int64_t floor_us = 0;     // nothing of the instance is older; joined_us or later
  std::int64_t received_us = 0;  // the hub has the file since
  std::int64_t unit_us = 1;      // policy cut times to whole multiples of this
  std::int64_t first_mono_us = 0;
  std::int64_t last_mono_us = 0;
};

// The true time is in [not_before_us, not_after_us].
struct TimeCorrection {
  std::optional<std::int64_t> corrected_us;  // none: bounds alone
  std::int64_t not_before_us = 0;
  std::int64_t not_after_us = 0;
};

// Some rows of one instance and clock quality, put together.
struct ClockSpan {
  std::string instance;
  ClockQuality clock = ClockQuality::kUnknown;
  std::int64_t first_event_us = 0, last_event_us = 0;
  std::int64_t first_mono_us = 0, last_mono_us = 0;
  std::int64_t most_ahead_us = 0, least_ahead_us = 0;  // of event time over monotonic time
};

// Whether an anchor can be true that the hub learnt of at `received_us`.
bool CanBe(const ClockPoint& anchor, std::int64_t joined_us, std::int64_t received_us);

class InstanceTime {
 public:
  // Of anchors that can be, in any order.
  explicit InstanceTime(std::vector<ClockPoint> anchors);

  // Whether the anchor tells more than is known already: the first one, one that disagrees with
  // its neighbours, or one far from them.
  enum class News { kNone, kNearer, kDisagrees };
  News NewsOf(const ClockPoint& anchor) const;
  // Whether every row of the span is certainly believed. Quick, and sometimes wrongly false.
  bool Believes(const ClockSpan& span, const FileTime& file) const;
  // None for a row that is believed. Times of the answer are multiples of file.unit_us.
  std::optional<TimeCorrection> Correct(const RowTime& row, const FileTime& file) const;

 private:
  bool Believes(const RowTime& row, const FileTime& file) const;
  std::optional<TimeCorrection> FromAnchors(const RowTime& row, const FileTime& file) const;
  // The last anchor at or before, and the first one at or after; null: there is none.
  std::pair<const ClockPoint*, const ClockPoint*> Around(std::int64_t mono_us) const;

  std::vector<ClockPoint> points_;  // by mono_us; none is refuted by a later one
};

}  // namespace skerry
