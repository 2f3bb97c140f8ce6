// One connection of the server: a chain of asynchronous steps on its loop. Internal to http.
//
//   WaitForRequest -> ReadHeader -> RouteRequest -> (ReadBody) -> handler -> Respond -> Write ->
//   ...
//   (an answer that is written as it is made: handler -> OnStart -> OnAnswerPiece ... ->
//   OnAnswerEnd)
//
// A request that has come whole and has nothing unusual about it (plain_request.h) goes from
// WaitForRequest to its handler at once, and its answer, where the socket takes it, from Write to
// WaitForRequest: no timer is set and no turn of the loop is taken for it.
//
// Owned by the pending operation or by the Responder that a handler holds, whichever there is;
// everything but what Responder and StreamBody::Read call runs on the loop's thread.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "http/handler_pool.h"
#include "http/router.h"
#include "http/server.h"

namespace skerry::http_detail {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

// The series of one route, found once at the start.
struct RouteMetrics {
  std::vector<Counter*> by_class;  // 1xx .. 5xx
  Histogram* seconds = nullptr;
};

// What all sessions of a server share; read-only but for the counters.
struct ServerShared {
  HttpServerOptions options;
  Router router;
  std::vector<RouteMetrics> route_metrics;  // one a route, the last for requests without one
  Gauge* connections_gauge = nullptr;
  Counter* refused_connections = nullptr;
  // Two, so that peers who send a long body slowly keep no thread from the other routes.
  std::unique_ptr<HandlerPool> pool, stream_pool;
  std::atomic<std::size_t> connections{0};
  std::atomic<bool> draining{false};

  // Null: plain HTTP. Shared with the connection that is being made, since another may take its
  // place meanwhile; a connection's own TLS object keeps what it needs of it.
  std::shared_ptr<asio::ssl::context> tls() {
    const std::lock_guard lock(tls_mutex_);
    return tls_;
  }
  void SetTls(std::shared_ptr<asio::ssl::context> tls) {
    const std::lock_guard lock(tls_mutex_);
    tls_ = std::move(tls);
  }

  void NoteConnections() { connections_gauge->Set(static_cast<double>(connections.load())); }
  void NoteAnswer(std::size_t route, int status, double seconds) {
    const RouteMetrics& metrics = route_metrics[route];
    metrics.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5) - 1)]->Add();
    metrics.seconds->Observe(seconds);
  }

 private:
  std::mutex tls_mutex_;
  std::shared_ptr<asio::ssl::context> tls_;
};

class SessionBase;

// One event loop. `stopped` says that nobody runs `io` any more: late answers are dropped then.
struct Loop {
  asio::io_context io{1};
  // A request that is with its handler has no operation here; the loop must wait for its answer all
  // the same, also when nothing is listened for any more.
  asio::executor_work_guard<asio::io_context::executor_type> busy{io.get_executor()};
  std::mutex mutex;
  bool stopped = false;
  std::set<SessionBase*> sessions;  // the loop's thread alone
  asio::steady_timer sweep{io};     // for connections that wait too long
};

class SessionBase : public Responder::Target {
 public:
  virtual void Begin() = 0;
  // Closes it when it waits for a request; else it closes after its answer.
  virtual void CloseIfIdle() = 0;
  // Closes it when it has waited for a request since that time or longer.
  virtual void CloseIfIdleSince(std::chrono::steady_clock::time_point time) = 0;
  virtual void CloseNow() = 0;
};

// Makes a session for an accepted socket, with TLS when the server has it.
std::shared_ptr<SessionBase> MakeSession(Tcp::socket socket, std::shared_ptr<ServerShared> shared,
                                         std::shared_ptr<Loop> loop);

}  // namespace skerry::http_detail
