#include "outbox/completions.h"

#include <utility>

namespace skerry {
namespace {

constexpr std::size_t kGroupsAhead = 2;
// To wake so many takes no longer than to wake the thread that would.
constexpr std::size_t kToldAtOnce = 2;

}  // namespace

Completions::Completions() : thread_([this] { Loop(); }) {}

Completions::~Completions() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Completions::Tell(std::size_t told, std::function<void()> tell) {
  {
    std::unique_lock lock(mutex_);
    if (told > kToldAtOnce || telling_ || !waiting_.empty()) {
      told_.wait(lock, [&] { return waiting_.size() < kGroupsAhead; });
      waiting_.push_back(std::move(tell));
      wake_.notify_one();
      return;
    }
  }
  tell();
}

void Completions::Wait() {
  std::unique_lock lock(mutex_);
  told_.wait(lock, [&] { return waiting_.empty() && !telling_; });
}

void Completions::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return !waiting_.empty() || closing_; });
    if (waiting_.empty()) return;
    std::function<void()> tell = std::move(waiting_.front());
    waiting_.pop_front();
    telling_ = true;
    lock.unlock();
    tell();
    tell = nullptr;  // what it holds goes here too
    lock.lock();
    telling_ = false;
    told_.notify_all();
  }
}

}  // namespace skerry
