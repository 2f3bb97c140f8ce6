#include "launcher/notify_relay.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace skerry {
namespace {

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

// "@name" is an abstract one.
std::optional<Address> AddressOf(std::string_view text) {
  Address address;
  if (text.size() < 2 || text.size() >= sizeof(address.name.sun_path) ||
      (text.front() != '/' && text.front() != '@'))
    return std::nullopt;
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path, text.data(), text.size());
  if (text.front() == '@') address.name.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size());
  return address;
}

std::string DrawName() {
  std::uint64_t drawn = 0;
  if (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn))
    drawn = static_cast<std::uint64_t>(errno);
  return "@skerry-launcher-" + std::to_string(getpid()) + "-" + std::to_string(drawn);
}

// Whose datagram it is, as the kernel says.
pid_t SenderOf(msghdr& message) {
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(head), sizeof(sender));
    return sender.pid;
  }
  return 0;
}

void AddLines(std::string_view text, std::vector<std::string>& lines) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

NotifyRelay::NotifyRelay(std::string& trouble) : address_(DrawName()) {
  const char* manager = std::getenv("NOTIFY_SOCKET");
  manager_ = manager == nullptr ? "" : manager;
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const std::optional<Address> own = AddressOf(address_);
  const int on = 1;
  if (fd_ < 0 || !own || setsockopt(fd_, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 ||
      bind(fd_, reinterpret_cast<const sockaddr*>(&own->name), own->size) != 0)
    trouble = std::string("no socket for what skerry says of itself: ") + std::strerror(errno);
}

NotifyRelay::~NotifyRelay() {
  if (fd_ >= 0) close(fd_);
}

std::vector<std::string> NotifyRelay::TakeLines(pid_t process) const {
  std::vector<std::string> lines;
  while (true) {
    std::array<char, 4096> text{};
    alignas(cmsghdr) std::array<char, 256> control{};
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return lines;
    if (SenderOf(message) == process)
      AddLines(std::string_view(text.data(), static_cast<std::size_t>(got)), lines);
  }
}

void NotifyRelay::Tell(std::string_view state) const {
  const std::optional<Address> to = AddressOf(manager_);
  if (!to) return;
  [[maybe_unused]] const ssize_t sent =
      sendto(fd_, state.data(), state.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&to->name), to->size);
}

}  // namespace skerry
