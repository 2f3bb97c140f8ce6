#include "http/stream_body.h"

#include <algorithm>

namespace skerry::http_detail {

Result<std::size_t> StreamBody::Read(char* out, std::size_t size) {
  std::unique_lock lock(mutex_);
  if (used_ == piece_.size() && !ended_ && !failed_) {
    used_ = 0;
    piece_.clear();
    lock.unlock();
    want_();
    lock.lock();
    ready_.wait(lock, [this] { return !piece_.empty() || ended_ || failed_; });
  }
  if (used_ < piece_.size()) {
    const std::size_t count = std::min(size, piece_.size() - used_);
    piece_.copy(out, count, used_);
    used_ += count;
    return count;
  }
  if (failed_) return tl::make_unexpected(*failed_);
  return std::size_t{0};
}

void StreamBody::Give(std::string piece) {
  const std::lock_guard lock(mutex_);
  piece_ = std::move(piece);
  used_ = 0;
  ready_.notify_all();
}

void StreamBody::End() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  ready_.notify_all();
}

void StreamBody::FailWith(Error error) {
  const std::lock_guard lock(mutex_);
  failed_.emplace(std::move(error));
  ready_.notify_all();
}

}  // namespace skerry::http_detail
