// Sends one fixed HTTP/1.1 request at a fixed rate and prints the latency, counted from the moment
// at which each request was due, not from when a connection was free for it: a server that stalls
// cannot hide its stall by slowing the client (coordinated omission).
//
//   open_loop PORT RATE_PER_SECOND SECONDS CONNECTIONS REQUEST_FILE
//
// Prints "answers=N failed=N p50_us=N p99_us=N max_us=N". One thread; loopback only. Every answer
// must have a Content-Length and the status 200.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  int fd = -1;
  std::string got;
  Clock::time_point due{};
};

struct Run {
  std::string request;
  std::vector<Connection> connections;
  std::vector<std::size_t> idle;
  std::deque<Clock::time_point> waiting;  // due, but no connection was free
  std::vector<double> latencies_us;
  std::size_t failed = 0;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
};

int Connect(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void SendNext(Run& run) {
  while (!run.waiting.empty() && !run.idle.empty()) {
    Connection& connection = run.connections[run.idle.back()];
    run.idle.pop_back();
    connection.due = run.waiting.front();
    run.waiting.pop_front();
    std::string_view rest = run.request;
    while (!rest.empty()) {
      const ssize_t sent = send(connection.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
}

// The bytes of the whole answer at the start of `got`, 0 while it is not whole.
std::size_t WholeAnswer(const std::string& got) {
  const std::size_t end = got.find("\r\n\r\n");
  if (end == std::string::npos) return 0;
  const std::size_t length = got.find("Content-Length: ");
  if (length == std::string::npos || length > end) return 0;
  const std::size_t size = end + 4 + std::strtoul(got.c_str() + length + 16, nullptr, 10);
  return got.size() >= size ? size : 0;
}

void Receive(Run& run, std::size_t index) {
  Connection& connection = run.connections[index];
  char buffer[65'536];
  const ssize_t got = recv(connection.fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0) return;
  if (got == 0) {
    std::fprintf(stderr, "the server closed a connection\n");
    std::exit(1);
  }
  connection.got.append(buffer, static_cast<std::size_t>(got));
  if (WholeAnswer(connection.got) == 0) return;
  if (!connection.got.starts_with("HTTP/1.1 200")) ++run.failed;
  connection.got.clear();
  const std::chrono::duration<double, std::micro> took = Clock::now() - connection.due;
  run.latencies_us.push_back(took.count());
  run.idle.push_back(index);
}

void Poll(Run& run) {
  epoll_event events[256];
  const int count = epoll_wait(run.epoll, events, 256, 0);
  for (int i = 0; i < count; ++i) Receive(run, events[i].data.u64);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr,
                 "usage: open_loop PORT RATE_PER_SECOND SECONDS CONNECTIONS REQUEST_FILE\n");
    return 2;
  }
  const double rate = std::atof(argv[2]);
  Run run;
  std::ifstream file(argv[5], std::ios::binary);
  run.request.assign(std::istreambuf_iterator<char>(file), {});
  run.connections.resize(std::strtoul(argv[4], nullptr, 10));
  for (std::size_t i = 0; i < run.connections.size(); ++i) {
    run.connections[i].fd = Connect(static_cast<std::uint16_t>(std::atoi(argv[1])));
    epoll_event event{EPOLLIN, {.u64 = i}};
    epoll_ctl(run.epoll, EPOLL_CTL_ADD, run.connections[i].fd, &event);
    run.idle.push_back(i);
  }
  const auto total = static_cast<std::size_t>(rate * std::atof(argv[3]));
  const auto start = Clock::now();
  const auto give_up = start + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(std::atof(argv[3]) + 5));
  std::size_t due = 0;
  while (run.latencies_us.size() < total && Clock::now() < give_up) {
    while (due < total) {
      const auto at = start + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(static_cast<double>(due) / rate));
      if (at > Clock::now()) break;
      run.waiting.push_back(at);
      ++due;
    }
    SendNext(run);
    Poll(run);
  }
  run.failed += total - run.latencies_us.size();
  std::sort(run.latencies_us.begin(), run.latencies_us.end());
  const auto quantile = [&](double q) {
    if (run.latencies_us.empty()) return 0.0;
    return run.latencies_us[static_cast<std::size_t>(
        q * static_cast<double>(run.latencies_us.size() - 1))];
  };
  std::printf("answers=%zu failed=%zu p50_us=%.0f p99_us=%.0f max_us=%.0f\n",
              run.latencies_us.size(), run.failed, quantile(0.5), quantile(0.99), quantile(1));
  return 0;
}
