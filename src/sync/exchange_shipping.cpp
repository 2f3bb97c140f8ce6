// Exchange's shipping: what is urgent, and the rest beside it.
#include <pthread.h>

#include <algorithm>

#include "base/limits.h"
#include "base/link_limits.h"
#include "sync/exchange.h"

namespace skerry {
namespace {

constexpr double kMicros = 1e6;

}  // namespace

Status Exchange::Ship(Shipper& shipper, std::span<RegistryClient* const> lanes) {
  ShipReport report;
  Status shipped = shipper.ShipPending(lanes, {}, report);
  shipped_counter_->Add(report.shipped);
  sent_bytes_counter_->Add(report.bytes);
  resumed_bytes_counter_->Add(report.resumed_bytes);
  const std::lock_guard lock(mutex_);
  facts_.shipped += report.shipped;
  facts_.sent_bytes += report.bytes;
  facts_.resumed_bytes += report.resumed_bytes;
  // What was refused, or met a broken link, is not offered at every look.
  if (&shipper == &urgent_ && (report.refused > 0 || !shipped))
    urgent_again_ = std::chrono::steady_clock::now() + options_.interval;
  // The outbox offers so many at a time.
  if (report.shipped >= limits::kShipmentsOffered / 2) woken_ = true;
  return shipped;
}

Status Exchange::ShipUrgent() {
  const std::lock_guard turn(turn_mutex_);
  RegistryClient* const lanes[] = {urgent_lane_.registry.get()};
  return Ship(urgent_, lanes);
}

// As many as keep the link busy while others of them wait for answers.
std::vector<RegistryClient*> Exchange::UploadLanes() {
  double rate = 0;
  double round_trip_us = 0;
  {
    const std::lock_guard lock(mutex_);
    rate = rate_;
    round_trip_us = static_cast<double>(facts_.round_trip_us);
  }
  // Of a typical segment, in round trips: what it takes to send it against what it takes to ask.
  const double sending_us =
      rate == 0 ? kMicros : static_cast<double>(options_.upload_chunk_bytes) / rate * kMicros;
  const std::size_t lanes =
      std::min(limits::kUploadLanes, 2 + static_cast<std::size_t>(2 * round_trip_us / sending_us));
  std::vector<RegistryClient*> clients;
  for (std::size_t i = 0; i < lanes; ++i) clients.push_back(bulk_[i].registry.get());
  return clients;
}

// The lanes look for what goes first before each piece; where none of them moves (a stalled
// connection, a hub that is slow to answer), somebody else has to.
Status Exchange::ShipBulk() {
  bool ended = false;  // guarded by mutex_
  std::thread watch([&] {
    ::pthread_setname_np(::pthread_self(), "exchange-watch");
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, limits::kUrgentLook, [&] { return ended || stopping_; })) {
      lock.unlock();
      LetUrgentFirst();
      lock.lock();
    }
  });
  Status shipped = Ship(shipper_, UploadLanes());
  {
    const std::lock_guard lock(mutex_);
    ended = true;
  }
  changed_.notify_all();
  watch.join();
  return shipped;
}

Status Exchange::ShipRest() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      paused_long_ = false;
    }
    Status shipped = ShipBulk();
    const std::lock_guard turn(turn_mutex_);
    Status between = std::exchange(between_, Status());
    const std::lock_guard lock(mutex_);
    // The hub gave up on a body that something urgent or the budget held up: healthy work goes on
    // at the byte.
    const bool held_up = !shipped && IsOfTheLink(shipped.error()) && paused_long_ && !stopping_ &&
                         !closed_ && !start_again_;
    if (!held_up) return shipped ? between : shipped;
  }
}

}  // namespace skerry
