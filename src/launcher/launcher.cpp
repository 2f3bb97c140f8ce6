#include "launcher/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "launcher/process.h"

namespace skerry {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLook{200};  // at what has no event of its own
constexpr std::chrono::seconds kBetweenAttempts{1};
constexpr std::chrono::seconds kPredecessor{10};
constexpr std::chrono::seconds kStoodStill{2};

void Say(const std::string& text) { std::fprintf(stderr, "skerry-launcher: %s\n", text.c_str()); }

std::string TextOf(Slot slot) {
  return slot == Slot::kInstalled ? "what is installed" : "slot " + std::string(SlotName(slot));
}

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    sigaddset(&set, number);
  return set;
}

// Tells one installed program from another that was put in its place.
std::string StampOf(const std::filesystem::path& program) {
  struct stat facts{};
  if (stat(program.c_str(), &facts) != 0) return "none";
  return std::to_string(facts.st_size) + "-" + std::to_string(facts.st_mtim.tv_sec) + "." +
         std::to_string(facts.st_mtim.tv_nsec);
}

// Less than the service manager's own, so that a trial that hangs is ended here first.
std::chrono::microseconds WatchdogOf(const LauncherOptions& options) {
  const char* text = std::getenv("WATCHDOG_USEC");
  const std::int64_t asked = text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
  return asked > 0 ? std::chrono::microseconds(asked) * 2 / 3 : options.watchdog;
}

// What a check has said, as one line without the command's name.
std::string WordsOf(int fd) {
  std::array<char, 400> text{};
  const ssize_t got = read(fd, text.data(), text.size());
  std::string words(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  constexpr std::string_view kName = "skerry health: ";
  if (words.starts_with(kName)) words.erase(0, kName.size());
  return words.substr(0, words.find('\n'));
}

}  // namespace

Launcher::Launcher(LauncherOptions options)
    : options_(std::move(options)),
      releases_(options_.data / "releases"),
      watchdog_(WatchdogOf(options_)) {}

Launcher::~Launcher() {
  if (signals_ >= 0) close(signals_);
  if (lock_ >= 0) close(lock_);
}

bool Launcher::OpenSignals() {
  const sigset_t set = Signals();
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return false;
  signal(SIGPIPE, SIG_IGN);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return signals_ >= 0;
}

bool Launcher::Begin() {
  if (!OpenSignals()) {
    Say(std::string("no signals: ") + std::strerror(errno));
    return false;
  }
  std::error_code error;
  std::filesystem::create_directories(releases_, error);
  if (!error) std::filesystem::permissions(releases_, std::filesystem::perms::owner_all, error);
  const std::filesystem::path file = releases_ / "launcher.lock";
  if (!error) lock_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) {
    Say("cannot use " + releases_.string() + ": " +
        (error ? error.message() : std::strerror(errno)));
    return false;
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    Say(options_.data.string() + " is another launcher's");
    return false;
  }
  WaitForPredecessor();
  LoadState();
  return true;
}

// What a launcher that was killed had started is killed by the kernel, and may still hold the data.
void Launcher::WaitForPredecessor() const {
  const int fd = open((options_.data / "lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const Time until = SteadyClock::now() + kPredecessor;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0 && SteadyClock::now() < until) usleep(20'000);
  close(fd);
}

void Launcher::LoadState() {
  const std::string stamp = StampOf(options_.installed);
  const std::filesystem::path file = StateFile(releases_);
  if (const std::optional<std::string> text = ReadSmallFile(file)) {
    if (auto state = ParseState(*text))
      state_ = std::move(*state);
    else
      Say(file.string() + " is damaged; what is installed runs");
  }
  if (state_.installed == stamp) return;
  if (!state_.installed.empty() && state_.active != Slot::kInstalled)
    Say("another release was installed; it runs instead of " + TextOf(state_.active));
  state_.active = Slot::kInstalled;
  state_.trial.reset();
  state_.attempts = 0;
  state_.installed = stamp;
  Save();
}

bool Launcher::Save() {
  const std::string trouble = ReplaceFile(StateFile(releases_), StateText(state_));
  if (!trouble.empty()) Say(trouble);
  return trouble.empty();
}

// In two steps, so that it is there or done: the state names the request, then the request goes.
void Launcher::TakeRequest() {
  const std::filesystem::path file = RequestFile(releases_);
  const std::optional<std::string> text = ReadSmallFile(file);
  if (!text) return;
  const std::optional<Candidate> request = ParseRequest(*text);
  const bool is_new = request && request->request != state_.handled;
  if (is_new && request->slot != state_.active) {
    const LauncherState before = state_;
    state_.trial = request;
    state_.attempts = 0;
    state_.handled = request->request;
    state_.given_back.reset();
    if (!Save()) {  // asked for again when this has run and ended
      state_ = before;
      return;
    }
    Say("release " + request->version + " is tried, in " + TextOf(request->slot));
  }
  std::error_code ignored;  // it is known by its name when it is seen again
  std::filesystem::remove(file, ignored);
}

std::filesystem::path Launcher::ProgramOf(Slot slot) const {
  if (slot == Slot::kInstalled) return options_.installed;
  return releases_ / SlotName(slot) / "skerry";
}

Slot Launcher::SlotToRun() const {
  if (state_.trial) return state_.trial->slot;
  if (state_.active != Slot::kInstalled && access(ProgramOf(state_.active).c_str(), X_OK) != 0) {
    Say(ProgramOf(state_.active).string() + " cannot be executed; what is installed runs");
    return Slot::kInstalled;
  }
  return state_.active;
}

std::string Launcher::ReleaseText() const {
  if (state_.trial) return "release " + state_.trial->version + " on trial";
  return TextOf(running_.slot);
}

bool Launcher::BeginAttempt() {
  if (!state_.trial) return true;
  if (state_.attempts >= options_.attempts) {  // the last ones ended with this process
    GiveBack("was started " + std::to_string(state_.attempts) +
             " times and was not well for long enough before the machine or the launcher stopped");
    return false;
  }
  ++state_.attempts;
  Save();
  return true;
}

void Launcher::GiveBack(const std::string& reason) {
  Say("release " + state_.trial->version + " " + reason + "; " + TextOf(state_.active) +
      " runs again");
  state_.given_back = GivenBack{*state_.trial, reason};
  state_.trial.reset();
  state_.attempts = 0;
  Save();
}

void Launcher::Commit() {
  const LauncherState before = state_;
  state_.active = state_.trial->slot;
  state_.trial.reset();
  state_.attempts = 0;
  if (!Save()) {  // tried again at the next look
    state_ = before;
    return;
  }
  Say("release " + before.trial->version + " is well and stays, in " + TextOf(state_.active));
  relay_->Tell("STATUS=" + ReleaseText());
}

bool Launcher::Start(Slot slot) {
  relay_->Tell("EXTEND_TIMEOUT_USEC=" +
               std::to_string(std::chrono::microseconds(options_.start).count()));
  running_ = Running{};
  running_.slot = slot;
  running_.again = told_ready_;
  running_.started = running_.heard = looked_ = SteadyClock::now();
  check_.reset();
  checked_ = false;
  ended_.reset();
  running_.process = StartProcess(ProgramOf(slot), options_.arguments,
                                  {{kSlotVariable, std::string(SlotName(slot))},
                                   {"NOTIFY_SOCKET", relay_->address()},
                                   {"WATCHDOG_USEC", std::to_string(watchdog_.count())},
                                   {"WATCHDOG_PID", ""}},
                                  -1);
  if (running_.process < 0) Say(std::string("no process: ") + std::strerror(errno));
  return running_.process >= 0;
}

void Launcher::TakeSignals() {
  signalfd_siginfo one{};
  while (read(signals_, &one, sizeof(one)) == sizeof(one)) {
    const int number = static_cast<int>(one.ssi_signo);
    if (number == SIGCHLD) continue;  // Reap asks
    if (number == SIGTERM || number == SIGINT) stopping_ = true;
    if (running_.process > 0 && !ended_) kill(running_.process, number);
  }
}

void Launcher::TakeWords() {
  for (const std::string& line : relay_->TakeLines(running_.process)) {
    if (line == "READY=1" && !running_.ready) {
      running_.ready = told_ready_ = true;
      running_.ready_at = running_.heard = SteadyClock::now();
      relay_->Tell("READY=1\nSTATUS=" + ReleaseText());
    } else if (line == "WATCHDOG=1") {
      running_.heard = SteadyClock::now();
      running_.spoke = running_.ready;
      relay_->Tell(line);
    } else if (line == "STOPPING=1") {  // by itself: another one starts in its place
      relay_->Tell(stopping_ ? line : "WATCHDOG=1");
    }
  }
}

void Launcher::Reap() {
  int status = 0;
  while (true) {
    const pid_t done = waitpid(-1, &status, WNOHANG);
    if (done <= 0) return;
    if (done == running_.process) ended_ = status;
    if (check_ && done == check_->process) EndCheck(status);
  }
}

// While nothing that is up can speak for itself, the manager hears of us.
void Launcher::FeedManager(Time now) {
  const bool silent =
      running_.again && !running_.ready && now - running_.started < options_.start + options_.stop;
  if (!silent || now - fed_ < watchdog_ / 2) return;
  fed_ = now;
  relay_->Tell("WATCHDOG=1");
}

void Launcher::FailTrial(const std::string& reason, int signal_number) {
  running_.failure = reason;
  running_.kill_at = SteadyClock::now() + options_.stop;
  kill(running_.process, signal_number);
  relay_->Tell("WATCHDOG=1");
}

void Launcher::StartCheck(bool last) {
  std::array<int, 2> words{};
  if (pipe2(words.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
  const pid_t process =
      StartProcess(ProgramOf(running_.slot),
                   {"health", "--data", options_.data.string(), "--scores"}, {}, words[1]);
  close(words[1]);
  if (process < 0) {
    close(words[0]);
    return;
  }
  check_ = Check{process, words[0], SteadyClock::now(), last};
}

void Launcher::EndCheck(int wait_status) {
  const Check done = *check_;
  check_.reset();
  const std::string words = WordsOf(done.words);
  close(done.words);
  if (!state_.trial || ended_ || stopping_ || !running_.failure.empty()) return;
  if (wait_status != 0) {
    FailTrial("did not pass its check: " + (words.empty() ? EndingText(wait_status) : words),
              SIGTERM);
    return;
  }
  checked_ = true;
  if (done.last) Commit();
}

void Launcher::LookAfterTrial(Time now) {
  if (!running_.ready) {
    if (now - running_.started >= options_.start)
      FailTrial("was not ready after " + std::to_string(options_.start.count()) + " s", SIGKILL);
    return;
  }
  // It speaks twice in that time, and may miss a turn.
  if (now - running_.heard >= watchdog_ * 5 / 4) {
    FailTrial(
        "did not say for " +
            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(watchdog_).count()) +
            " s that it is well",
        SIGKILL);
    return;
  }
  if (check_) {
    if (now - check_->started >= options_.check) kill(check_->process, SIGKILL);
    return;
  }
  if (!checked_)
    StartCheck(false);
  else if (running_.spoke && now - running_.ready_at >= options_.trial)
    StartCheck(true);
}

void Launcher::LookAfter() {
  const Time now = SteadyClock::now();
  // A machine that stood still says nothing of the release.
  const auto still = now - looked_;
  looked_ = now;
  if (still > kStoodStill) {
    running_.heard += still;
    running_.started += still;
    if (check_) check_->started += still;
  }
  FeedManager(now);
  if (ended_ || stopping_) return;
  if (!running_.failure.empty()) {
    if (now >= running_.kill_at) kill(running_.process, SIGKILL);
    return;
  }
  if (state_.trial) LookAfterTrial(now);
}

void Launcher::Wait() {
  std::array<pollfd, 2> events{{{signals_, POLLIN, 0}, {relay_->fd(), POLLIN, 0}}};
  poll(events.data(), events.size(), static_cast<int>(kLook.count()));
}

int Launcher::Supervise() {
  while (!ended_) {
    Wait();
    TakeSignals();
    TakeWords();  // before its end: what it said last counts
    Reap();
    LookAfter();
  }
  if (check_) {
    kill(check_->process, SIGKILL);
    waitpid(check_->process, nullptr, 0);
    close(check_->words);
    check_.reset();
  }
  return *ended_;
}

bool Launcher::Pause(std::chrono::seconds time) {
  const Time until = SteadyClock::now() + time;
  while (!stopping_ && SteadyClock::now() < until) {
    Wait();
    TakeSignals();
    FeedManager(SteadyClock::now());
  }
  return !stopping_;
}

int Launcher::Run() {
  if (!Begin()) return 1;
  std::string trouble;
  NotifyRelay relay(trouble);
  relay_ = &relay;
  if (!trouble.empty()) Say(trouble);
  if (!trouble.empty()) return 1;
  while (true) {
    TakeRequest();
    if (!BeginAttempt()) continue;
    if (!Start(SlotToRun())) return 1;
    const int status = Supervise();
    if (stopping_) {
      if (state_.trial && !running_.failure.empty()) GiveBack(running_.failure);
      if (state_.trial) {  // that it ended was not its fault
        --state_.attempts;
        Save();
      }
      EndAs(status);
    }
    if (!state_.trial && access(RequestFile(releases_).c_str(), F_OK) == 0) continue;
    if (!state_.trial) EndAs(status);
    const std::string& failure = running_.failure;
    if (!failure.empty()) {
      GiveBack(failure);
    } else if (state_.attempts >= options_.attempts) {
      GiveBack(EndingText(status) + " before it was well for " +
               std::to_string(options_.trial.count()) + " s, as often as it was started (" +
               std::to_string(state_.attempts) + ")");
    } else {
      Say("release " + state_.trial->version + " " + EndingText(status));
    }
    if (state_.trial && !Pause(kBetweenAttempts)) return 0;
  }
}

namespace {

bool TakeSeconds(std::string_view text, std::chrono::seconds& into) {
  char* end = nullptr;
  const std::string copy(text);
  const long number = std::strtol(copy.c_str(), &end, 10);
  constexpr long kMost = 86'400;
  if (copy.empty() || *end != '\0' || number < 1 || number > kMost) return false;
  into = std::chrono::seconds(number);
  return true;
}

bool TakeOption(std::string_view name, std::string_view value, LauncherOptions& options) {
  std::chrono::seconds attempts{0};
  if (name == "--installed") options.installed = value;
  if (name == "--installed") return !value.empty();
  if (name == "--trial-seconds") return TakeSeconds(value, options.trial);
  if (name == "--start-seconds") return TakeSeconds(value, options.start);
  if (name == "--watchdog-seconds") return TakeSeconds(value, options.watchdog);
  if (name != "--attempts" || !TakeSeconds(value, attempts)) return false;
  options.attempts = static_cast<unsigned>(attempts.count());
  return true;
}

std::filesystem::path DataOf(const std::vector<std::string>& arguments) {
  constexpr std::string_view kName = "--data";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (word == kName && i + 1 < arguments.size()) return arguments[i + 1];
    if (word.starts_with("--data=")) return std::string(word.substr(kName.size() + 1));
  }
  return {};
}

}  // namespace

std::optional<LauncherOptions> ParseLauncherOptions(int argc, char** argv) {
  LauncherOptions options;
  int i = 1;
  for (; i + 1 < argc && std::string_view(argv[i]).starts_with("--"); i += 2) {
    if (TakeOption(argv[i], argv[i + 1], options)) continue;
    Say(std::string("wrong option: ") + argv[i] + " " + argv[i + 1]);
    return std::nullopt;
  }
  options.arguments.assign(argv + std::min(i, argc), argv + argc);
  options.data = DataOf(options.arguments);
  if (options.arguments.empty() || options.arguments.front() != "site" || options.data.empty()) {
    Say("run skerry as 'skerry-launcher [--trial-seconds N] [--attempts N] [--start-seconds N] "
        "[--watchdog-seconds N] [--installed FILE] site --data DIR ...'");
    return std::nullopt;
  }
  std::error_code error;
  options.data = std::filesystem::absolute(options.data, error);
  if (options.installed.empty()) {
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    options.installed = self.parent_path() / "skerry";
  }
  return options;
}

}  // namespace skerry
