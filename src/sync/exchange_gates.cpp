// Exchange's gates: what happens before bytes pass.
#include <algorithm>

#include "base/limits.h"
#include "base/link_limits.h"
#include "sync/exchange.h"

namespace skerry {
namespace {

constexpr std::size_t kFirstPieceBytes = 4U << 10U;  // before the link's rate is known
constexpr std::chrono::seconds kMeasured{1};
constexpr std::chrono::seconds kMeasureGap{10};  // a longer silence says nothing of the rate
constexpr std::chrono::milliseconds kBudgetLook{500};
constexpr std::chrono::seconds kLongPause = limits::kBodyStall / 2;
// While bulk is under way, a status may take one in so many bytes.
constexpr std::uint64_t kReportShare = 20;

}  // namespace

Status Exchange::BeforeCall(TransferKind kind) {
  Status reserved = budget_->Reserve(kind, TransferGate::kReserveBytes);
  if (!reserved) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  return reserved;
}

Status Exchange::BeforeNextChunk(TransferKind kind, std::size_t bytes, std::size_t reserved) {
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    if (kind == TransferKind::kBulk) SKERRY_RETURN_IF_ERROR(MayGoOn());
    if (kind != TransferKind::kUrgent) LetUrgentFirst();
    if (kind == TransferKind::kBulk && BeginTalk()) EndTalk(TalkBetween());
    const Result<std::int64_t> wait_us = budget_->Admit(kind, bytes, reserved);
    std::unique_lock lock(mutex_);
    if (stopping_) return Fail(ErrorCode::kUnavailable, "the exchange is stopping");
    if (std::chrono::steady_clock::now() - began >= kLongPause) paused_long_ = true;
    if (!wait_us) {
      closed_ = true;
      return tl::make_unexpected(wait_us.error());
    }
    if (*wait_us == 0) {
      if (kind == TransferKind::kBulk) Measure(bytes);
      return {};
    }
    const auto look =
        std::min<std::chrono::microseconds>(std::chrono::microseconds(*wait_us), kBudgetLook);
    changed_.wait_for(lock, look, [&] { return stopping_; });
  }
}

Status Exchange::MayGoOn() {
  const std::lock_guard turn(turn_mutex_);
  if (start_again_) return Fail(ErrorCode::kUnavailable, "a newer desired state goes first");
  return {};
}

// Lanes wait at the mutex meanwhile, so that the link is free for what goes first.
void Exchange::LetUrgentFirst() {
  const std::lock_guard turn(turn_mutex_);
  if (std::chrono::steady_clock::now() < next_look_) return;
  if (UrgentIsDue()) {
    RegistryClient* const lanes[] = {urgent_lane_.registry.get()};
    Status shipped = Ship(urgent_, lanes);
    // Whatever ends the link ends the bulk too; it is not for what goes first to say so.
    if (!shipped && between_) between_ = std::move(shipped);
    const std::lock_guard lock(mutex_);
    ++facts_.gone_first;
    measured_from_ = {};
  }
  next_look_ = std::chrono::steady_clock::now() + limits::kUrgentLook;
}

bool Exchange::BeginTalk() {
  const std::lock_guard turn(turn_mutex_);
  if (deploying_ || talking_ || start_again_ ||
      std::chrono::steady_clock::now() - reported_at_ < options_.interval ||
      budget_->facts().bytes_in_all - moved_at_report_ < kReportShare * report_bytes_)
    return false;
  talking_ = true;
  reported_at_ = std::chrono::steady_clock::now();  // also of a talk that comes to nothing
  return true;
}

void Exchange::EndTalk(Status done) {
  const std::lock_guard turn(turn_mutex_);
  talking_ = false;
  if (!done && between_) between_ = std::move(done);
}

Status Exchange::TalkBetween() {
  SKERRY_ASSIGN_OR_RETURN(const std::string status, parts_.make_status());
  {
    const std::lock_guard turn(turn_mutex_);
    report_bytes_ = status.size() + timestamp_seen_.size() + kReportHeads;
    if (budget_->facts().bytes_in_all - moved_at_report_ < kReportShare * report_bytes_) return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string timestamp, AskTimestamp());
  if (timestamp == timestamp_seen_) return PostStatus(status);
  const std::lock_guard turn(turn_mutex_);
  start_again_ = true;
  return {};
}

bool Exchange::UrgentIsDue() {
  {
    const std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() < urgent_again_) return false;
  }
  return parts_.outbox->UrgentWaits().value_or(false);
}

std::size_t Exchange::PieceBytes() const {
  const std::uint64_t allowed = budget_->options().bytes_per_second;
  const std::lock_guard lock(mutex_);
  double piece = rate_ == 0 ? static_cast<double>(kFirstPieceBytes) : rate_ / 2;
  if (allowed > 0) piece = std::min(piece, static_cast<double>(allowed) / 2);
  return std::clamp(static_cast<std::size_t>(piece), limits::kLeastPieceBytes,
                    limits::kMostPieceBytes);
}

// Requires mutex_.
void Exchange::Measure(std::size_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> took = now - measured_from_;
  measured_bytes_ += bytes;
  if (took < kMeasured) return;
  if (took < kMeasureGap) {
    const double rate = static_cast<double>(measured_bytes_) / took.count();
    rate_ = rate_ == 0 ? rate : 0.7 * rate_ + 0.3 * rate;
  }
  measured_from_ = now;
  measured_bytes_ = 0;
}

}  // namespace skerry
