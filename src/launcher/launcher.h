// Runs a site's skerry out of one of two slots, and goes back by itself from a release that does
// not work.
//
// Role: the whole of skerry-launcher. It starts the active slot's program, or what the site has
// asked for as a trial; passes signals on to it, and its words on to the service manager; and ends
// as it has ended. A trial is counted on the disk before each start. It is good when the program
// says READY=1, scores when asked (`skerry health --data DIR --scores`), keeps its watchdog fed for
// `trial` (once at least), and scores again: then its slot is the active one. It failed when it
// hangs, is not ready in time or does not score; or has ended `attempts` times: then what ran
// before is started again and the reason is kept. Every step is one file replaced as a whole
// (slots.h), so a power cut between any two leaves something that is gone on with.
//
// It knows nothing of what it runs and is linked with the C library alone, so that it works where a
// release does not. One thread. docs/adr/0030-two-slots.md.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/notify_relay.h"
#include "launcher/slots.h"

namespace skerry {

struct LauncherOptions {
  std::filesystem::path data;          // of the site; the slots are in `releases` below it
  std::filesystem::path installed;     // the program that the operator has installed
  std::vector<std::string> arguments;  // of skerry: "site", "--data", ...
  unsigned attempts = 3;
  std::chrono::seconds trial{120};
  std::chrono::seconds start{300};    // until READY=1, of a trial and of what is gone back to
  std::chrono::seconds watchdog{60};  // two thirds of the service manager's, where it has one
  std::chrono::seconds check{60};     // for one check
  std::chrono::seconds stop{30};      // of a trial that failed, until it is killed
};

class Launcher {
 public:
  explicit Launcher(LauncherOptions options);
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  ~Launcher();

  // Ends this process as skerry has ended; 1 when it cannot begin.
  int Run();

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct Running {  // what was started last
    pid_t process = -1;
    Slot slot = Slot::kInstalled;
    bool ready = false;
    bool spoke = false;  // WATCHDOG=1 since
    bool again = false;  // the service manager takes us for up already
    Time started, ready_at, heard;
    std::string failure;  // why the trial is being ended; "" while all is well
    Time kill_at;         // with a failure
  };
  struct Check {  // `skerry health` under way
    pid_t process = -1;
    int words = -1;  // its stderr
    Time started;
    bool last = false;  // the one at the end of the trial
  };

  bool Begin();
  bool OpenSignals();
  void WaitForPredecessor() const;
  void LoadState();
  // Whether it was stored.
  bool Save();
  void TakeRequest();
  bool BeginAttempt();
  void GiveBack(const std::string& reason);
  void Commit();
  Slot SlotToRun() const;
  std::filesystem::path ProgramOf(Slot slot) const;
  std::string ReleaseText() const;
  bool Start(Slot slot);

  // Until the process has ended: its wait status.
  int Supervise();
  void Wait();
  void TakeSignals();
  void TakeWords();
  void Reap();
  void LookAfter();
  void LookAfterTrial(Time now);
  void FailTrial(const std::string& reason, int signal_number);
  void StartCheck(bool last);
  void EndCheck(int wait_status);
  void FeedManager(Time now);
  // False when we are to end meanwhile.
  bool Pause(std::chrono::seconds time);

  const LauncherOptions options_;
  const std::filesystem::path releases_;
  NotifyRelay* relay_ = nullptr;  // of Run
  std::chrono::microseconds watchdog_;
  int lock_ = -1;
  int signals_ = -1;
  LauncherState state_;
  Running running_;
  std::optional<Check> check_;
  std::optional<int> ended_;  // how the process has
  bool checked_ = false;      // once since it was ready
  bool told_ready_ = false;
  bool stopping_ = false;
  Time fed_, looked_;
};

// Of the command line; none, with a sentence on stderr, when it is wrong.
std::optional<LauncherOptions> ParseLauncherOptions(int argc, char** argv);

}  // namespace skerry
