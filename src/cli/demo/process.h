// Child processes of the demo: the same executable with other arguments. Each ends with its parent
// (PR_SET_PDEATHSIG), whatever ends that one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// A running child that is stopped (SIGTERM, then SIGKILL) when the object goes. Movable; one
// thread.
class DemoChild {
 public:
  // `args` without the program's name. Runs in `directory`, where stdout and stderr are appended to
  // the file `log`.
  static Result<DemoChild> Start(const std::vector<std::string>& args,
                                 const std::filesystem::path& directory, std::string_view log);
  DemoChild() = default;
  DemoChild(DemoChild&& other) noexcept;
  DemoChild& operator=(DemoChild&& other) noexcept;
  ~DemoChild();

  pid_t pid() const { return pid_; }
  bool running();
  void Kill();                                    // SIGKILL, and waits
  void Stop(std::chrono::milliseconds patience);  // SIGTERM, waits, then SIGKILL
  std::uint64_t ResidentBytes() const;            // 0 when it is gone

 private:
  explicit DemoChild(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

// Runs to the end in `directory` and returns what it printed to stdout; stderr goes to the file
// `log` there. A non-zero exit status is kFailedPrecondition with the last line of stderr.
Result<std::string> RunSkerry(const std::vector<std::string>& args,
                              const std::filesystem::path& directory, std::string_view log);

}  // namespace skerry
