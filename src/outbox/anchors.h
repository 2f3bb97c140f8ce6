// Which moments of the monotonic clock are known in UTC, for statements to tell of, so that the hub
// can say when a row was made whose own time is wrong. Internal.
//
// The monotonic clock of a row (Clock::MonotonicMicros) counts from the start of the machine, so
// every process since then shares it: an anchor that is seen today serves the rows of all of them.
// OutboxStore keeps the ids of those that no statement has told an anchor of (table `boots`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "outbox/statement.h"

namespace skerry {

// A difference between UTC and the monotonic clock that grows or shrinks by more is a step.
constexpr std::int64_t kClockStepUs = 1'000'000;
// Moments beside steps that a statement has not told yet; the oldest are forgotten beyond it.
constexpr std::size_t kStepAnchors = 64;
// Processes of one start of the machine that are waiting for an anchor; the same.
constexpr std::size_t kUnanchoredInstances = 16'384;

// Names what the monotonic clock counts from: the machine's start, and the time namespace that a
// container may have of its own. "" where the kernel does not say.
std::string ReadBootId();

// Sees the clock step while UTC is to be trusted. One thread.
class AnchorWatch {
 public:
  AnchorWatch(const Clock& clock, InstanceId epoch) : clock_(&clock), epoch_(epoch) {}

  // The present moment; none while UTC is not to be trusted.
  std::optional<ClockAnchor> Now() const;
  // To be called often: of a step, both sides are kept.
  void Look();
  // The moments beside steps, oldest first, until Forget.
  const std::vector<ClockAnchor>& steps() const { return steps_; }
  void Forget() { steps_.clear(); }

 private:
  const Clock* clock_;
  InstanceId epoch_;
  std::optional<ClockAnchor> last_;
  std::vector<ClockAnchor> steps_;
};

}  // namespace skerry
