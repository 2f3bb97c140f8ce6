// A child process of the launcher: started, heard on stderr where that is wanted, ended.
//
// Plain POSIX; the launcher has one thread, so fork is safe. The kernel kills a child whose
// launcher has gone (PR_SET_PDEATHSIG): what it holds on the disk is safe from that.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace skerry {

struct Environment {  // an empty value takes the variable away
  std::string name, value;
};

// -1 and errno where there is no process. `stderr_fd` -1: that of the launcher. What cannot be
// executed ends with status 127.
pid_t StartProcess(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                   const std::vector<Environment>& environment, int stderr_fd);

// "exited with status 3", "was ended by signal 9 (Killed)".
std::string EndingText(int wait_status);

// Ends this process as another has ended: the same status, or the same signal.
[[noreturn]] void EndAs(int wait_status);

}  // namespace skerry
