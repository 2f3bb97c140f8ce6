// The threads that handlers which may block run on. Internal to the servers (http, rpc).
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <utility>

namespace skerry::http_detail {

// Bounded: at most `max_waiting` tasks wait for a thread. Thread-safe.
class HandlerPool {
 public:
  HandlerPool(std::size_t threads, std::size_t max_waiting)
      : max_waiting_(max_waiting), threads_(threads) {}

  // False when too many are waiting; `task` was not taken then.
  template <typename Task>
  bool Post(Task&& task) {
    if (waiting_.fetch_add(1, std::memory_order_relaxed) >= max_waiting_) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    boost::asio::post(threads_, [this, run = std::forward<Task>(task)]() mutable {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      run();
    });
    return true;
  }

  // Runs what was posted, then ends the threads.
  void Join() { threads_.join(); }

 private:
  const std::size_t max_waiting_;
  std::atomic<std::size_t> waiting_{0};
  boost::asio::thread_pool threads_;
};

}  // namespace skerry::http_detail
