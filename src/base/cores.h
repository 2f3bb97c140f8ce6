#pragma once

#include <algorithm>
#include <thread>

namespace skerry {

// Threads that can run at once: std::thread::hardware_concurrency(), at least 1.
inline int Cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

}  // namespace skerry
