#include <csignal>
#include <cstdlib>

#include "cli/command.h"

int main(int argc, char** argv) {
  // Blocked before any thread starts, so that the served commands can wait for them; a peer that
  // closes its connection must not end the process.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  std::signal(SIGPIPE, SIG_IGN);
  // A file over its limit (ulimit -f) is an error as a full disk is: what was begun is taken back.
  std::signal(SIGXFSZ, SIG_IGN);
  if (argc > 1) {
    const std::string_view command = argv[1];
    // Threads that wait for each other in a training spin for some tens of microseconds; libgomp's
    // own count makes minutes of seconds where other programs want the cores.
    setenv("GOMP_SPINCOUNT", "10000", 0);
    if (command == "serve" || command == "site" || command == "hub" || command == "demo") {
      pthread_sigmask(SIG_BLOCK, &set, nullptr);
      // Beside what is served, training threads that wait give their core away (a training by
      // itself is a quarter faster where they spin). OpenMP's runtime reads this when it is loaded;
      // the trainings that these commands start inherit it.
      setenv("OMP_WAIT_POLICY", "passive", 0);
    }
  }
  return skerry::RunCommandLine(argc, argv);
}
