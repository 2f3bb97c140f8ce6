#include "outbox/rate_meter.h"

#include "base/limits.h"

namespace skerry {

void RateMeter::Add(const Totals& more) {
  const std::scoped_lock lock(mutex_);
  totals_.rows_in += more.rows_in;
  totals_.bytes_in += more.bytes_in;
  totals_.bytes_out += more.bytes_out;
}

void RateMeter::Sample(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  if (!samples_.empty() && now - samples_.back().first < limits::kRateStep) return;
  samples_.emplace_back(now, totals_);
  while (now - samples_.front().first > limits::kRateWindow) samples_.pop_front();
}

OutboxRates RateMeter::Rates(TimePoint now, std::uint64_t backlog, std::uint64_t room) const {
  const std::scoped_lock lock(mutex_);
  OutboxRates rates;
  if (samples_.empty()) return rates;
  const auto& [since, before] = samples_.front();
  const std::chrono::duration<double> seconds = now - since;
  if (seconds.count() <= 0) return rates;
  const auto rate = [&](std::uint64_t from, std::uint64_t to) {
    return static_cast<double>(to - from) / seconds.count();
  };
  rates.rows_in = rate(before.rows_in, totals_.rows_in);
  rates.bytes_in = rate(before.bytes_in, totals_.bytes_in);
  rates.bytes_out = rate(before.bytes_out, totals_.bytes_out);
  if (backlog == 0) rates.drained_in = 0;
  if (backlog > 0 && rates.bytes_out > rates.bytes_in)
    rates.drained_in = static_cast<double>(backlog) / (rates.bytes_out - rates.bytes_in);
  if (rates.bytes_in > rates.bytes_out)
    rates.full_in = static_cast<double>(room) / (rates.bytes_in - rates.bytes_out);
  return rates;
}

}  // namespace skerry
