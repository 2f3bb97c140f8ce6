// Limits of the check of stored packages (sync/package_check.h), by name, as base/limits.h has the
// others.
#pragma once

#include <chrono>
#include <cstdint>

namespace skerry::limits {

constexpr std::chrono::milliseconds kPackageCheckDelay{2'000};             // after the start
constexpr std::chrono::milliseconds kPackageCheckInterval{6 * 3'600'000};  // and between two
constexpr std::uint64_t kPackageCheckBytesPerSecond = 8U << 20U;

}  // namespace skerry::limits
