// Over 500 lines, because the steps of a connection are read together: each hands on to the next.
#include "http/session.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>

#include "base/log.h"
#include "http/answer_gate.h"
#include "http/content_coding.h"
#include "http/cross_origin.h"
#include "http/plain_request.h"
#include "http/response_head.h"
#include "http/status.h"
#include "http/stream_body.h"
#include "http/tls.h"
#include "http/url.h"

namespace skerry::http_detail {
namespace {

constexpr std::size_t kChunkBytes = 256U << 10U;
constexpr std::size_t kReadBytes = 4'096;
constexpr std::size_t kBodyReadBytes = 64U << 10U;  // of a request that does not come at once
constexpr std::size_t kJoinedBytes = 16U << 10U;    // of a body that is copied behind its header
constexpr int kUnsentBytes = 128 << 10;
constexpr std::size_t kKeptBufferBytes = 64U << 10U;

std::uint64_t LengthToldBy(const HttpResponse& response) {
  const std::string_view text = FindHeader(response.headers, "Content-Length");
  std::uint64_t length = kUnknownLength;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  return parsed.ec == std::errc() ? length : kUnknownLength;
}

using PlainStream = beast::tcp_stream;
using TlsStream = asio::ssl::stream<beast::tcp_stream>;

beast::tcp_stream& Lowest(PlainStream& stream) { return stream; }
beast::tcp_stream& Lowest(TlsStream& stream) { return stream.next_layer(); }

template <typename Stream>
class Session final : public SessionBase, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Stream stream, std::shared_ptr<ServerShared> shared, std::shared_ptr<Loop> loop)
      : loop_(std::move(loop)), shared_(std::move(shared)), stream_(std::move(stream)) {
    ++shared_->connections;
    shared_->NoteConnections();
    loop_->sessions.insert(this);
  }
  ~Session() override {
    if (file_ >= 0) close(file_);
    --shared_->connections;
    // A Responder may keep this object longer than the server and its metrics live.
    const std::lock_guard lock(loop_->mutex);
    if (!loop_->stopped) shared_->NoteConnections();
  }

  void Begin() override {
    beast::error_code error;
    const auto endpoint = socket().remote_endpoint(error);
    if (!error) {
      peer_.address = endpoint.address().to_string();
      peer_.loopback = IsLoopback(peer_.address);
    }
    socket().set_option(Tcp::no_delay(true), error);
    // Else a slow link's buffer takes megabytes at once and then none for longer than a stall.
    using UnsentBytes = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;
    socket().set_option(UnsentBytes(kUnsentBytes), error);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      Lowest(stream_).expires_after(shared_->options.header_timeout);
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code failed) {
                                if (failed) return self->Leave();
                                ReadCertificate(self->stream_.native_handle(), self->peer_);
                                self->request_.peer = self->peer_;
                                self->WaitForRequest();
                              });
    } else {
      request_.peer = peer_;
      WaitForRequest();
    }
  }

  void CloseIfIdle() override {
    if (waiting_) CloseNow();
  }
  void CloseIfIdleSince(std::chrono::steady_clock::time_point time) override {
    if (waiting_ && idle_since_ <= time) CloseNow();
  }
  void CloseNow() override {
    const std::lock_guard lock(closing_);
    beast::error_code ignored;  // it is going away either way
    socket().close(ignored);
  }

  // From any thread, while a handler has the whole request: nothing but CloseNow closes the socket
  // then.
  bool PeerLeft() override {
    const std::lock_guard lock(closing_);
    tcp_info info{};
    socklen_t bytes = sizeof info;
    return !socket().is_open() ||
           getsockopt(socket().native_handle(), IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
           info.tcpi_state != TCP_ESTABLISHED;
  }

  // From any thread.
  void Respond(HttpResponse response) override {
    if (loop_->io.get_executor().running_in_this_thread()) return Write(std::move(response));
    Post([self = this->shared_from_this(), moved = std::move(response)]() mutable {
      self->Write(std::move(moved));
    });
  }

  // The next three from a thread of a pool.
  void StartAnswer(HttpResponse head) override {
    Post([self = this->shared_from_this(), moved = std::move(head)]() mutable {
      self->OnStart(std::move(moved));
    });
  }
  Status WritePiece(std::string piece) override {
    if (!Post([self = this->shared_from_this(), moved = std::move(piece)]() mutable {
          self->OnAnswerPiece(std::move(moved));
        }))
      return Fail(ErrorCode::kUnavailable, "the server is stopping");
    return gate_.Wait();
  }
  void EndAnswer(bool whole) override {
    Post([self = this->shared_from_this(), whole] { self->OnAnswerEnd(whole); });
  }

 private:
  using Self = std::shared_ptr<Session>;
  using HeaderParser = http::request_parser<http::empty_body>;
  using StringParser = http::request_parser<http::string_body>;
  using StreamParser = http::request_parser<http::buffer_body>;
  using OutParts = beast::buffers_suffix<std::array<asio::const_buffer, 2>>;

  Tcp::socket& socket() { return Lowest(stream_).socket(); }

  // False when the loop does not run any more.
  template <typename Work>
  bool Post(Work&& work) {
    const std::lock_guard lock(loop_->mutex);
    if (loop_->stopped) return false;
    asio::post(loop_->io, std::forward<Work>(work));
    return true;
  }

  void Leave() { loop_->sessions.erase(this); }

  void WaitForRequest() {
    header_.reset();
    string_parser_.reset();
    stream_parser_.reset();
    stream_body_.reset();
    handler_running_ = answered_ = body_open_ = writing_ = false;
    if (request_.body.capacity() > kKeptBufferBytes) std::string().swap(request_.body);
    if (buffer_.capacity() >= kBodyReadBytes) buffer_.shrink_to_fit();
    // Through the loop, so that many requests that came together do not nest.
    if (buffer_.size() > 0)
      return asio::post(loop_->io, [self = this->shared_from_this()] { self->OnRequestBytes(); });
    if (shared_->draining.load(std::memory_order_relaxed)) return Shut();
    waiting_ = true;
    idle_since_ = std::chrono::steady_clock::now();
    Lowest(stream_).expires_never();
    const auto on_bytes = [self = this->shared_from_this()](beast::error_code error,
                                                            std::size_t bytes) {
      self->waiting_ = false;
      if (error) return self->Leave();
      self->buffer_.commit(bytes);
      self->OnRequestBytes();
    };
    // Past Beast's stream where it has nothing to add: CloseIfIdleSince keeps the time.
    if constexpr (std::is_same_v<Stream, PlainStream>)
      socket().async_read_some(buffer_.prepare(kReadBytes), on_bytes);
    else
      stream_.async_read_some(buffer_.prepare(kReadBytes), on_bytes);
  }

  void OnRequestBytes() {
    if (!TakeWholeRequest()) ReadHeader();
  }

  // The way of nearly every request: it has come whole, and nothing about it is unusual.
  bool TakeWholeRequest() {
    const asio::const_buffer data = buffer_.data();
    const auto taken =
        TakePlainRequest({static_cast<const char*>(data.data()), data.size()}, request_);
    if (!taken) return false;
    request_.params.clear();
    request_.stream = nullptr;
    const auto found = shared_->router.Find(request_.method, request_.path, request_.params);
    if (found.route == nullptr) return false;
    origin_ = AllowedOrigin(shared_->options.allowed_origins, request_);
    Choose(found);
    if (kind_ == RouteKind::kStreaming || request_.content_length > found.route->max_body_bytes)
      return false;
    started_at_ = std::chrono::steady_clock::now();
    buffer_.consume(taken->bytes);
    keep_alive_ = taken->keep_alive;
    version_10_ = false;
    head_ = request_.method == "HEAD";
    if (!Refused(*found.route)) Hand(*found.route);
    return true;
  }

  bool Refused(const Route& route) {
    if (!route.guard) return false;
    std::optional<HttpResponse> refusal = route.guard(request_);
    if (refusal) Write(std::move(*refusal));
    return refusal.has_value();
  }

  void Choose(const Router::Found& found) {
    route_ = found.index;
    kind_ = found.route->choose_kind ? found.route->choose_kind(request_) : found.route->kind;
    accepted_coding_ = found.route->coding == RouteCoding::kOffered
                           ? ChooseCoding(request_.Header("Accept-Encoding"))
                           : ContentCoding::kIdentity;
  }

  // The peer has so long for the next step; then the operation under way fails with `late_` set, on
  // a connection that can still carry a 408. (The stream's own time-out closes it.)
  void GivePeer(std::chrono::steady_clock::duration time) {
    Lowest(stream_).expires_never();
    late_ = false;
    timer_.expires_after(time);
    timer_.async_wait([weak = this->weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      // Time may have run out while the completion of the operation was already on its way.
      if (self->timer_.expiry() > std::chrono::steady_clock::now()) return;
      self->late_ = true;
      beast::error_code ignored;  // nothing under way is fine
      self->socket().cancel(ignored);
    });
  }
  bool StopTimer() {
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
    return std::exchange(late_, false);
  }

  void ReadHeader() {
    body_seconds_ = {};
    body_bytes_ = 0;
    origin_.clear();
    header_.emplace();
    header_->header_limit(static_cast<std::uint32_t>(limits::kHeaderBytes));
    header_->body_limit(boost::none);
    GivePeer(shared_->options.header_timeout);
    http::async_read_header(
        stream_, buffer_, *header_,
        [self = this->shared_from_this()](beast::error_code error, std::size_t) {
          const bool late = self->StopTimer();
          if (error) return self->RefuseHeader(error, late);
          self->RouteRequest();
        });
  }

  void RefuseHeader(beast::error_code error, bool late) {
    if (error == http::error::end_of_stream || error == asio::error::eof) return Shut();
    started_at_ = std::chrono::steady_clock::now();
    route_ = shared_->route_metrics.size() - 1;
    head_ = false;
    accepted_coding_ = ContentCoding::kIdentity;
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return Refuse(431, fmt::format("the request's header is over the limit of {} bytes",
                                     limits::kHeaderBytes));
    if (late) return Refuse(408, "the request's header did not come in time");
    if (error.category() == http::make_error_code(http::error::bad_method).category())
      return Refuse(400, "malformed HTTP request: " + error.message());
    Leave();
  }

  // An answer of the server itself.
  void Refuse(int status, const std::string& why, const std::string& allow = "") {
    HttpResponse response = ErrorResponse(Error(ErrorCode::kInvalidArgument, why));
    response.status = status;
    if (!allow.empty()) response.SetHeader("Allow", allow);
    Write(std::move(response));
  }

  void RouteRequest() {
    started_at_ = std::chrono::steady_clock::now();
    const auto& message = header_->get();
    keep_alive_ = message.keep_alive();
    version_10_ = message.version() < 11;
    head_ = message.method() == http::verb::head;
    accepted_coding_ = ContentCoding::kIdentity;
    request_ = HttpRequest();
    request_.method = std::string(message.method_string());
    request_.target = std::string(message.target());
    request_.path = request_.target.substr(0, request_.target.find('?'));
    for (const auto& field : message)
      request_.headers.emplace_back(field.name_string(), field.value());
    request_.peer = peer_;
    const auto length = header_->content_length();
    request_.content_length =
        length ? *length : (header_->chunked() ? kUnknownLength : std::uint64_t{0});
    origin_ = AllowedOrigin(shared_->options.allowed_origins, request_);
    const auto found = shared_->router.Find(request_.method, request_.path, request_.params);
    if (found.route == nullptr) {
      route_ = shared_->route_metrics.size() - 1;
      if (found.path_known) {
        if (auto answer = AnswerPreflight(origin_, request_, found.allow))
          return Write(std::move(*answer));
        return Refuse(
            405, fmt::format("{} is not allowed here; allowed: {}", request_.method, found.allow),
            found.allow);
      }
      return Refuse(404, fmt::format("there is nothing at {}", request_.path));
    }
    Choose(found);
    const Route& route = *found.route;
    if (Refused(route)) return;
    const bool streaming = kind_ == RouteKind::kStreaming;
    if (!streaming && request_.content_length != kUnknownLength &&
        request_.content_length > route.max_body_bytes)
      return Refuse(413, fmt::format("the body of {} bytes is over the limit of {} bytes",
                                     request_.content_length, route.max_body_bytes));
    if (message[http::field::expect] == "100-continue") return Continue(route);
    ReadBody(route);
  }

  void Continue(const Route& route) {
    static constexpr std::string_view kLine = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(
        stream_, asio::buffer(kLine),
        [self = this->shared_from_this(), &route](beast::error_code error, std::size_t) {
          if (error) return self->Leave();
          self->ReadBody(route);
        });
  }

  void ReadBody(const Route& route) {
    // Beast reads no more at a time than there is room for.
    if (request_.content_length > kReadBytes) buffer_.reserve(kBodyReadBytes);
    if (kind_ == RouteKind::kStreaming) return StartStreaming(route);
    string_parser_.emplace(std::move(*header_));
    string_parser_->body_limit(route.max_body_bytes);
    if (string_parser_->is_done()) return Dispatch(route);
    ReadMoreBody(route);
  }

  // How long the next piece of the body may take: one stall time-out, and less when the body as a
  // whole has been slower than the limit. Only the time that the peer is waited for counts.
  std::chrono::steady_clock::duration BodyPatience() {
    using Seconds = std::chrono::duration<double>;
    const Seconds stall = shared_->options.body_stall;
    const Seconds earned(static_cast<double>(body_bytes_) /
                         static_cast<double>(limits::kSlowestBodyBytesPerSecond));
    const Seconds left = std::clamp(stall + earned - body_seconds_, Seconds(0), stall);
    body_asked_at_ = std::chrono::steady_clock::now();
    return std::chrono::duration_cast<std::chrono::steady_clock::duration>(left);
  }
  void NoteBody(std::size_t bytes) {
    body_bytes_ += bytes;
    body_seconds_ += std::chrono::steady_clock::now() - body_asked_at_;
  }

  // Piece by piece, so that the time limits hold between two of them.
  void ReadMoreBody(const Route& route) {
    GivePeer(BodyPatience());
    http::async_read_some(
        stream_, buffer_, *string_parser_,
        [self = this->shared_from_this(), &route](beast::error_code error, std::size_t bytes) {
          const bool late = self->StopTimer();
          self->NoteBody(bytes);
          if (error == http::error::body_limit)
            return self->Refuse(
                413, fmt::format("the body is over the limit of {} bytes", route.max_body_bytes));
          if (error && late)
            return self->Refuse(408, "the request's body stalled or came too slowly");
          if (error &&
              error.category() == http::make_error_code(http::error::bad_chunk).category() &&
              error != http::error::partial_message)
            return self->Refuse(400, "malformed body: " + error.message());
          if (error) return self->Leave();
          if (self->string_parser_->is_done()) return self->Dispatch(route);
          self->ReadMoreBody(route);
        });
  }

  void Dispatch(const Route& route) {
    request_.body = std::move(string_parser_->get().body());
    Hand(route);
  }

  void Hand(const Route& route) {
    if (route.coding == RouteCoding::kOffered)
      if (auto refusal = DecodeRequest(request_, route.max_body_bytes))
        return Write(std::move(*refusal));
    if (kind_ == RouteKind::kInline) return RunHandler(route);
    RunOn(*shared_->pool, route);
  }

  void RunHandler(const Route& route) {
    try {
      route.handler(request_, Responder(this->shared_from_this()));
    } catch (const std::exception& failure) {  // its Responder has answered 500
      LogError("a handler failed route=\"{} {}\" reason=\"{}\"", route.method, route.pattern,
               failure.what());
    }
  }

  // The request stays the handler's until it returns, also when it has answered before.
  void RunOn(HandlerPool& pool, const Route& route) {
    handler_running_ = true;
    const bool taken = pool.Post([self = this->shared_from_this(), &route] {
      self->RunHandler(route);
      self->Post([self] {
        self->handler_running_ = false;
        if (self->answered_) self->WaitForRequest();
      });
    });
    if (taken) return;
    handler_running_ = false;
    HttpResponse busy = ErrorResponse(
        Error(ErrorCode::kResourceExhausted, "too many requests are waiting; try again later"));
    Write(std::move(busy));
  }

  void StartStreaming(const Route& route) {
    stream_parser_.emplace(std::move(*header_));
    stream_parser_->body_limit(boost::none);
    // The reader is the handler's alone, and the session outlives the handler.
    stream_body_ = std::make_shared<StreamBody>([this] {
      if (!Post([self = this->shared_from_this()] { self->ReadPiece(); }))
        stream_body_->FailWith(Error(ErrorCode::kUnavailable, "the server is stopping"));
    });
    request_.stream = stream_body_.get();
    RunOn(*shared_->stream_pool, route);
  }

  void ReadPiece() {
    if (stream_parser_->is_done()) return stream_body_->End();
    if (writing_)
      return stream_body_->FailWith(
          Error(ErrorCode::kUnavailable, "the request was answered already"));
    piece_.resize(kChunkBytes);
    auto& body = stream_parser_->get().body();
    body.data = piece_.data();
    body.size = piece_.size();
    body.more = true;
    Lowest(stream_).expires_after(BodyPatience());
    http::async_read_some(
        stream_, buffer_, *stream_parser_,
        [self = this->shared_from_this()](beast::error_code error, std::size_t bytes) {
          self->NoteBody(bytes);
          self->OnPiece(error);
        });
  }

  void OnPiece(beast::error_code error) {
    if (error == http::error::need_buffer) error = {};
    piece_.resize(piece_.size() - stream_parser_->get().body().size);
    const bool got = !piece_.empty();
    if (got) stream_body_->Give(std::move(piece_));
    if (got && !error) return;
    if (error == beast::error::timeout)
      return stream_body_->FailWith(
          Error(ErrorCode::kDeadlineExceeded, "the body stalled or came too slowly"));
    if (error && error.category() == http::make_error_code(http::error::bad_chunk).category() &&
        error != http::error::partial_message)
      return stream_body_->FailWith(
          Error(ErrorCode::kInvalidArgument, "malformed body: " + error.message()));
    if (error)
      return stream_body_->FailWith(
          Error(ErrorCode::kUnavailable, "the peer went away in the middle of its body"));
    if (stream_parser_->is_done()) return stream_body_->End();
    ReadPiece();
  }

  // What the peer has not sent by the end of its answer would be taken for its next request.
  void NoteOpenBody() {
    body_open_ = stream_parser_   ? !stream_parser_->is_done()
                 : string_parser_ ? !string_parser_->is_done()
                                  : header_ && !header_->is_done();
    if (body_open_) keep_alive_ = false;
  }

  // The head of an answer that is written as it is made; it goes out with the first piece. A length
  // that the handler tells is its promise; without one the answer is chunked.
  void OnStart(HttpResponse response) {
    const std::uint64_t length = LengthToldBy(response);
    AllowOrigin(shared_->options.allowed_origins, origin_, response);
    if (version_10_ || shared_->draining.load(std::memory_order_relaxed)) keep_alive_ = false;
    status_ = response.status;
    WriteResponseHead(response, {length, keep_alive_, head_, version_10_}, out_head_);
    chunked_ = length == kUnknownLength && !version_10_;
  }

  void OnAnswerPiece(std::string piece) {
    if (piece.empty() || head_) return gate_.Done({});
    out_body_ = std::move(piece);
    if (chunked_) {  // RFC 9112 7.1
      out_head_ += fmt::format("{:x}\r\n", out_body_.size());
      out_body_ += "\r\n";
    }
    WriteAnswerParts(OutParts(std::array{asio::const_buffer(asio::buffer(out_head_)),
                                         asio::const_buffer(asio::buffer(out_body_))}));
  }

  void WriteAnswerParts(OutParts parts) {
    Lowest(stream_).expires_after(shared_->options.idle_timeout);
    stream_.async_write_some(parts, [self = this->shared_from_this(), parts](
                                        beast::error_code error, std::size_t bytes) mutable {
      if (error) {
        self->Leave();
        return self->gate_.Done(
            Fail(ErrorCode::kUnavailable, "the peer does not take the answer any more"));
      }
      parts.consume(bytes);
      if (asio::buffer_size(parts) > 0) return self->WriteAnswerParts(parts);
      self->out_head_.clear();
      self->gate_.Done({});
    });
  }

  void OnAnswerEnd(bool whole) {
    if (!whole) {
      CloseNow();
      return Leave();
    }
    NoteOpenBody();
    writing_ = true;
    out_body_.clear();
    if (chunked_ && !head_) out_head_ += "0\r\n\r\n";
    if (WriteAtOnce()) return Finish();
    WriteParts(
        OutParts(std::array{asio::const_buffer(asio::buffer(out_head_)), asio::const_buffer()}));
  }

  void Write(HttpResponse response) {
    NoteOpenBody();
    if (shared_->draining.load(std::memory_order_relaxed)) keep_alive_ = false;
    writing_ = true;
    EncodeResponse(response, accepted_coding_);
    AllowOrigin(shared_->options.allowed_origins, origin_, response);
    status_ = response.status;
    out_body_ = std::move(response.body);
    std::uint64_t length = out_body_.size();
    if (response.file) {
      length = response.file->length;
      file_ = head_ ? -1 : open(response.file->path.c_str(), O_RDONLY | O_CLOEXEC);
      file_offset_ = response.file->offset;
      file_left_ = head_ ? 0 : length;
      if (file_ < 0 && !head_) {
        Refuse(500, "the file of the answer cannot be opened");
        return;
      }
    }
    WriteResponseHead(response, {length, keep_alive_, head_, version_10_}, out_head_);
    if (head_ || HasNoBody(status_)) out_body_.clear();
    if (file_ < 0 && WriteAtOnce()) return Finish();
    WriteParts(OutParts(std::array{asio::const_buffer(asio::buffer(out_head_)),
                                   asio::const_buffer(asio::buffer(out_body_))}));
  }

  // An answer that the socket takes as it stands needs no turn of the loop. What of it was not
  // taken is left in out_head_ and out_body_.
  bool WriteAtOnce() {
    if constexpr (std::is_same_v<Stream, TlsStream>) return false;
    if (out_body_.size() > kJoinedBytes) return false;
    out_head_ += out_body_;
    out_body_.clear();
    const ssize_t sent = send(socket().native_handle(), out_head_.data(), out_head_.size(),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) out_head_.erase(0, static_cast<std::size_t>(sent));
    return out_head_.empty();
  }

  // In one gather write where the network takes it; the time limit is on progress, not on the
  // whole.
  void WriteParts(OutParts parts) {
    Lowest(stream_).expires_after(shared_->options.idle_timeout);
    stream_.async_write_some(parts, [self = this->shared_from_this(), parts](
                                        beast::error_code error, std::size_t bytes) mutable {
      if (error) return self->Leave();
      parts.consume(bytes);
      if (asio::buffer_size(parts) > 0) return self->WriteParts(parts);
      self->WriteFile();
    });
  }

  void WriteFile() {
    if (file_ < 0 || file_left_ == 0) return Finish();
    piece_.resize(std::min<std::uint64_t>(kChunkBytes, file_left_));
    const ssize_t got =
        pread(file_, piece_.data(), piece_.size(), static_cast<off_t>(file_offset_));
    if (got <= 0) return Leave();  // the file shrank; a short answer shows it to the peer
    piece_.resize(static_cast<std::size_t>(got));
    file_offset_ += static_cast<std::uint64_t>(got);
    file_left_ -= static_cast<std::uint64_t>(got);
    Lowest(stream_).expires_after(shared_->options.idle_timeout);
    asio::async_write(stream_, asio::buffer(piece_),
                      [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                        if (error) return self->Leave();
                        self->WriteFile();
                      });
  }

  void Finish() {
    if (file_ >= 0) close(std::exchange(file_, -1));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_at_;
    shared_->NoteAnswer(route_, status_, took.count());
    if (out_body_.capacity() > kKeptBufferBytes) std::string().swap(out_body_);
    if (!keep_alive_) return Shut();
    answered_ = true;
    if (!handler_running_) WaitForRequest();
  }

  // Sends the end and reads what the peer still sends for a moment, so that a reset does not
  // destroy the answer on its way (RFC 9112 9.6).
  void Shut() {
    Lowest(stream_).expires_after(limits::kLingerTimeout);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      // Behind a close_notify nothing can be read any more, so a peer in the middle of its body is
      // read out first.
      if (body_open_) return Linger();
      stream_.async_shutdown(
          [self = this->shared_from_this()](beast::error_code) { self->Leave(); });
    } else {
      beast::error_code ignored;  // the peer may be gone
      socket().shutdown(Tcp::socket::shutdown_send, ignored);
      Linger();
    }
  }

  void Linger() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(16'384), [self = this->shared_from_this()](
                                                         beast::error_code error, std::size_t) {
      if (error) return self->Leave();
      self->Linger();
    });
  }

  const std::shared_ptr<Loop> loop_;  // outlives the stream, which belongs to its io
  const std::shared_ptr<ServerShared> shared_;
  Stream stream_;
  beast::flat_buffer buffer_;
  PeerIdentity peer_;
  std::optional<HeaderParser> header_;
  std::optional<StringParser> string_parser_;
  std::optional<StreamParser> stream_parser_;
  std::shared_ptr<StreamBody> stream_body_;
  HttpRequest request_;
  asio::steady_timer timer_{loop_->io};
  std::chrono::steady_clock::time_point started_at_, body_asked_at_, idle_since_;
  std::chrono::duration<double> body_seconds_{0};  // that the peer was waited for
  std::uint64_t body_bytes_ = 0;
  std::size_t route_ = 0;
  std::string origin_;                   // AllowedOrigin of this request
  RouteKind kind_ = RouteKind::kInline;  // of this request
  AnswerGate gate_;
  bool keep_alive_ = false, head_ = false, version_10_ = false, waiting_ = false, late_ = false;
  bool chunked_ = false;          // an answer that is written as it is made
  bool handler_running_ = false;  // on a pool; the request is not to be touched
  bool answered_ = false;         // but the handler still runs
  bool writing_ = false;
  bool body_open_ = false;  // the answer was made before the whole request had come
  ContentCoding accepted_coding_ = ContentCoding::kIdentity;  // for the answer
  int status_ = 0;
  std::string out_head_, out_body_, piece_;
  int file_ = -1;
  std::uint64_t file_offset_ = 0, file_left_ = 0;
  std::mutex closing_;  // the socket's closing, against PeerLeft
};

}  // namespace

std::shared_ptr<SessionBase> MakeSession(Tcp::socket socket, std::shared_ptr<ServerShared> shared,
                                         std::shared_ptr<Loop> loop) {
  const std::shared_ptr<asio::ssl::context> tls = shared->tls();
  if (tls == nullptr)
    return std::make_shared<Session<PlainStream>>(PlainStream(std::move(socket)), std::move(shared),
                                                  std::move(loop));
  TlsStream stream(std::move(socket), *tls);
  return std::make_shared<Session<TlsStream>>(std::move(stream), std::move(shared),
                                              std::move(loop));
}

}  // namespace skerry::http_detail
