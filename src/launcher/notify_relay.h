// Between a served process and the service manager that started the launcher: the process' words
// (sd_notify(3)) come here, and the launcher says on what the manager is to hear.
//
// The socket has an abstract name and takes datagrams of one process alone, by its id as the kernel
// tells it. One thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace skerry {

class NotifyRelay {
 public:
  // Reads $NOTIFY_SOCKET; without it nobody is told. `trouble` says why there is no socket of ours.
  explicit NotifyRelay(std::string& trouble);
  NotifyRelay(const NotifyRelay&) = delete;
  NotifyRelay& operator=(const NotifyRelay&) = delete;
  ~NotifyRelay();

  int fd() const { return fd_; }
  const std::string& address() const { return address_; }  // for the process' $NOTIFY_SOCKET
  // The lines that `process` has sent since; what others sent is dropped. Does not block.
  std::vector<std::string> TakeLines(pid_t process) const;
  // To the manager; that it does not listen is no error of ours.
  void Tell(std::string_view state) const;

 private:
  std::string manager_;
  std::string address_;
  int fd_ = -1;
};

}  // namespace skerry
