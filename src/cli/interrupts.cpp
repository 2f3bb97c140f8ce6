#include "cli/interrupts.h"

#include <csignal>

namespace skerry {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

void CatchInterrupts(SecondInterrupt second) {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  // What is being read or written goes on: else its error would come in the interruption's place.
  action.sa_flags = SA_RESTART;
  if (second == SecondInterrupt::kEndsAtOnce) action.sa_flags |= static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupted != 0; }

}  // namespace skerry
