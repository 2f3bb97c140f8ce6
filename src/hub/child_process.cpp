#include "hub/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skerry {
namespace {

constexpr int kCannotStart = 127;

// Between fork and exec only async-signal-safe calls are allowed.
[[noreturn]] void BecomeChild(const char* program, char* const* arguments, int log_fd, int null_fd,
                              pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kCannotStart);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
      dup2(log_fd, STDERR_FILENO) < 0)
    _exit(kCannotStart);
  execv(program, arguments);
  _exit(kCannotStart);
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotStart) return "could not be started";
  return fmt::format("ended with exit status {}", WEXITSTATUS(status));
}

}  // namespace

Result<pid_t> ChildProcess::Start(const std::filesystem::path& program,
                                  const std::vector<std::string>& arguments, int log_fd) {
  std::vector<std::string> texts = {program.string()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd < 0) return Fail(ErrorCode::kInternal, "opening /dev/null: {}", strerror(errno));

  const std::lock_guard lock(mutex_);
  if (stopped_) {
    close(null_fd);
    return Fail(ErrorCode::kUnavailable, "the hub is stopping");
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(texts[0].c_str(), pointers.data(), log_fd, null_fd, parent);
  const int error = errno;
  close(null_fd);
  if (pid < 0)
    return Fail(ErrorCode::kResourceExhausted, "starting {}: {}", program.string(),
                strerror(error));
  pid_ = pid;
  return pid;
}

Status ChildProcess::Run(const std::filesystem::path& program,
                         const std::vector<std::string>& arguments,
                         const std::filesystem::path& log) {
  const int log_fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0)
    return Fail(ErrorCode::kInternal, "opening {}: {}", log.string(), strerror(errno));
  const auto pid = Start(program, arguments, log_fd);
  close(log_fd);
  if (!pid) return tl::make_unexpected(pid.error());

  // Wait without reaping first: as long as it is not reaped, Stop may signal the number.
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  const std::lock_guard lock(mutex_);
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  if (stopped_) return Fail(ErrorCode::kUnavailable, "the hub stopped during the run");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Fail(ErrorCode::kInternal, "the process {}", HowItEnded(status));
}

void ChildProcess::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (pid_ > 0) kill(pid_, SIGKILL);
}

}  // namespace skerry
