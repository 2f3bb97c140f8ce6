// The units to which `truncate_time` cuts times (document.h), as seen on times that were cut.
#pragma once

#include <cstdint>

namespace skerry {

// The largest unit that the time is a whole number of, in microseconds: a day, an hour, a minute, a
// second, or 1. Each is a whole number of the smaller ones.
std::int64_t LargestTimeUnit(std::int64_t us);

}  // namespace skerry
