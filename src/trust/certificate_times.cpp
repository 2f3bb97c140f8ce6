#include "trust/certificate_times.h"

#include "base/clock.h"

namespace skerry {

bool RenewalIsDue(const CertificateFacts& certificate, std::int64_t now_us) {
  const std::int64_t life_us = certificate.not_after_us - certificate.not_before_us;
  return now_us >= certificate.not_after_us - life_us / 3;
}

std::int64_t DaysLeft(std::int64_t not_after_us, std::int64_t now_us) {
  const std::int64_t left_us = not_after_us - now_us;
  return left_us >= 0 ? left_us / kDayMicros : -((kDayMicros - 1 - left_us) / kDayMicros);
}

std::string ExpiryAlarm(std::string_view whose, std::int64_t not_after_us, std::int64_t now_us) {
  const std::int64_t days = DaysLeft(not_after_us, now_us);
  if (days >= kExpiryAlarmDays) return "";
  const std::string end = FormatUtc(not_after_us);
  return days < 0
             ? fmt::format("the certificate of {} expired on {}", whose, end)
             : fmt::format("the certificate of {} expires on {}, in {} days", whose, end, days);
}

}  // namespace skerry
