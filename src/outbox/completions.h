// Tells submitters what became of their rows, in the order of the commits, beside the commit that
// follows: waking many who wait takes as long as half a commit. Internal.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace skerry {

class Completions {
 public:
  Completions();
  // After everything has been told.
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  // Runs `tell` once: at once when it tells few and nobody is being told, and otherwise on the
  // thread, after those before it. Never two at a time. Waits while kGroupsAhead are waiting, so
  // that what they hold stays bounded. From one thread.
  void Tell(std::size_t told, std::function<void()> tell);
  // Waits until all have been told.
  void Wait();

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;               // the thread
  std::condition_variable told_;               // those who wait for it
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_, as what follows
  bool telling_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace skerry
