// A TCP connection for tests that need to send what no client would. Blocks; 10 s at most a read.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace skerry {

class RawConnection {
 public:
  explicit RawConnection(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  ~RawConnection() { close(fd_); }

  bool connected() const { return connected_; }
  bool Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Says that nothing more comes; answers can still be read.
  void EndWriting() { shutdown(fd_, SHUT_WR); }
  // Whether there is something to read, or the end, within that time.
  bool Readable(std::chrono::milliseconds longest) {
    pollfd wanted{fd_, POLLIN, 0};
    return poll(&wanted, 1, static_cast<int>(longest.count())) > 0;
  }
  // Up to and with `mark`, or to the end.
  std::string ReadUntil(std::string_view mark) {
    while (kept_.find(mark) == std::string::npos && More()) {
    }
    const std::size_t at = kept_.find(mark);
    const std::size_t size = at == std::string::npos ? kept_.size() : at + mark.size();
    std::string taken = kept_.substr(0, size);
    kept_.erase(0, size);
    return taken;
  }
  std::string ReadAll() {
    while (More()) {
    }
    return std::move(kept_);
  }

 private:
  bool More() {
    char buffer[4'096];
    // The analyzer takes a std::unique_lock of the caller's for held after its end.
    // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection)
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    kept_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  int fd_;
  bool connected_ = false;
  std::string kept_;
};

}  // namespace skerry
