#include "launcher/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace skerry {
namespace {

[[noreturn]] void Execute(const std::filesystem::path& program, char* const* arguments,
                          const std::vector<Environment>& environment, int stderr_fd,
                          pid_t launcher) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(127);  // gone before the line above
  for (const int number : {SIGPIPE, SIGHUP, SIGINT, SIGTERM}) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (stderr_fd >= 0) dup2(stderr_fd, STDERR_FILENO);
  for (const Environment& variable : environment) {
    if (variable.value.empty())
      unsetenv(variable.name.c_str());
    else
      setenv(variable.name.c_str(), variable.value.c_str(), 1);
  }
  execv(program.c_str(), arguments);
  _exit(127);
}

}  // namespace

pid_t StartProcess(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                   const std::vector<Environment>& environment, int stderr_fd) {
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t launcher = getpid();
  const pid_t process = fork();
  if (process == 0) Execute(program, pointers.data(), environment, stderr_fd, launcher);
  return process;
}

std::string EndingText(int wait_status) {
  if (WIFSIGNALED(wait_status))
    return "was ended by signal " + std::to_string(WTERMSIG(wait_status)) + " (" +
           strsignal(WTERMSIG(wait_status)) + ")";
  if (WEXITSTATUS(wait_status) == 127) return "could not be executed (exit status 127)";
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

void EndAs(int wait_status) {
  if (!WIFSIGNALED(wait_status)) _exit(WEXITSTATUS(wait_status));
  const rlimit no_core{0, 0};  // the process has left its own
  setrlimit(RLIMIT_CORE, &no_core);
  const int number = WTERMSIG(wait_status);
  signal(number, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
  raise(number);
  _exit(128 + number);
}

}  // namespace skerry
