#include "cli/demo/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "model/smoke.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::chrono::milliseconds kPoll{5};

// Only async-signal-safe calls: other threads of the demo may hold locks at the fork.
[[noreturn]] void BecomeSkerry(const char* program, const char* directory, char* const* argv,
                               int out, int err) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  // The link's sockets are not to live on in a child: a reset would not reach their peers.
  close_range(3, ~0U, 0);
  if (chdir(directory) == 0) execv(program, argv);
  _exit(127);
}

Result<pid_t> Spawn(const std::vector<std::string>& args, const std::filesystem::path& directory,
                    int out, int err) {
  const std::string program = SelfExecutable().string();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) BecomeSkerry(program.c_str(), directory.c_str(), argv.data(), out, err);
  if (pid < 0) return Fail(ErrorCode::kInternal, "fork: {}", std::strerror(errno));
  return pid;
}

Result<int> OpenLog(const std::filesystem::path& log) {
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0)
    return Fail(ErrorCode::kInternal, "opening {}: {}", log.string(), std::strerror(errno));
  return fd;
}

std::string LastLine(const std::filesystem::path& log) {
  auto text = ReadFile(log, 64U << 20U);
  if (!text) return "(no log)";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return text->substr(text->rfind('\n') + 1);
}

}  // namespace

Result<DemoChild> DemoChild::Start(const std::vector<std::string>& args,
                                   const std::filesystem::path& directory, std::string_view log) {
  SKERRY_ASSIGN_OR_RETURN(const int fd, OpenLog(directory / log));
  auto pid = Spawn(args, directory, fd, fd);
  close(fd);
  if (!pid) return Propagate(std::move(pid));
  return DemoChild(*pid);
}

DemoChild::DemoChild(DemoChild&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
DemoChild& DemoChild::operator=(DemoChild&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}
DemoChild::~DemoChild() { Stop(std::chrono::seconds(10)); }

bool DemoChild::running() {
  if (pid_ < 0) return false;
  if (waitpid(pid_, nullptr, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

void DemoChild::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void DemoChild::Stop(std::chrono::milliseconds patience) {
  if (pid_ < 0) return;
  kill(pid_, SIGTERM);
  const auto until = std::chrono::steady_clock::now() + patience;
  while (running() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(kPoll);
  Kill();
}

std::uint64_t DemoChild::ResidentBytes() const {
  const auto text = ReadFile(fmt::format("/proc/{}/statm", pid_), 4'096);
  if (pid_ < 0 || !text) return 0;
  const std::size_t space = text->find(' ');
  const auto pages = std::strtoull(text->c_str() + space, nullptr, 10);
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Result<std::string> RunSkerry(const std::vector<std::string>& args,
                              const std::filesystem::path& directory, std::string_view log) {
  SKERRY_ASSIGN_OR_RETURN(const int err, OpenLog(directory / log));
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
    close(err);
    return Fail(ErrorCode::kInternal, "pipe: {}", std::strerror(errno));
  }
  auto pid = Spawn(args, directory, pipe_ends[1], err);
  close(pipe_ends[1]);
  close(err);
  std::string out;
  char buffer[4'096];
  ssize_t got = 0;
  while (pid && (got = read(pipe_ends[0], buffer, sizeof buffer)) != 0) {
    if (got > 0) out.append(buffer, static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) break;
  }
  close(pipe_ends[0]);
  if (!pid) return Propagate(std::move(pid));
  int status = 0;
  waitpid(*pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return Fail(ErrorCode::kFailedPrecondition, "{}", LastLine(directory / log));
  return out;
}

}  // namespace skerry
