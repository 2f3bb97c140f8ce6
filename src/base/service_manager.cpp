#include "base/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/environment.h"

namespace skerry {
namespace {

// 0 for what is no number.
std::int64_t NumberFromEnvironment(const char* name) {
  const std::string text = FromEnvironment(name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

}  // namespace

ServiceManager::ServiceManager() : socket_(FromEnvironment("NOTIFY_SOCKET")) {
  const std::int64_t process = NumberFromEnvironment("WATCHDOG_PID");
  if (process == 0 || process == getpid())
    watchdog_ = std::chrono::microseconds(NumberFromEnvironment("WATCHDOG_USEC"));
}

Status ServiceManager::Tell(std::string_view state) const {
  if (socket_.empty()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((socket_.front() != '/' && socket_.front() != '@') ||
      socket_.size() >= sizeof(address.sun_path))
    return Fail(ErrorCode::kInvalidArgument, "NOTIFY_SOCKET is \"{}\", must be a path or @name",
                socket_);
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';  // a name without a file
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(ErrorCode::kUnavailable, "no socket: {}", std::strerror(errno));
  const ssize_t sent = sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), size);
  const int error = errno;
  close(fd);
  if (sent == static_cast<ssize_t>(state.size())) return {};
  return Fail(ErrorCode::kUnavailable, "telling the service manager at {}: {}", socket_,
              std::strerror(error));
}

}  // namespace skerry
