#include "base/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace skerry {
namespace {

// In the child's environment: the process that started it, which in a container may be process 1.
constexpr const char* kParent = "SKERRY_PARENT_PID";

// File actions and attributes that are freed at the end.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  // 0, or the number of what went wrong.
  int Fill(int log_fd) {
    sigset_t none;
    sigemptyset(&none);
    for (const int error :
         {posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0),
          posix_spawn_file_actions_adddup2(&actions_, log_fd, STDOUT_FILENO),
          posix_spawn_file_actions_adddup2(&actions_, log_fd, STDERR_FILENO),
          posix_spawnattr_setsigmask(&attributes_, &none),
          posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP)}) {
      if (error != 0) return error;
    }
    return 0;
  }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
  return fmt::format("ended with exit status {}", WEXITSTATUS(status));
}

Result<pid_t> StartGroup(const std::filesystem::path& program,
                         const std::vector<std::string>& arguments,
                         const std::filesystem::path& log) {
  std::vector<std::string> texts = {program.string()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);

  const std::string parent_is = fmt::format("{}=", kParent);
  const std::string parent = fmt::format("{}{}", parent_is, getpid());
  std::vector<const char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!std::string_view(*variable).starts_with(parent_is)) environment.push_back(*variable);
  environment.push_back(parent.c_str());
  environment.push_back(nullptr);

  SpawnPlan plan;
  const int log_fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0)
    return Fail(ErrorCode::kInternal, "opening {}: {}", log.string(), strerror(errno));
  pid_t pid = 0;
  int error = plan.Fill(log_fd);
  if (error == 0)
    error = posix_spawn(&pid, texts[0].c_str(), plan.actions(), plan.attributes(), pointers.data(),
                        const_cast<char**>(environment.data()));
  close(log_fd);
  if (error != 0)
    return Fail(ErrorCode::kInternal, "{} could not be started: {}", program.string(),
                strerror(error));
  return pid;
}

}  // namespace

Status EndWithParent(int signal) {
  if (prctl(PR_SET_PDEATHSIG, signal) != 0)
    return Fail(ErrorCode::kInternal, "asking to end with the parent: {}", strerror(errno));
  // It may have died before the call; orphans are given to process 1 or to a reaper.
  const char* const named = std::getenv(kParent);
  const bool gone = named == nullptr ? getppid() == 1 : getppid() != std::atoi(named);
  unsetenv(kParent);  // whom this process starts has another parent
  if (gone) return Fail(ErrorCode::kFailedPrecondition, "the parent process is gone");
  return {};
}

Status RunProcessGroup(const std::filesystem::path& program,
                       const std::vector<std::string>& arguments, const std::filesystem::path& log,
                       const std::function<bool()>& go_on, std::chrono::milliseconds grace) {
  constexpr std::chrono::milliseconds kPoll{100};
  SKERRY_ASSIGN_OR_RETURN(const pid_t pid, StartGroup(program, arguments, log));
  bool asked_to_end = false;
  std::chrono::steady_clock::time_point give_up{};
  // Not reaped in the loop, so that the number stays that of the group.
  while (true) {
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG);
    if (info.si_pid == pid) break;
    const auto now = std::chrono::steady_clock::now();
    if (asked_to_end && now >= give_up) break;
    if (!asked_to_end && !go_on()) {
      asked_to_end = true;
      give_up = now + grace;
      kill(-pid, SIGTERM);
    }
    std::this_thread::sleep_for(kPoll);
  }
  kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (asked_to_end) return Fail(ErrorCode::kUnavailable, "the process was stopped");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Fail(ErrorCode::kInternal, "the process {}", HowItEnded(status));
}

}  // namespace skerry
