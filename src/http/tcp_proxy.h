// A real faulty link for demos and tests: a TCP proxy on loopback that can be cut after so many
// bytes in either direction, change what is answered, and be brought up again. Thread-safe; owns
// one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

class TcpProxy {
 public:
  // Listens on a port of 127.0.0.1 of the kernel's choice and connects to 127.0.0.1:upstream_port.
  static Result<std::unique_ptr<TcpProxy>> Start(std::uint16_t upstream_port);
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;
  ~TcpProxy();

  std::uint16_t port() const;
  // Passes exactly so many bytes more to the upstream side, over all connections, then goes down.
  void CutAfterBytes(std::uint64_t to_upstream);
  // The same on the way back: so many bytes more of answers, then it goes down.
  void CutAnswersAfterBytes(std::uint64_t from_upstream);
  // What becomes of a piece on the way back, as it came from the network: other bytes, or none,
  // which resets the connection. Runs on the proxy's thread; empty: every piece passes as it is.
  using AnswerFilter = std::function<std::optional<std::string>(std::string_view piece)>;
  void FilterAnswers(AnswerFilter filter);
  // Resets every connection (done on return) and, until SetUp, each new one.
  void SetDown();
  void SetUp();
  bool is_down() const;
  // Bytes passed in that direction since the start.
  std::uint64_t bytes_to_upstream() const;
  std::uint64_t bytes_from_upstream() const;

 private:
  struct Impl;
  explicit TcpProxy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
