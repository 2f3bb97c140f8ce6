#include "base/clock.h"

#include <sys/timex.h>
#include <time.h>

#include <cstdio>
#include <ctime>

namespace skerry {
namespace {

std::int64_t ReadMicros(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

std::string_view ClockQualityName(ClockQuality quality) {
  switch (quality) {
    case ClockQuality::kUnknown: return "unknown";
    case ClockQuality::kHoldover: return "holdover";
    case ClockQuality::kSynced: return "synced";
  }
  return "unknown";
}

std::int64_t SystemClock::UtcMicros() const { return ReadMicros(CLOCK_REALTIME); }
// From the machine's start, one count for all its processes; CLOCK_MONOTONIC would stand still
// while it sleeps (ADR 0021).
std::int64_t SystemClock::MonotonicMicros() const { return ReadMicros(CLOCK_BOOTTIME); }

ClockQuality SystemClock::quality() const {
  const std::int64_t now = MonotonicMicros();
  std::int64_t asked = asked_at_us_.load(std::memory_order_relaxed);
  if (asked >= 0 && now - asked < 1'000'000) return quality_.load(std::memory_order_relaxed);
  if (!asked_at_us_.compare_exchange_strong(asked, now)) return quality_;
  timex state{};
  const int answer = adjtimex(&state);
  const bool synced = answer >= 0 && answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  const ClockQuality before = quality_;
  // Once synced, an unsynced kernel is a clock in holdover, not an unknown one.
  quality_ = synced                             ? ClockQuality::kSynced
             : before == ClockQuality::kUnknown ? ClockQuality::kUnknown
                                                : ClockQuality::kHoldover;
  return quality_;
}

std::string FormatUtc(std::int64_t utc_us) {
  std::int64_t seconds = utc_us / 1'000'000;
  std::int64_t micros = utc_us % 1'000'000;
  if (micros < 0) {
    micros += 1'000'000;
    --seconds;
  }
  const auto when = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&when, &parts);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(text, size);
  if (micros != 0) out += fmt::format(".{:06d}", micros);
  return out + "Z";
}

Result<std::int64_t> ParseUtc(std::string_view text) {
  const std::string copy(text);
  tm parts{};
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::int64_t micros = 0;
  if (rest != nullptr && *rest == '.') {
    std::int64_t unit = 100'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) micros += (*rest - '0') * unit;
  }
  if (rest == nullptr || std::string_view(rest) != "Z")
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no UTC time: expected 2026-01-31T08:15:00Z",
                text.substr(0, 64));
  return std::int64_t{timegm(&parts)} * 1'000'000 + micros;
}

}  // namespace skerry
