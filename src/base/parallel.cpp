#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cores.h"

namespace skerry {

Status ForBlocks(std::size_t rows, std::size_t block, const BlockWork& work) {
  const std::size_t blocks = (rows + block - 1) / block;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::size_t failed_block = blocks;  // with `failed` behind `mutex`
  Status failed;
  const auto take = [&] {
    for (std::size_t i = next++; i < blocks; i = next++) {
      Status status = work(i * block, std::min(block, rows - i * block));
      if (status) continue;
      next = blocks;
      const std::lock_guard lock(mutex);
      if (i > failed_block) continue;
      failed_block = i;
      failed = std::move(status);
    }
  };
  std::vector<std::jthread> others;
  const std::size_t threads = std::min(blocks, static_cast<std::size_t>(Cores()));
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(take);
  take();
  others.clear();  // joins
  return failed;
}

}  // namespace skerry
