#include "http/tcp_proxy.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <future>
#include <limits>
#include <set>
#include <thread>

namespace skerry {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

struct Link {
  std::atomic<std::uint64_t> to_upstream{0}, from_upstream{0};
  std::atomic<std::uint64_t> left{kNoLimit};  // bytes that may still pass to the upstream side
  std::atomic<std::uint64_t> answers_left{kNoLimit};  // and on the way back
  TcpProxy::AnswerFilter filter;                      // the proxy's thread alone
  std::atomic<bool> down{false};
  int writes_under_way = 0;  // to the upstream side; the proxy's thread alone
};

class Pipe;

// Every connection; the proxy's thread alone.
using Pipes = std::set<Pipe*>;
void ResetAll(const Pipes& pipes);

// Both directions of one connection. Kept alive by its pending operations; one thread.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(Tcp::socket near_side, Link& link, Pipes& all)
      : near_(std::move(near_side)), far_(near_.get_executor()), link_(link), all_(all) {
    all_.insert(this);
  }
  ~Pipe() { all_.erase(this); }

  void Begin(std::uint16_t upstream_port) {
    far_.async_connect({asio::ip::address_v4::loopback(), upstream_port},
                       [self = shared_from_this()](error_code error) {
                         if (error) return self->Reset();
                         error_code ignored;  // a slower link is a link all the same
                         self->near_.set_option(Tcp::no_delay(true), ignored);
                         self->far_.set_option(Tcp::no_delay(true), ignored);
                         self->ReadNear();
                         self->ReadFar();
                       });
  }

  // The near side sees a reset. The far side sees an end, since a reset could destroy bytes that
  // were counted as passed and wait in the kernel's buffer.
  void Reset() {
    error_code ignored;  // it is going away either way
    near_.set_option(asio::socket_base::linger(true, 0), ignored);
    near_.close(ignored);
    far_.close(ignored);
  }

 private:
  void ReadNear() {
    near_.async_read_some(asio::buffer(near_bytes_),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            if (error) return self->HalfClose(self->far_, error);
                            self->PassToFar(size);
                          });
  }

  void PassToFar(std::size_t size) {
    if (link_.down.load()) return Reset();
    // Taken before the write, so that of several connections none gets more than is left.
    std::uint64_t left = link_.left.load();
    std::uint64_t taken = 0;
    do {
      taken = std::min<std::uint64_t>(size, left);
    } while (left != kNoLimit && !link_.left.compare_exchange_weak(left, left - taken));
    if (taken == 0) return link_.writes_under_way == 0 ? GoDown() : Reset();
    ++link_.writes_under_way;
    asio::async_write(far_, asio::buffer(near_bytes_, taken),
                      [self = shared_from_this()](error_code error, std::size_t written) {
                        self->OnPassed(error, written);
                      });
  }

  void OnPassed(error_code error, std::size_t written) {
    --link_.writes_under_way;
    link_.to_upstream += written;
    // Other connections may still be passing what they took of the last bytes.
    if (link_.left.load() == 0) {
      if (link_.writes_under_way == 0) GoDown();
      return;
    }
    if (error) return Reset();
    ReadNear();
  }

  void GoDown() {
    link_.down.store(true);
    ResetAll(all_);
  }

  void ReadFar() {
    far_.async_read_some(asio::buffer(far_bytes_),
                         [self = shared_from_this()](error_code error, std::size_t size) {
                           if (error) return self->HalfClose(self->near_, error);
                           self->PassToNear(size);
                         });
  }

  void PassToNear(std::size_t size) {
    const std::string_view piece(far_bytes_.data(), size);
    std::optional<std::string> answer = link_.filter ? link_.filter(piece) : std::string(piece);
    if (!answer) return Reset();
    answer_ = std::move(*answer);
    const std::uint64_t left = link_.answers_left.load();
    const bool cut = left != kNoLimit && answer_.size() >= left;
    if (left != kNoLimit) {
      answer_.resize(std::min<std::uint64_t>(answer_.size(), left));
      link_.answers_left = left - answer_.size();
    }
    link_.from_upstream += answer_.size();
    asio::async_write(near_, asio::buffer(answer_),
                      [self = shared_from_this(), cut](error_code failed, std::size_t) {
                        if (cut) return self->GoDown();
                        if (failed) return self->Reset();
                        self->ReadFar();
                      });
  }

  void HalfClose(Tcp::socket& other, error_code why) {
    if (why != asio::error::eof) return Reset();
    error_code ignored;  // the other side may be gone already
    other.shutdown(Tcp::socket::shutdown_send, ignored);
  }

  Tcp::socket near_, far_;
  Link& link_;
  Pipes& all_;
  std::array<char, 16'384> near_bytes_{}, far_bytes_{};
  std::string answer_;  // being written
};

void ResetAll(const Pipes& pipes) {
  for (Pipe* pipe : pipes) pipe->Reset();
}

}  // namespace

struct TcpProxy::Impl {
  Link link;
  Pipes pipes;
  asio::io_context io{1};
  Tcp::acceptor acceptor{io};
  std::uint16_t upstream_port = 0;
  std::thread thread;

  void Accept() {
    acceptor.async_accept([this](error_code error, Tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) {
        auto pipe = std::make_shared<Pipe>(std::move(socket), link, pipes);
        if (link.down.load())
          pipe->Reset();
        else
          pipe->Begin(upstream_port);
      }
      Accept();
    });
  }
};

TcpProxy::TcpProxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<TcpProxy>> TcpProxy::Start(std::uint16_t upstream_port) {
  auto impl = std::make_unique<Impl>();
  impl->upstream_port = upstream_port;
  error_code error;
  impl->acceptor.open(Tcp::v4(), error);
  if (!error) impl->acceptor.bind({asio::ip::address_v4::loopback(), 0}, error);
  if (!error) impl->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Fail(ErrorCode::kUnavailable, "the proxy cannot listen: {}", error.message());
  impl->Accept();
  impl->thread = std::thread([raw = impl.get()] { raw->io.run(); });
  return std::unique_ptr<TcpProxy>(new TcpProxy(std::move(impl)));
}

TcpProxy::~TcpProxy() {
  asio::post(impl_->io, [raw = impl_.get()] {
    error_code ignored;  // closing a listening socket has no other outcome
    raw->acceptor.close(ignored);
    ResetAll(raw->pipes);
  });
  impl_->thread.join();
}

std::uint16_t TcpProxy::port() const { return impl_->acceptor.local_endpoint().port(); }
void TcpProxy::CutAfterBytes(std::uint64_t to_upstream) { impl_->link.left.store(to_upstream); }
void TcpProxy::CutAnswersAfterBytes(std::uint64_t from_upstream) {
  impl_->link.answers_left.store(from_upstream);
}
void TcpProxy::FilterAnswers(AnswerFilter filter) {
  std::promise<void> done;
  asio::post(impl_->io, [raw = impl_.get(), &filter, &done] {
    raw->link.filter = std::move(filter);
    done.set_value();
  });
  done.get_future().wait();
}
void TcpProxy::SetDown() {
  impl_->link.down.store(true);
  std::promise<void> done;
  asio::post(impl_->io, [raw = impl_.get(), &done] {
    ResetAll(raw->pipes);
    done.set_value();
  });
  done.get_future().wait();
}
void TcpProxy::SetUp() {
  impl_->link.left.store(kNoLimit);
  impl_->link.answers_left.store(kNoLimit);
  impl_->link.down.store(false);
}
bool TcpProxy::is_down() const { return impl_->link.down.load(); }
std::uint64_t TcpProxy::bytes_to_upstream() const { return impl_->link.to_upstream.load(); }
std::uint64_t TcpProxy::bytes_from_upstream() const { return impl_->link.from_upstream.load(); }

}  // namespace skerry
