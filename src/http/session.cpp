#include "http/session.h"

#include <fcntl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <ctime>

#include "http/status.h"
#include "http/url.h"

namespace skerry::http_detail {
namespace {

constexpr std::size_t kChunkBytes = 256U << 10U;
constexpr std::size_t kKeptBufferBytes = 64U << 10U;

using PlainStream = beast::tcp_stream;
using TlsStream = asio::ssl::stream<beast::tcp_stream>;

beast::tcp_stream& Lowest(PlainStream& stream) { return stream; }
beast::tcp_stream& Lowest(TlsStream& stream) { return stream.next_layer(); }

// RFC 9110 5.6.7, made once a second a thread.
const std::string& DateHeader() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    char buffer[64];
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n",
                                      &parts));
    made_at = now;
  }
  return text;
}

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

void ReadCertificate(SSL* ssl, PeerIdentity& peer) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return;
  BIO* out = BIO_new(BIO_s_mem());
  if (out != nullptr && PEM_write_bio_X509(out, certificate) == 1) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    peer.certificate_pem.assign(data, static_cast<std::size_t>(size));
  }
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  peer.certificate_name = name;
  BIO_free(out);
  X509_free(certificate);
}

// Hands a request's body from the loop to a handler on the pool, one piece at a time: the next one
// is read from the network when the handler asks, so a slow handler slows the sender.
class StreamBody final : public BodyReader {
 public:
  explicit StreamBody(std::function<void()> want) : want_(std::move(want)) {}

  Result<std::size_t> Read(char* out, std::size_t size) override {
    std::unique_lock lock(mutex_);
    if (used_ == piece_.size() && !ended_ && !failed_) {
      used_ = 0;
      piece_.clear();
      lock.unlock();
      want_();
      lock.lock();
      ready_.wait(lock, [this] { return !piece_.empty() || ended_ || failed_; });
    }
    if (used_ < piece_.size()) {
      const std::size_t count = std::min(size, piece_.size() - used_);
      piece_.copy(out, count, used_);
      used_ += count;
      return count;
    }
    if (failed_) return tl::make_unexpected(*failed_);
    return std::size_t{0};
  }

  void Give(std::string piece) {
    const std::lock_guard lock(mutex_);
    piece_ = std::move(piece);
    used_ = 0;
    ready_.notify_all();
  }
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    ready_.notify_all();
  }
  void FailWith(Error error) {
    const std::lock_guard lock(mutex_);
    failed_.emplace(std::move(error));
    ready_.notify_all();
  }

 private:
  const std::function<void()> want_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::string piece_;
  std::size_t used_ = 0;
  bool ended_ = false;
  std::optional<Error> failed_;
};

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
    shared_->NoteConnections();
  }

  void Begin() override {
    beast::error_code error;
    const auto endpoint = socket().remote_endpoint(error);
    if (!error) {
      peer_.address = endpoint.address().to_string();
      peer_.loopback = IsLoopback(peer_.address);
    }
    socket().set_option(Tcp::no_delay(true), error);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      Lowest(stream_).expires_after(shared_->options.header_timeout);
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code failed) {
                                if (failed) return self->Leave();
                                ReadCertificate(self->stream_.native_handle(), self->peer_);
                                self->WaitForRequest();
                              });
    } else {
      WaitForRequest();
    }
  }

  void CloseIfIdle() override {
    if (waiting_) CloseNow();
  }
  void CloseNow() override {
    beast::error_code ignored;  // it is going away either way
    socket().close(ignored);
  }

  // From any thread.
  void Respond(HttpResponse response) override {
    if (loop_->io.get_executor().running_in_this_thread()) return Write(std::move(response));
    const std::lock_guard lock(loop_->mutex);
    if (loop_->stopped) return;
    asio::post(loop_->io, [self = this->shared_from_this(), moved = std::move(response)]() mutable {
      self->Write(std::move(moved));
    });
  }

 private:
  using Self = std::shared_ptr<Session>;
  using HeaderParser = http::request_parser<http::empty_body>;
  using StringParser = http::request_parser<http::string_body>;
  using StreamParser = http::request_parser<http::buffer_body>;

  Tcp::socket& socket() { return Lowest(stream_).socket(); }

  void Leave() { loop_->sessions.erase(this); }

  void WaitForRequest() {
    string_parser_.reset();
    stream_parser_.reset();
    stream_body_.reset();
    header_.emplace();
    header_->header_limit(static_cast<std::uint32_t>(limits::kHeaderBytes));
    header_->body_limit(boost::none);
    if (buffer_.size() > 0) return ReadHeader();
    if (shared_->draining.load(std::memory_order_relaxed)) return Shut();
    waiting_ = true;
    Lowest(stream_).expires_after(shared_->options.idle_timeout);
    stream_.async_read_some(
        buffer_.prepare(4'096),
        [self = this->shared_from_this()](beast::error_code error, std::size_t bytes) {
          self->waiting_ = false;
          if (error) return self->Leave();
          self->buffer_.commit(bytes);
          self->ReadHeader();
        });
  }

  void ReadHeader() {
    Lowest(stream_).expires_after(shared_->options.header_timeout);
    http::async_read_header(
        stream_, buffer_, *header_,
        [self = this->shared_from_this()](beast::error_code error, std::size_t) {
          if (error) return self->RefuseHeader(error);
          self->RouteRequest();
        });
  }

  void RefuseHeader(beast::error_code error) {
    if (error == http::error::end_of_stream || error == asio::error::eof) return Shut();
    started_at_ = std::chrono::steady_clock::now();
    route_ = shared_->route_metrics.size() - 1;
    head_ = false;
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return Refuse(431, fmt::format("the request's header is over the limit of {} bytes",
                                     limits::kHeaderBytes));
    if (error == beast::error::timeout) return Leave();
    if (error.category() == http::make_error_code(http::error::bad_method).category())
      return Refuse(400, "malformed HTTP request: " + error.message());
    Leave();
  }

  // An answer of the server itself, after which the connection closes.
  void Refuse(int status, const std::string& why, const std::string& allow = "") {
    keep_alive_ = false;
    HttpResponse response = ErrorResponse(Error(ErrorCode::kInvalidArgument, why));
    response.status = status;
    if (!allow.empty()) response.SetHeader("Allow", allow);
    Write(std::move(response));
  }

  void RouteRequest() {
    started_at_ = std::chrono::steady_clock::now();
    const auto& message = header_->get();
    keep_alive_ = message.keep_alive();
    head_ = message.method() == http::verb::head;
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
    const auto found = shared_->router.Find(request_.method, request_.path, request_.params);
    if (found.route == nullptr) {
      route_ = shared_->route_metrics.size() - 1;
      if (found.path_known)
        return Refuse(
            405, fmt::format("{} is not allowed here; allowed: {}", request_.method, found.allow),
            found.allow);
      return Refuse(404, fmt::format("there is nothing at {}", request_.path));
    }
    route_ = found.index;
    const Route& route = *found.route;
    const bool streaming = route.kind == RouteKind::kStreaming;
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
    if (route.kind == RouteKind::kStreaming) return StartStreaming(route);
    string_parser_.emplace(std::move(*header_));
    string_parser_->body_limit(route.max_body_bytes);
    if (string_parser_->is_done()) return Dispatch(route);
    ReadMoreBody(route);
  }

  // Piece by piece, so that the stall limit holds between two of them.
  void ReadMoreBody(const Route& route) {
    Lowest(stream_).expires_after(shared_->options.body_stall);
    http::async_read_some(
        stream_, buffer_, *string_parser_,
        [self = this->shared_from_this(), &route](beast::error_code error, std::size_t) {
          if (error == http::error::body_limit)
            return self->Refuse(
                413, fmt::format("the body is over the limit of {} bytes", route.max_body_bytes));
          if (error == beast::error::timeout) return self->Leave();
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
    Responder responder(this->shared_from_this());
    if (route.kind == RouteKind::kInline) return route.handler(request_, std::move(responder));
    asio::post(*shared_->pool,
               [self = this->shared_from_this(), &route, answer = std::move(responder)]() mutable {
                 route.handler(self->request_, std::move(answer));
               });
  }

  void StartStreaming(const Route& route) {
    stream_parser_.emplace(std::move(*header_));
    stream_parser_->body_limit(boost::none);
    // The reader is the handler's alone, and the session outlives the handler.
    stream_body_ = std::make_shared<StreamBody>([this] {
      const std::lock_guard lock(loop_->mutex);
      if (loop_->stopped)
        return stream_body_->FailWith(Error(ErrorCode::kUnavailable, "the server is stopping"));
      asio::post(loop_->io, [self = this->shared_from_this()] { self->ReadPiece(); });
    });
    request_.stream = stream_body_.get();
    asio::post(*shared_->pool, [self = this->shared_from_this(), &route, body = stream_body_,
                                answer = Responder(this->shared_from_this())]() mutable {
      route.handler(self->request_, std::move(answer));
    });
  }

  void ReadPiece() {
    if (stream_parser_->is_done()) return stream_body_->End();
    piece_.resize(kChunkBytes);
    auto& body = stream_parser_->get().body();
    body.data = piece_.data();
    body.size = piece_.size();
    body.more = true;
    Lowest(stream_).expires_after(shared_->options.body_stall);
    http::async_read_some(stream_, buffer_, *stream_parser_,
                          [self = this->shared_from_this()](beast::error_code error, std::size_t) {
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
          Error(ErrorCode::kDeadlineExceeded, "the peer stopped sending its body"));
    if (error)
      return stream_body_->FailWith(
          Error(ErrorCode::kUnavailable, "the peer went away in the middle of its body"));
    if (stream_parser_->is_done()) return stream_body_->End();
    ReadPiece();
  }

  void Write(HttpResponse response) {
    // What the peer has not sent by now would be taken for its next request.
    if (stream_parser_ && !stream_parser_->is_done()) keep_alive_ = false;
    if (shared_->draining.load(std::memory_order_relaxed)) keep_alive_ = false;
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
    out_head_.clear();
    fmt::format_to(std::back_inserter(out_head_), "HTTP/1.1 {} {}\r\n", status_,
                   ReasonPhrase(status_));
    for (const auto& [name, value] : response.headers)
      fmt::format_to(std::back_inserter(out_head_), "{}: {}\r\n", name, value);
    if (!HasNoBody(status_))
      fmt::format_to(std::back_inserter(out_head_), "Content-Length: {}\r\n", length);
    out_head_ += DateHeader();
    out_head_ += keep_alive_ ? "\r\n" : "Connection: close\r\n\r\n";
    if (head_ || HasNoBody(status_)) out_body_.clear();
    Lowest(stream_).expires_after(shared_->options.idle_timeout);
    const std::array<asio::const_buffer, 2> parts{asio::buffer(out_head_), asio::buffer(out_body_)};
    asio::async_write(stream_, parts,
                      [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                        if (error) return self->Leave();
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
    if (keep_alive_) return WaitForRequest();
    Shut();
  }

  // Sends the end and reads what the peer still sends for a moment, so that a reset does not
  // destroy the answer on its way (RFC 9112 9.6).
  void Shut() {
    beast::error_code ignored;  // the peer may be gone
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      Lowest(stream_).expires_after(std::chrono::seconds(2));
      stream_.async_shutdown(
          [self = this->shared_from_this()](beast::error_code) { self->Leave(); });
    } else {
      socket().shutdown(Tcp::socket::shutdown_send, ignored);
      Lowest(stream_).expires_after(std::chrono::seconds(2));
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
  std::chrono::steady_clock::time_point started_at_;
  std::size_t route_ = 0;
  bool keep_alive_ = false, head_ = false, waiting_ = false;
  int status_ = 0;
  std::string out_head_, out_body_, piece_;
  int file_ = -1;
  std::uint64_t file_offset_ = 0, file_left_ = 0;
};

}  // namespace

std::shared_ptr<SessionBase> MakeSession(Tcp::socket socket, std::shared_ptr<ServerShared> shared,
                                         std::shared_ptr<Loop> loop) {
  if (shared->tls == nullptr)
    return std::make_shared<Session<PlainStream>>(PlainStream(std::move(socket)), std::move(shared),
                                                  std::move(loop));
  TlsStream stream(std::move(socket), *shared->tls);
  return std::make_shared<Session<TlsStream>>(std::move(stream), std::move(shared),
                                              std::move(loop));
}

}  // namespace skerry::http_detail
