// Row ids of one scoring process: its instance and n = 1, 2, 3, ...
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ids.h"

namespace skerry {

// Thread-safe, lock-free. One a process; owned by the composition root.
class RowNumbers {
 public:
  explicit RowNumbers(InstanceId instance) : instance_(instance) {}
  const InstanceId& instance() const { return instance_; }
  // Takes `rows` consecutive numbers and returns the first.
  std::uint64_t Take(std::uint64_t rows) {
    return next_.fetch_add(rows, std::memory_order_relaxed);
  }
  // How many were taken so far.
  std::uint64_t taken() const { return next_.load(std::memory_order_relaxed) - 1; }

 private:
  InstanceId instance_;
  std::atomic<std::uint64_t> next_{1};
};

}  // namespace skerry
