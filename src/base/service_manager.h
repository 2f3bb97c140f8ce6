// What a process tells the service manager that started it (sd_notify(3)): that it serves, that it
// is well, that it ends. Datagrams to the socket that $NOTIFY_SOCKET names; without it nothing is
// told and nothing is wrong. Thread-safe; reads the environment when made.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

class ServiceManager {
 public:
  ServiceManager();

  // "READY=1", "WATCHDOG=1", "STOPPING=1". kUnavailable when there is a socket and it does not take
  // the message; kInvalidArgument for a socket that is neither a path nor an abstract name.
  Status Tell(std::string_view state) const;
  // How often it wants to hear that this process is well; 0: never. ($WATCHDOG_USEC, where
  // $WATCHDOG_PID is this process or not set.)
  std::chrono::microseconds watchdog() const { return watchdog_; }

 private:
  std::string socket_;
  std::chrono::microseconds watchdog_{0};
};

}  // namespace skerry
