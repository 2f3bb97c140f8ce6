#include "hub/instance_time.h"

#include <algorithm>
#include <cstdlib>

namespace skerry {
namespace {

// An agreeing anchor this near to another one tells nothing more.
constexpr std::int64_t kAnchorSpacingUs = 3'600'000'000;

std::int64_t AheadOf(const ClockPoint& point) { return point.utc_us - point.mono_us; }

std::int64_t DriftOver(std::int64_t from_us, std::int64_t to_us) {
  return std::abs(to_us - from_us) / 1'000'000 * kClockDriftPpm;
}

// Both are what one clock may have shown.
bool Agree(const ClockPoint& a, const ClockPoint& b) {
  return std::abs(AheadOf(a) - AheadOf(b)) <= kClockToleranceUs + DriftOver(a.mono_us, b.mono_us);
}

// A row's own claim, cut to `unit`, may be off by a unit either way.
std::int64_t CutSlack(std::int64_t unit_us) { return unit_us > 1 ? unit_us : 0; }

std::int64_t RoundDown(std::int64_t us, std::int64_t unit_us) {
  const std::int64_t over = us % unit_us;
  return us - (over < 0 ? over + unit_us : over);
}
std::int64_t RoundUp(std::int64_t us, std::int64_t unit_us) {
  const std::int64_t down = RoundDown(us, unit_us);
  return down == us ? us : down + unit_us;
}

bool Possible(std::int64_t event_us, const FileTime& file) {
  return RoundUp(event_us + 1, file.unit_us) >= file.joined_us - kHubClockSlackUs &&
         event_us <= file.received_us + kHubClockSlackUs;
}

bool HasMono(std::int64_t mono_us) { return mono_us >= 0 && mono_us <= kMonotonicMostUs; }

// What the order of the file's rows leaves: a row was made at least as long before the file
// arrived, and after the instance began, as its monotonic clock says.
TimeCorrection Bounds(const RowTime& row, const FileTime& file) {
  const std::int64_t latest = std::max(file.floor_us, file.received_us);
  std::int64_t low = file.floor_us;
  std::int64_t high = latest;
  if (HasMono(row.mono_us)) {
    const std::int64_t since = row.mono_us - file.first_mono_us;
    const std::int64_t until = file.last_mono_us - row.mono_us;
    low += std::max<std::int64_t>(since - DriftOver(0, since) - CutSlack(file.unit_us) - 1, 0);
    high -= std::max<std::int64_t>(until - DriftOver(0, until) - CutSlack(file.unit_us) - 1, 0);
    if (low > high) {
      low = file.floor_us;
      high = latest;
    }
  }
  return {std::nullopt, RoundDown(low, file.unit_us), RoundUp(high, file.unit_us)};
}

}  // namespace

ClockQuality ClockQualityOf(std::string_view name) {
  for (const ClockQuality quality : {ClockQuality::kSynced, ClockQuality::kHoldover})
    if (name == ClockQualityName(quality)) return quality;
  return ClockQuality::kUnknown;
}

bool CanBe(const ClockPoint& anchor, std::int64_t joined_us, std::int64_t received_us) {
  return HasMono(anchor.mono_us) && anchor.utc_us >= joined_us - kHubClockSlackUs &&
         anchor.utc_us <= received_us + kHubClockSlackUs;
}

InstanceTime::InstanceTime(std::vector<ClockPoint> anchors) : points_(std::move(anchors)) {
  std::sort(points_.begin(), points_.end(), [](const ClockPoint& a, const ClockPoint& b) {
    return std::pair(a.mono_us, a.utc_us) < std::pair(b.mono_us, b.utc_us);
  });
  // From the last one back, those that were ahead of it go.
  std::vector<ClockPoint> kept;
  for (auto point = points_.rbegin(); point != points_.rend(); ++point)
    if (kept.empty() || AheadOf(*point) <= AheadOf(kept.back()) || Agree(*point, kept.back()))
      kept.push_back(*point);
  std::reverse(kept.begin(), kept.end());
  points_ = std::move(kept);
}

std::pair<const ClockPoint*, const ClockPoint*> InstanceTime::Around(std::int64_t mono_us) const {
  const auto next =
      std::lower_bound(points_.begin(), points_.end(), mono_us,
                       [](const ClockPoint& point, std::int64_t at) { return point.mono_us < at; });
  const ClockPoint* const after = next == points_.end() ? nullptr : &*next;
  if (after != nullptr && after->mono_us == mono_us) return {after, after};
  return {next == points_.begin() ? nullptr : &*std::prev(next), after};
}

InstanceTime::News InstanceTime::NewsOf(const ClockPoint& anchor) const {
  const auto [before, after] = Around(anchor.mono_us);
  if (before == nullptr && after == nullptr) return News::kDisagrees;
  bool near = false;
  for (const ClockPoint* const one : {before, after}) {
    if (one == nullptr) continue;
    if (!Agree(*one, anchor)) return News::kDisagrees;
    near = near || std::abs(one->mono_us - anchor.mono_us) < kAnchorSpacingUs;
  }
  return near ? News::kNone : News::kNearer;
}

bool InstanceTime::Believes(const ClockSpan& span, const FileTime& file) const {
  if (span.clock == ClockQuality::kUnknown || !HasMono(span.first_mono_us) ||
      !HasMono(span.last_mono_us) || !Possible(span.first_event_us, file) ||
      !Possible(span.last_event_us, file))
    return false;
  return std::all_of(points_.begin(), points_.end(), [&](const ClockPoint& point) {
    if (span.clock == ClockQuality::kSynced && point.mono_us < span.first_mono_us) return true;
    const bool behind = AheadOf(point) - span.least_ahead_us > kClockToleranceUs;
    return span.most_ahead_us - AheadOf(point) <= kClockToleranceUs &&
           (span.clock == ClockQuality::kSynced || !behind);
  });
}

bool InstanceTime::Believes(const RowTime& row, const FileTime& file) const {
  if (row.clock == ClockQuality::kUnknown || !Possible(row.event_us, file)) return false;
  if (!HasMono(row.mono_us) || points_.empty()) return true;
  const std::int64_t ahead = row.event_us - row.mono_us;
  const auto [before, after] = Around(row.mono_us);
  const auto slack = [&](const ClockPoint& point) {
    return kClockToleranceUs + CutSlack(file.unit_us) + DriftOver(row.mono_us, point.mono_us);
  };
  if (row.clock == ClockQuality::kSynced)
    return after == nullptr || ahead - AheadOf(*after) <= slack(*after);
  for (const ClockPoint* const one : {before, after})
    if (one != nullptr && std::abs(ahead - AheadOf(*one)) <= slack(*one)) return true;
  return false;
}

std::optional<TimeCorrection> InstanceTime::Correct(const RowTime& told,
                                                    const FileTime& file) const {
  RowTime row = told;
  row.event_us = std::clamp(row.event_us, -kEventMostUs, kEventMostUs);
  if (Believes(row, file)) return std::nullopt;
  if (HasMono(row.mono_us) && !points_.empty()) {
    if (const auto correction = FromAnchors(row, file)) return correction;
  }
  return Bounds(row, file);
}

std::optional<TimeCorrection> InstanceTime::FromAnchors(const RowTime& row,
                                                        const FileTime& file) const {
  const auto [before, after] = Around(row.mono_us);
  std::int64_t low = kEventMostUs;
  std::int64_t high = -kEventMostUs;
  for (const ClockPoint* const one : {before, after}) {
    if (one == nullptr) continue;
    const std::int64_t drift = DriftOver(row.mono_us, one->mono_us);
    low = std::min(low, row.mono_us + AheadOf(*one) - drift);
    high = std::max(high, row.mono_us + AheadOf(*one) + drift + CutSlack(file.unit_us));
  }
  // What the anchors say cannot be: the machine stood still for longer than it was away.
  if (low > file.received_us + kHubClockSlackUs || high < file.joined_us - kHubClockSlackUs)
    return std::nullopt;
  TimeCorrection correction{std::nullopt, RoundDown(low, file.unit_us),
                            RoundUp(high, file.unit_us)};
  if (before != nullptr && after != nullptr && !Agree(*before, *after)) return correction;
  const bool first_is_near =
      after == nullptr ||
      (before != nullptr && row.mono_us - before->mono_us <= after->mono_us - row.mono_us);
  const ClockPoint& nearest = first_is_near ? *before : *after;
  // Of a time that was cut, the middle of what it may have been.
  correction.corrected_us =
      RoundDown(row.mono_us + AheadOf(nearest) + CutSlack(file.unit_us) / 2, file.unit_us);
  return correction;
}

}  // namespace skerry
