// Where a handler waits for the network. Internal to http.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"

namespace skerry::http_detail {

// One piece of an answer at a time: the handler gives it to the loop and waits here until the loop
// says how it fared. Wait is the handler's, Done the loop's.
class AnswerGate {
 public:
  Status Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return status_.has_value(); });
    return *std::exchange(status_, std::nullopt);
  }
  void Done(Status status) {
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
    done_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<Status> status_;
};

}  // namespace skerry::http_detail
