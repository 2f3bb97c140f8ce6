#include "sync/sync_windows.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/limits.h"
#include "base/link_limits.h"

namespace skerry {
namespace {

constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::size_t kDayMinutes = 24 * 60;
constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

Status Wrong(std::string_view text) {
  return Fail(ErrorCode::kInvalidArgument,
              "\"{}\" is no sync window: write always, never, or [DAYS ]HH:MM-HH:MM in UTC, such "
              "as \"22:00-06:00\", \"mon-fri 12:00-13:30\" or \"sat-sun\"",
              text.substr(0, 64));
}

std::optional<std::size_t> ParseDay(std::string_view text) {
  const auto found = std::find(kDays.begin(), kDays.end(), text);
  if (found == kDays.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kDays.begin());
}

// "HH:MM" as a minute of the day; 24:00 is its end.
std::optional<std::size_t> ParseTime(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const std::size_t at : {0U, 1U, 3U, 4U})
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
  const auto digit = [&](std::size_t at) { return static_cast<std::size_t>(text[at] - '0'); };
  const auto two = [&](std::size_t at) { return digit(at) * 10 + digit(at + 1); };
  const std::size_t minute = two(0) * 60 + two(3);
  if (two(3) > 59 || minute > kDayMinutes) return std::nullopt;
  return minute;
}

std::size_t MinuteOfWeek(std::int64_t utc_us) {
  constexpr std::int64_t kWeek = std::int64_t{7} * kDayMinutes;
  // 1970 began on a Thursday.
  const std::int64_t minute = utc_us / kMinuteUs + std::int64_t{3} * kDayMinutes;
  return static_cast<std::size_t>((minute % kWeek + kWeek) % kWeek);
}

}  // namespace

Result<SyncWindows> SyncWindows::Parse(std::span<const std::string> texts) {
  if (texts.size() > limits::kSyncWindows)
    return Fail(ErrorCode::kTooLarge, "{} sync windows, the limit is {}", texts.size(),
                limits::kSyncWindows);
  SyncWindows windows;
  for (const std::string& text : texts) {
    if (text == "never" && texts.size() > 1)
      return Fail(ErrorCode::kInvalidArgument, "\"never\" has to be the only sync window");
    SKERRY_RETURN_IF_ERROR(windows.Add(text));
  }
  if (texts.empty()) windows.open_.set();
  return windows;
}

Status SyncWindows::Add(std::string_view text) {
  if (text == "never") return {};
  if (text == "always") {
    open_.set();
    return {};
  }
  const std::size_t space = text.find(' ');
  const std::string_view head = text.substr(0, space);
  const std::size_t dash = head.find('-');
  const auto first = ParseDay(head.substr(0, dash));
  if (!first) {
    if (space != std::string_view::npos) return Wrong(text);
    return AddTimes(text, 0, kDays.size() - 1);
  }
  const auto last = dash == std::string_view::npos ? first : ParseDay(head.substr(dash + 1));
  if (!last) return Wrong(text);
  if (space != std::string_view::npos) return AddTimes(text.substr(space + 1), *first, *last);
  return AddTimes("00:00-24:00", *first, *last);
}

Status SyncWindows::AddTimes(std::string_view text, std::size_t first_day, std::size_t last_day) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return Wrong(text);
  const auto from = ParseTime(text.substr(0, dash));
  const auto to = ParseTime(text.substr(dash + 1));
  if (!from || !to || *from == *to || *from == kDayMinutes) return Wrong(text);
  const std::size_t length = *to > *from ? *to - *from : kDayMinutes - *from + *to;
  // "sat-mon" goes over the end of the week.
  const std::size_t days = (last_day + kDays.size() - first_day) % kDays.size() + 1;
  for (std::size_t day = 0; day < days; ++day)
    for (std::size_t minute = 0; minute < length; ++minute)
      open_.set(((first_day + day) * kDayMinutes + *from + minute) % kMinutes);
  return {};
}

bool SyncWindows::IsOpen(std::int64_t utc_us) const { return open_.test(MinuteOfWeek(utc_us)); }

std::optional<std::int64_t> SyncWindows::NextOpening(std::int64_t utc_us) const {
  const std::int64_t minute_us = utc_us / kMinuteUs * kMinuteUs;
  for (std::size_t i = 0; i <= kMinutes; ++i) {
    const std::int64_t at = minute_us + static_cast<std::int64_t>(i) * kMinuteUs;
    if (IsOpen(at)) return at;
  }
  return std::nullopt;
}

}  // namespace skerry
