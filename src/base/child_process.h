// Child processes with their output in a file, started by posix_spawn, which neither copies this
// process' memory map nor runs the fork handlers of the libraries in it.
#pragma once

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

// For the child to call when it starts: the kernel sends it `signal` when the thread that started
// it ends (Linux, PR_SET_PDEATHSIG), so also after kill -9 of the parent. kFailedPrecondition when
// the parent is gone already.
Status EndWithParent(int signal = SIGKILL);

// Runs `program` with `arguments` and blocks until it has ended; stdin is empty, stdout and stderr
// are appended to `log`. It and what it starts are a process group, which a Ctrl-C on the terminal
// does not reach, and of which nothing is left on return. Asks `go_on` every 100 ms on this thread;
// once it says no, SIGTERM goes to the group, SIGKILL after `grace`, and the result is
// kUnavailable. Else OK for exit status 0, kInternal with how it ended otherwise.
Status RunProcessGroup(const std::filesystem::path& program,
                       const std::vector<std::string>& arguments, const std::filesystem::path& log,
                       const std::function<bool()>& go_on, std::chrono::milliseconds grace);

}  // namespace skerry
