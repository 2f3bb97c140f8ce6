// The HTTP/1.1 server of hub and site, on Boost.Beast: event loops, a router, a worker pool, TLS.
//
// Role: owns its threads. `loops` threads each run an event loop with its own listening socket
// (SO_REUSEPORT); a connection stays on its loop. Inline handlers run there and must not block;
// pooled and streaming ones run on two pools of threads and may; a request is its handler's until
// that returns, also when it was answered before. A handler that throws answers 500. No lock is
// shared by loops on the way of an inline request.
//   auto server = HttpServer::Start({.port = 0}, {{"GET", "/healthz", RouteKind::kInline,
//   handler}},
//                                   metrics);
//   ... server->Drain(std::chrono::seconds(10));
//
// Bounds (base/limits.h): kHeaderBytes (431), the route's body limit (413), kHeaderTimeout (408),
// a body that stalls for kBodyStall or is slower than kSlowestBodyBytesPerSecond (408; on streaming
// routes an error of the BodyReader), kWaitingRequests for a pool (503), kIdleTimeout,
// kConnections. Malformed requests are 400 and close; an unknown
// path is 404, a known path with another method 405 with Allow. All answers of the server itself
// are {"error": "..."}.
//
// Source: RFC 9110 and 9112. HEAD is answered by the GET route without its body where no HEAD route
// is there. `Expect: 100-continue` is answered. Pipelined requests are answered in order.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "http/message.h"

namespace skerry {

// Where an answer goes. Move-only; Send once, from any thread, also after the handler returned.
// Destroyed without Send, it answers 500. After the server is gone Send does nothing.
//
// Or, from a handler that is not inline, an answer that is written as it is made: Start, Write for
// each piece, Finish. Destroyed before Finish, the answer breaks off and the connection closes.
class Responder {
 public:
  class Target {
   public:
    virtual ~Target() = default;
    virtual void Respond(HttpResponse response) = 0;
    virtual bool PeerLeft() = 0;
    virtual void StartAnswer(HttpResponse head) = 0;
    virtual Status WritePiece(std::string piece) = 0;
    virtual void EndAnswer(bool whole) = 0;
  };
  explicit Responder(std::shared_ptr<Target> target) : target_(std::move(target)) {}
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&&) = delete;
  ~Responder();
  void Send(HttpResponse response);
  // Whether the client has closed its side of the connection, or the connection is broken: nobody
  // may be left to read the answer. (A client that shuts its sending side down and still reads
  // cannot be told from one that went.) One system call; any thread, before Send; not on streaming
  // routes, whose body the loop may be reading.
  bool PeerLeft() const;

  // `head` has no body. What the request has left of its own may still be read.
  void Start(HttpResponse head);
  // Blocks until the network has taken the piece, so that a slow reader slows the handler.
  // kUnavailable when the peer is gone, has taken nothing for idle_timeout, or the server stops.
  Status Write(std::string piece);
  void Finish();

 private:
  std::shared_ptr<Target> target_;
  bool started_ = false;  // by Start, and not finished
};

enum class RouteKind : std::uint8_t {
  kInline,     // on the event loop; must not block
  kPooled,     // on the workers, the whole body in `request.body`
  kStreaming,  // on the stream workers, the body through `request.stream` as it arrives
};

// Whether bodies may travel as gzip or deflate: a request's is decoded before the handler sees it,
// and counts decoded against the route's limit (413; a coding that is not read is 415); an answer
// of 1 KiB or more is encoded where Accept-Encoding asks for it. Not on streaming routes.
enum class RouteCoding : std::uint8_t { kNone, kOffered };

using Handler = std::function<void(HttpRequest& request, Responder responder)>;
// By what a request's head says: `body` and `stream` are empty.
using KindChooser = std::function<RouteKind(const HttpRequest& request)>;
// Whether the peer may call a route, asked with the request's head before its body is read, on the
// event loop; an answer refuses the request. Must not block.
using Guard = std::function<std::optional<HttpResponse>(const HttpRequest& request)>;

// Pattern segments: a literal, {x} for one segment, {x...} for one or more
// ("/v2/{name...}/blobs/{digest}"). Literal patterns are found before others, then the order of the
// table decides.
struct Route {
  std::string method;
  std::string pattern;
  RouteKind kind = RouteKind::kPooled;
  Handler handler;
  std::uint64_t max_body_bytes = limits::kRequestBodyBytes;  // not on streaming routes
  RouteCoding coding = RouteCoding::kNone;
  KindChooser choose_kind{};  // of each request, instead of `kind`
  Guard guard{};              // empty: everybody may
};

// What a client without a certificate gets where one is asked for: it is served, or fails the
// handshake.
enum class ClientCertificates : std::uint8_t { kAccepted, kRequired };

// Who judges the times of a client's certificate: the handshake, by the machine's clock, or the
// handler.
enum class ClientTimes : std::uint8_t { kHandshake, kHandler };

struct TlsServerOptions {
  std::string certificate_pem;  // chain, the server's own first
  std::string key_pem;
  // Asks for a client certificate; one that this CA did not issue, or that is out of its time,
  // fails the handshake. Empty: none is asked for.
  std::string client_ca_pem;
  ClientCertificates client_certificates = ClientCertificates::kAccepted;
  ClientTimes client_times = ClientTimes::kHandshake;
};
// What Start would say about them: kInvalidArgument names the text that is wrong.
Status CheckTls(const TlsServerOptions& options);

// Where plain HTTP may listen.
enum class PlainHttp : std::uint8_t { kLoopback, kAnywhere };

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: the kernel's choice
  int loops = 1;
  int workers = 4;                      // threads of pooled routes
  int stream_workers = 16;              // threads of streaming routes: so many uploads at once
  std::optional<TlsServerOptions> tls;  // none: plain HTTP
  PlainHttp plain = PlainHttp::kLoopback;
  // Whose pages may call in a browser (CORS, as the Fetch standard has it): origins as they send
  // them, "https://plant.example:8443", or "*" for all. Empty: none, and no answer speaks of it.
  std::vector<std::string> allowed_origins{};
  std::size_t max_connections = limits::kConnections;
  std::chrono::milliseconds header_timeout = limits::kHeaderTimeout;
  std::chrono::milliseconds idle_timeout = limits::kIdleTimeout;
  std::chrono::milliseconds body_stall = limits::kBodyStall;
};

class HttpServer {
 public:
  // Listens on return. kUnavailable when the port is in use (named), kInvalidArgument for plain
  // HTTP on an address where it may not listen, a bad pattern, certificate or key. Metrics:
  // skerry_http_requests_total{route,status}, skerry_http_request_seconds{route},
  // skerry_http_connections, skerry_http_refused_connections_total.
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                   std::vector<Route> routes,
                                                   MetricRegistry& metrics);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // Drain(0)

  std::uint16_t port() const;
  // For the connections that come from now on; those that are there go on as they are. Any thread.
  // kInvalidArgument as CheckTls, kFailedPrecondition for a server of plain HTTP: nothing changes.
  Status ReplaceTls(const TlsServerOptions& options);
  // Accepts nothing more, lets requests under way finish, closes what is left after `longest`, and
  // joins every thread. Repeats are harmless.
  void Drain(std::chrono::milliseconds longest);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
