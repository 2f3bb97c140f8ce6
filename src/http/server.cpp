#include "http/server.h"

#include <thread>

#include "http/session.h"
#include "http/status.h"
#include "http/tls.h"
#include "http/url.h"

namespace skerry {

using http_detail::Loop;
using http_detail::ServerShared;
using http_detail::SessionBase;
using http_detail::Tcp;
namespace asio = boost::asio;
using boost::system::error_code;

Responder::~Responder() {
  if (target_ && started_) {
    target_->EndAnswer(false);
    return;
  }
  if (target_) target_->Respond(ErrorResponse(Error(ErrorCode::kInternal, "no answer was made")));
}

void Responder::Send(HttpResponse response) {
  if (auto target = std::move(target_)) target->Respond(std::move(response));
}

bool Responder::PeerLeft() const { return target_ == nullptr || target_->PeerLeft(); }

void Responder::Start(HttpResponse head) {
  started_ = true;
  target_->StartAnswer(std::move(head));
}

Status Responder::Write(std::string piece) { return target_->WritePiece(std::move(piece)); }

void Responder::Finish() {
  if (auto target = std::move(target_)) target->EndAnswer(true);
}

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::milliseconds kLeastSweep{10}, kMostSweep{1'000};

std::vector<http_detail::RouteMetrics> MakeMetrics(const std::vector<Route>& routes,
                                                   MetricRegistry& metrics) {
  static constexpr std::array<std::string_view, 5> kClasses{"1xx", "2xx", "3xx", "4xx", "5xx"};
  std::vector<http_detail::RouteMetrics> made;
  for (std::size_t i = 0; i <= routes.size(); ++i) {
    const std::string name =
        i < routes.size() ? routes[i].method + " " + routes[i].pattern : std::string("none");
    http_detail::RouteMetrics route;
    for (const std::string_view cls : kClasses) {
      const std::array<std::pair<std::string_view, std::string_view>, 2> labels{
          {{"route", name}, {"status", cls}}};
      route.by_class.push_back(&metrics.AddCounter("skerry_http_requests_total",
                                                   "HTTP requests by route and class of status",
                                                   LabelSet(labels)));
    }
    const std::array<std::pair<std::string_view, std::string_view>, 1> label{{{"route", name}}};
    route.seconds = &metrics.AddHistogram("skerry_http_request_seconds",
                                          "From the end of the header to the end of the answer",
                                          LatencySecondsBounds(), LabelSet(label));
    made.push_back(std::move(route));
  }
  return made;
}

}  // namespace

struct HttpServer::Impl {
  std::shared_ptr<ServerShared> shared = std::make_shared<ServerShared>();
  std::vector<std::shared_ptr<Loop>> loops;
  std::vector<std::unique_ptr<Tcp::acceptor>> acceptors;
  std::vector<std::thread> threads;
  std::uint16_t port = 0;
  bool drained = false;

  Status Listen(Loop& loop);
  void Accept(std::size_t index);
  void AcceptLater(std::size_t index);
  void Sweep(Loop& loop);
  void OnAllLoops(const std::function<void(Loop&)>& work);
};

Status HttpServer::Impl::Listen(Loop& loop) {
  const HttpServerOptions& options = shared->options;
  error_code error;
  const std::string host = options.address == "localhost" ? "127.0.0.1" : options.address;
  const auto ip = asio::ip::make_address(host, error);
  if (error) return Fail(ErrorCode::kInvalidArgument, "'{}' is no IP address to listen on", host);
  const std::uint16_t wanted = port != 0 ? port : options.port;
  const Tcp::endpoint endpoint(ip, wanted);
  // With SO_REUSEPORT the kernel would let us share another server's port; without it, it tells.
  Tcp::acceptor probe(loop.io);
  probe.open(endpoint.protocol(), error);
  if (!error) probe.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error && acceptors.empty()) probe.bind(endpoint, error);
  const error_code in_use = error;
  probe.close(error);
  error = in_use;
  auto acceptor = std::make_unique<Tcp::acceptor>(loop.io);
  if (!error) acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(Tcp::acceptor::reuse_address(true), error);
  using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
  if (!error && options.loops > 1) acceptor->set_option(ReusePort(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Fail(ErrorCode::kUnavailable,
                "cannot listen on {}:{}: {}; stop what uses the port or choose another", host,
                wanted, error.message());
  port = acceptor->local_endpoint().port();
  acceptors.push_back(std::move(acceptor));
  return {};
}

void HttpServer::Impl::Accept(std::size_t index) {
  acceptors[index]->async_accept(
      loops[index]->io, [this, index](error_code error, Tcp::socket socket) {
        if (error == asio::error::operation_aborted) return;
        if (error) return AcceptLater(index);
        if (shared->connections.load() < shared->options.max_connections)
          http_detail::MakeSession(std::move(socket), shared, loops[index])->Begin();
        else
          shared->refused_connections->Add();
        Accept(index);
      });
}

// Out of file descriptors and the like: trying again at once would only turn in a circle.
void HttpServer::Impl::AcceptLater(std::size_t index) {
  auto timer = std::make_shared<asio::steady_timer>(loops[index]->io, kAcceptPause);
  timer->async_wait([this, index, timer](error_code error) {
    if (!error && acceptors[index]->is_open()) Accept(index);
  });
}

// One timer a loop instead of one a connection, which every request would set anew.
void HttpServer::Impl::Sweep(Loop& loop) {
  const std::chrono::milliseconds idle = shared->options.idle_timeout;
  loop.sweep.expires_after(
      std::clamp<std::chrono::milliseconds>(idle / 4, kLeastSweep, kMostSweep));
  loop.sweep.async_wait([this, &loop, idle](error_code error) {
    if (error) return;
    const auto longest = std::chrono::steady_clock::now() - idle;
    for (SessionBase* session : loop.sessions) session->CloseIfIdleSince(longest);
    Sweep(loop);
  });
}

void HttpServer::Impl::OnAllLoops(const std::function<void(Loop&)>& work) {
  for (auto& loop : loops) asio::post(loop->io, [&loop, work] { work(*loop); });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Drain(std::chrono::milliseconds(0)); }
std::uint16_t HttpServer::port() const { return impl_->port; }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                      std::vector<Route> routes,
                                                      MetricRegistry& metrics) {
  if (!options.tls && options.plain == PlainHttp::kLoopback && !IsLoopback(options.address))
    return Fail(ErrorCode::kInvalidArgument,
                "plain HTTP may listen on loopback alone, not on {}; use TLS, or 127.0.0.1",
                options.address);
  auto impl = std::make_unique<Impl>();
  ServerShared& shared = *impl->shared;
  if (options.tls) {
    SKERRY_ASSIGN_OR_RETURN(auto tls, http_detail::MakeTls(*options.tls));
    shared.SetTls(std::move(tls));
  }
  shared.options = std::move(options);
  SKERRY_ASSIGN_OR_RETURN(shared.router, Router::Make(std::move(routes)));
  shared.route_metrics = MakeMetrics(shared.router.routes(), metrics);
  shared.connections_gauge = &metrics.AddGauge("skerry_http_connections", "Open HTTP connections");
  shared.refused_connections =
      &metrics.AddCounter("skerry_http_refused_connections_total",
                          "Connections closed at once because max_connections were open");
  const auto make_pool = [](int threads) {
    return std::make_unique<http_detail::HandlerPool>(
        static_cast<std::size_t>(std::max(1, threads)), limits::kWaitingRequests);
  };
  shared.pool = make_pool(shared.options.workers);
  shared.stream_pool = make_pool(shared.options.stream_workers);
  for (int i = 0; i < std::max(1, shared.options.loops); ++i) {
    impl->loops.push_back(std::make_shared<Loop>());
    SKERRY_RETURN_IF_ERROR(impl->Listen(*impl->loops.back()));
  }
  for (std::size_t i = 0; i < impl->loops.size(); ++i) {
    impl->Accept(i);
    impl->Sweep(*impl->loops[i]);
    impl->threads.emplace_back([loop = impl->loops[i]] { loop->io.run(); });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

Status HttpServer::ReplaceTls(const TlsServerOptions& options) {
  if (impl_->shared->tls() == nullptr)
    return Fail(ErrorCode::kFailedPrecondition, "this server speaks plain HTTP");
  SKERRY_ASSIGN_OR_RETURN(auto tls, http_detail::MakeTls(options));
  impl_->shared->SetTls(std::move(tls));
  return {};
}

void HttpServer::Drain(std::chrono::milliseconds longest) {
  if (std::exchange(impl_->drained, true)) return;
  ServerShared& shared = *impl_->shared;
  shared.draining.store(true);
  for (std::size_t i = 0; i < impl_->loops.size(); ++i)
    asio::post(impl_->loops[i]->io, [acceptor = impl_->acceptors[i].get(), loop = impl_->loops[i]] {
      error_code ignored;  // closing a listening socket has no other outcome
      acceptor->close(ignored);
      for (SessionBase* session : loop->sessions) session->CloseIfIdle();
    });
  const auto until = std::chrono::steady_clock::now() + longest;
  while (shared.connections.load() > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  impl_->OnAllLoops([](Loop& loop) {
    for (SessionBase* session : loop.sessions) session->CloseNow();
  });
  // Handlers that wait for a body get an error from the closed connections, so the pool ends.
  shared.stream_pool->Join();
  shared.pool->Join();
  for (auto& loop : impl_->loops) {
    {
      const std::lock_guard lock(loop->mutex);
      loop->stopped = true;
    }
    loop->io.stop();
  }
  for (std::thread& thread : impl_->threads) thread.join();
  for (auto& loop : impl_->loops) {
    loop->io.restart();
    loop->io.poll();  // what was posted last; nothing waits for the network any more
  }
}

}  // namespace skerry
