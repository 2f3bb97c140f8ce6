// What scoring asks of whoever keeps the rows: the seam between the scoring routes and the outbox.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "base/metrics.h"
#include "model/row_batch.h"

namespace skerry {

// off: rows are forgotten. async: the answer does not wait; rows lost before the commit are the
// documented loss window. sync: HTTP 200 means that the rows are durable; what cannot be kept is
// refused. try: as sync, but what cannot be kept is answered all the same, and the answer says so.
enum class CaptureMode : std::uint8_t { kOff, kAsync, kSync, kTry };
std::string_view CaptureModeName(CaptureMode mode);  // "off", "async", "sync", "try"
Result<CaptureMode> ParseCaptureMode(std::string_view name);

// Thread-safe: called from every event loop. Must outlive the server that it is given to.
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  // Never blocks. Calls `done` exactly once, from any thread, possibly before it returns: OK when
  // the rows are durable, otherwise the reason why they are not (kResourceExhausted: queue full).
  virtual void Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) = 0;
  // For rows that nobody waits for, which may be gathered for some milliseconds. Never blocks. Adds
  // to `lost` those that could not be kept; null, or outlives the sink.
  virtual void CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) = 0;
};

}  // namespace skerry
