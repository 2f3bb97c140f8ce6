// One child process at a time, with its output in a file.
//
// Run blocks one thread; Stop may come from another and makes Run return soon. Started by
// posix_spawn, which neither copies this process' memory map nor runs the fork handlers of the
// libraries in it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

// For the child to call when it starts: the kernel kills it when the thread that started it ends
// (Linux, PR_SET_PDEATHSIG), so also after kill -9 of the parent. kFailedPrecondition when the
// parent is gone already.
Status EndWithParent();

class ChildProcess {
 public:
  // Runs `program` with `arguments`; stdin is empty, stdout and stderr are appended to `log`.
  // Returns when it has ended: OK for exit status 0, kInternal with how it ended otherwise,
  // kUnavailable when it was stopped, before or meanwhile.
  Status Run(const std::filesystem::path& program, const std::vector<std::string>& arguments,
             const std::filesystem::path& log);
  // As Run, for a program that starts others: they are a process group, which a Ctrl-C on the
  // terminal does not reach, and of which nothing is left on return. Asks `go_on` every 100 ms on
  // this thread; once it says no, SIGTERM goes to the group, SIGKILL after `grace`, and the result
  // is kUnavailable.
  Status RunGroup(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                  const std::filesystem::path& log, const std::function<bool()>& go_on,
                  std::chrono::milliseconds grace);
  // Kills the child; every later Run is refused. Repeats are harmless.
  void Stop();

 private:
  enum class Group { kOfParent, kOwn };
  Result<pid_t> Start(const std::filesystem::path& program,
                      const std::vector<std::string>& arguments, const std::filesystem::path& log,
                      Group group);
  Status Reap(pid_t pid);

  std::mutex mutex_;  // guards what follows
  pid_t pid_ = 0;     // 0: none; else started and not reaped, so the number is still its own
  bool stopped_ = false;
};

}  // namespace skerry
