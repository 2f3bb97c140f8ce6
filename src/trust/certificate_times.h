// How certificates age: when one is to be renewed, when its end is an alarm. Shared by the site,
// which asks for renewal, and the hub, which grants it (docs/adr/0020-certificate-times.md).
//
// All times are microseconds since 1970, UTC. `now_us` is the hub's clock at the hub, and at a site
// SiteIdentity::Now: never earlier than what the hub has signed. Free functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/certificate.h"

namespace skerry {

constexpr std::int64_t kDayMicros = std::int64_t{24} * 3600 * 1'000'000;
constexpr std::int64_t kExpiryAlarmDays = 30;

// From two thirds of its life on, so that months are left for a courier.
bool RenewalIsDue(const CertificateFacts& certificate, std::int64_t now_us);

// Whole days until the end; 0 on the last one, negative behind it.
std::int64_t DaysLeft(std::int64_t not_after_us, std::int64_t now_us);

// "the certificate of north expired on 2027-01-31T08:15:00Z: ...", or that it will, within
// kExpiryAlarmDays; "" before.
std::string ExpiryAlarm(std::string_view whose, std::int64_t not_after_us, std::int64_t now_us);

}  // namespace skerry
