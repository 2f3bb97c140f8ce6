// The last rows of entities, of every served model with windows (docs/formats/model-package.md),
// and their way over a restart.
//
// Role: owned by the ModelRepository, which asks it for the state of each version that it serves.
// Versions of one name that keep the same rows share a state, so that a new one goes on with it.
// With a directory each state has a file there, read when the model is loaded and replaced as a
// whole (temporary file, fsync, rename) by a thread of its own, kWindowSave after kWindowSave where
// rows came, or ten times as long as a saving takes where that is more; and by Stop. A process that
// is killed loses the rows since then, and nothing else. Without a directory all of it ends with
// the process. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "model/schema.h"
#include "model/window_state.h"

namespace skerry {

class WindowStore {
 public:
  WindowStore() = default;
  WindowStore(const WindowStore&) = delete;
  WindowStore& operator=(const WindowStore&) = delete;
  ~WindowStore();  // Stop()

  // Makes the directory and begins to save; before the first StateOf, once.
  Status KeepIn(const std::filesystem::path& directory);
  // That of a version of the model with that name; null where its schema has no windows. One that
  // is new begins with what the directory has; a file that cannot be read is told in the log.
  std::shared_ptr<WindowState> StateOf(const std::string& model, const ModelSchema& schema);
  // Saves what changed. The first error; each is counted, too, and the other models are saved.
  Status Save();
  // Ends the thread, and saves. To be called when nothing is scored any more; repeats are harmless.
  Status Stop();
  // Counts there what StateOf gives from now on; the registry outlives this.
  void CountIn(MetricRegistry& registry);

 private:
  struct Kept {
    std::string model;
    std::filesystem::path file;  // its name
    std::shared_ptr<WindowState> state;
    std::uint64_t saved = 0;      // of WindowState::taken
    Counter* failures = nullptr;  // skerry_window_saves_failed_total{model}
  };

  void SaveUntilStopped();
  void Count(Kept& kept) const;  // under mutex_
  Status SaveOne(const Kept& kept, std::uint64_t& saved) const;

  std::mutex save_mutex_;  // held by a saving; before mutex_
  std::mutex mutex_;       // guards what follows
  std::vector<Kept> kept_{};
  MetricRegistry* registry_ = nullptr;
  bool stopped_ = false;
  std::condition_variable wake_;
  std::filesystem::path directory_{};  // empty: nothing is saved; does not change after KeepIn
  std::thread thread_;
};

}  // namespace skerry
