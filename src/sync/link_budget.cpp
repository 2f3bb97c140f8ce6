#include "sync/link_budget.h"

#include <algorithm>

#include "base/limits.h"
#include "base/link_limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "http/client.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kDayUs = std::int64_t{24} * 3600 * kSecondUs;
constexpr std::uint64_t kReservedShare = 10;  // one in so many bytes of a day is not for bulk

// How far the saved count runs ahead, so that it is not written with every piece.
std::uint64_t SaveStep(std::uint64_t bytes_per_day) {
  return std::clamp<std::uint64_t>(bytes_per_day / 200, 4U << 10U, 1U << 20U);
}

}  // namespace

Result<std::unique_ptr<LinkBudget>> LinkBudget::Open(LinkOptions options,
                                                     std::filesystem::path state_file,
                                                     const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(const SyncWindows windows, SyncWindows::Parse(options.windows),
                          "link.windows");
  // Slower, the hub takes a request's body for one that has stopped.
  if (options.bytes_per_second > 0 && options.bytes_per_second < limits::kLeastLinkBytesPerSecond)
    return Fail(ErrorCode::kInvalidArgument,
                "link.bytes_per_second is {}, must be 0 or at least {}", options.bytes_per_second,
                limits::kLeastLinkBytesPerSecond);
  if (options.bytes_per_day > 0 && options.bytes_per_day < limits::kLeastLinkBytesPerDay)
    return Fail(ErrorCode::kInvalidArgument, "link.bytes_per_day is {}, must be 0 or at least {}",
                options.bytes_per_day, limits::kLeastLinkBytesPerDay);
  std::unique_ptr<LinkBudget> budget(
      new LinkBudget(std::move(options), windows, std::move(state_file), clock));
  budget->Load();
  return budget;
}

LinkBudget::LinkBudget(LinkOptions options, SyncWindows windows, std::filesystem::path state_file,
                       const Clock& clock)
    : options_(std::move(options)),
      windows_(windows),
      state_file_(std::move(state_file)),
      clock_(&clock),
      day_(clock.UtcMicros() / kDayUs),
      day_began_mono_us_(clock.MonotonicMicros()) {}

LinkBudget::~LinkBudget() {
  const std::lock_guard lock(mutex_);
  if (saved_today_ != used_today_) Save(used_today_);
}

bool LinkBudget::ClockIsWrong() const {
  return clock_->quality() == ClockQuality::kUnknown && clock_->UtcMicros() < trusted_us_;
}

void LinkBudget::BeginDayIfDue() {
  const bool wrong = ClockIsWrong();
  const std::int64_t day = clock_->UtcMicros() / kDayUs;
  const std::int64_t mono_us = clock_->MonotonicMicros();
  if (!wrong && day == day_) return;
  const bool next = !wrong && day > day_;
  if (!next && mono_us - day_began_mono_us_ < kDayUs) return;
  if (!wrong) day_ = day;
  day_began_mono_us_ = mono_us;
  used_today_ = 0;
  saved_today_ = 0;
}

std::optional<std::string> LinkBudget::Closed(TransferKind kind, std::uint64_t bytes) const {
  if (windows_.never()) return "link.windows says never: this site meets its hub by bundles";
  const std::int64_t utc_us = clock_->UtcMicros();
  if (!ClockIsWrong() && !windows_.IsOpen(utc_us))
    return fmt::format("outside the sync windows; the next opens at {}",
                       FormatUtc(windows_.NextOpening(utc_us).value_or(0)));
  const std::uint64_t all = options_.bytes_per_day;
  if (all == 0) return std::nullopt;
  const std::uint64_t mine = kind == TransferKind::kBulk ? all - all / kReservedShare : all;
  if (used_today_ + reserved_ + bytes <= mine) return std::nullopt;
  return fmt::format(
      "{} of the {} bytes a day that link.bytes_per_day allows are used{}; it goes on with the "
      "next day (UTC)",
      used_today_, all, kind == TransferKind::kBulk ? ", the rest is for what is urgent" : "");
}

Result<std::int64_t> LinkBudget::Admit(TransferKind kind, std::uint64_t bytes,
                                       std::uint64_t reserved) {
  const std::lock_guard lock(mutex_);
  BeginDayIfDue();
  if (const auto closed = Closed(kind, bytes - reserved))
    return Fail(ErrorCode::kUnavailable, "{}", *closed);
  const std::int64_t mono_us = clock_->MonotonicMicros();
  if (options_.bytes_per_second > 0 && free_mono_us_ > mono_us) return free_mono_us_ - mono_us;
  reserved_ -= reserved;
  Count(bytes);
  return std::int64_t{0};
}

Status LinkBudget::Reserve(TransferKind kind, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  BeginDayIfDue();
  if (const auto closed = Closed(kind, bytes)) return Fail(ErrorCode::kUnavailable, "{}", *closed);
  reserved_ += bytes;
  SaveIfDue();
  return {};
}

void LinkBudget::Charge(std::uint64_t bytes, std::uint64_t reserved) {
  const std::lock_guard lock(mutex_);
  BeginDayIfDue();
  reserved_ -= reserved;
  Count(bytes);
}

void LinkBudget::Count(std::uint64_t bytes) {
  used_ += bytes;
  used_today_ += bytes;
  if (options_.bytes_per_second > 0) {
    const std::int64_t cost_us = static_cast<std::int64_t>(
        static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second) * kSecondUs);
    free_mono_us_ = std::max(free_mono_us_, clock_->MonotonicMicros()) + cost_us;
  }
  SaveIfDue();
}

void LinkBudget::SaveIfDue() {
  if (options_.bytes_per_day > 0 && used_today_ + reserved_ > saved_today_)
    Save(used_today_ + reserved_ + SaveStep(options_.bytes_per_day));
}

void LinkBudget::NoteTrustedTime(std::int64_t utc_us) {
  const std::lock_guard lock(mutex_);
  trusted_us_ = std::max(trusted_us_, utc_us);
}

LinkFacts LinkBudget::facts() {
  const std::lock_guard lock(mutex_);
  BeginDayIfDue();
  return {used_today_, used_,
          Closed(TransferKind::kTalk, TransferGate::kReserveBytes).value_or("")};
}

void LinkBudget::Load() {
  const auto text = ReadFile(state_file_, limits::kSmallReplyBytes);
  if (!text) return;
  const auto json = ParseJson(*text);
  if (!json || !json->is_object()) return;
  const JsonObject object(*json, "budget");
  const auto day = object.Int("day");
  const auto bytes = object.Uint("bytes");
  if (!day || !bytes) return;
  day_ = *day;
  used_today_ = *bytes;
  saved_today_ = *bytes;
}

void LinkBudget::Save(std::uint64_t bytes) {
  if (options_.bytes_per_day == 0) return;
  saved_today_ = bytes;
  // A full disk must not stop what makes room on it.
  if (const Status saved =
          WriteFileDurably(state_file_, DumpJson(Json{{"day", day_}, {"bytes", bytes}}), 0600);
      !saved)
    LogWarning("cannot keep the link's daily count: {}", saved.error().message());
}

}  // namespace skerry
