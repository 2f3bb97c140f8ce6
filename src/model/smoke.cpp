#include "model/smoke.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "model/package.h"
#include "model/row_batch.h"
#include "model/scorer.h"

namespace skerry {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::size_t kReasonBytes = 4096;  // of the child's stderr
constexpr std::size_t kSmokeRows = 64;
constexpr timespec kNap = {0, 1'000'000};

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { Close(); }
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

void LimitTo(__rlimit_resource resource, rlim_t soft, rlim_t hard) {
  const rlimit limit = {soft, hard};
  setrlimit(resource, &limit);
}

// Between fork and exec: only calls that are safe there (signal-safety(7)), since other threads of
// the parent may have held locks.
[[noreturn]] void RunChild(const char* executable, char* const* arguments, int reason_fd,
                           const SmokeLimits& limits) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null_fd = open("/dev/null", O_RDWR);
  if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
      dup2(reason_fd, STDERR_FILENO) < 0)
    _exit(127);
  close_range(STDERR_FILENO + 1, ~0U, 0);
  const auto cpu_s = static_cast<rlim_t>(limits.cpu.count());
  LimitTo(RLIMIT_CPU, cpu_s, cpu_s + 1);
  LimitTo(RLIMIT_CORE, 0, 0);
  if (limits.memory_bytes > 0) LimitTo(RLIMIT_AS, limits.memory_bytes, limits.memory_bytes);
  execv(executable, arguments);
  constexpr std::string_view kFailed = "cannot be started\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kFailed.data(), kFailed.size());
  _exit(127);
}

int MillisecondsUntil(SteadyClock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
  return static_cast<int>(std::max<std::int64_t>(0, left.count()));
}

// The child's stderr until it ends or the deadline comes.
void ReadReason(int fd, SteadyClock::time_point deadline, std::string& reason) {
  std::array<char, 512> buffer{};
  for (;;) {
    pollfd waiting = {fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    const std::size_t room = kReasonBytes - reason.size();
    reason.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
  }
}

// The wait status; kills the child at the deadline and says so in `killed`.
int Reap(pid_t child, SteadyClock::time_point deadline, bool& killed) {
  int status = 0;
  for (;;) {
    const pid_t done = waitpid(child, &status, killed ? 0 : WNOHANG);
    if (done == child || (done < 0 && errno != EINTR)) return status;
    if (killed) continue;
    if (SteadyClock::now() >= deadline) {
      kill(child, SIGKILL);
      killed = true;
      continue;
    }
    nanosleep(&kNap, nullptr);
  }
}

Status Verdict(int status, bool killed, std::string reason, const SmokeLimits& limits,
               const std::filesystem::path& package) {
  while (!reason.empty() && reason.back() == '\n') reason.pop_back();
  const std::string what = fmt::format("smoke run of {}", package.string());
  const std::string said = reason.empty() ? "" : fmt::format(" ({})", reason);
  if (killed)
    return Fail(ErrorCode::kInvalidArgument, "{} was not done after {} ms and was stopped{}", what,
                limits.wall.count(), said);
  if (WIFSIGNALED(status)) {
    const int signal_number = WTERMSIG(status);
    if (signal_number == SIGXCPU)
      return Fail(ErrorCode::kInvalidArgument, "{} used more than {} s of CPU time{}", what,
                  limits.cpu.count(), said);
    return Fail(ErrorCode::kInvalidArgument, "{} died of signal {} ({}){}", what, signal_number,
                strsignal(signal_number), said);
  }
  if (WEXITSTATUS(status) == 0) return {};
  if (WEXITSTATUS(status) == 127)
    return Fail(ErrorCode::kInternal, "{}: the child process {}", what, reason);
  return Fail(ErrorCode::kInvalidArgument, "{} failed: {}", what,
              reason.empty() ? fmt::format("exit status {}", WEXITSTATUS(status)) : reason);
}

Status LoadAndScore(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    SKERRY_ASSIGN_OR_RETURN(const auto bare, LoadBareOnnx(path, "smoke"));
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(auto package, LoadPackage(path, {}));
  return ScoreSampleRows(std::move(package));
}

}  // namespace

Status ScoreSampleRows(std::shared_ptr<const ModelPackage> package) {
  RowBatch batch;
  batch.rows = kSmokeRows;
  for (std::size_t row = 0; row < kSmokeRows; ++row)
    for (const FeatureReference& feature : package->reference.features)
      batch.features.push_back(static_cast<float>(row % 2 == 0 ? feature.min : feature.max));
  batch.package = std::move(package);
  return ScoreRows(batch);
}

Status SmokeRunInChild(const std::filesystem::path& self_executable,
                       const std::filesystem::path& package, const SmokeLimits& limits) {
  std::array<int, 2> pipe_fds{};
  if (pipe2(pipe_fds.data(), O_CLOEXEC) != 0)
    return Fail(ErrorCode::kInternal, "smoke run: no pipe: {}", std::strerror(errno));
  FileDescriptor reading(pipe_fds[0]);
  FileDescriptor writing(pipe_fds[1]);
  std::string executable = self_executable.string();
  std::string command = "__smoke";
  std::string path = package.string();
  const std::array<char*, 4> arguments = {executable.data(), command.data(), path.data(), nullptr};
  const auto deadline = SteadyClock::now() + limits.wall;
  // Not fork(): its handlers would lock every arena of every allocator that a library brought
  // along, for a child that only starts another program.
  const pid_t child = _Fork();
  if (child < 0)
    return Fail(ErrorCode::kInternal, "smoke run: no child process: {}", std::strerror(errno));
  if (child == 0) RunChild(executable.c_str(), arguments.data(), writing.get(), limits);
  writing.Close();
  std::string reason;
  ReadReason(reading.get(), deadline, reason);
  bool killed = false;
  const int status = Reap(child, deadline, killed);
  return Verdict(status, killed, std::move(reason), limits, package);
}

int SmokeMain(const std::filesystem::path& package) {
  // The model gets to write no file. Here and not before exec, since a sanitizer's or a profiler's
  // runtime writes at its start; ignored as a signal, since it may write at the end as well.
  signal(SIGXFSZ, SIG_IGN);
  LimitTo(RLIMIT_FSIZE, 0, 0);
  const Status status = LoadAndScore(package);
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.error().message().c_str());
  return 1;
}

std::filesystem::path SelfExecutable() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored);
}

}  // namespace skerry
