// Faults of the link, against the real exchange: each is found out and explained in its facts, and
// nothing is lost or taken twice. SKERRY_WHOLE=1 cuts at every byte; otherwise a sample does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "base/random.h"
#include "http/tcp_proxy.h"
#include "sync/exchange.h"
#include "sync/tests/site_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kSampleStep = 397;  // a prime, so that the offsets fall everywhere
constexpr std::size_t kSmallRows = 10;

std::uint64_t Step() { return std::getenv("SKERRY_WHOLE") != nullptr ? 1 : kSampleStep; }

class LinkFaultTest : public SiteFixture {
 protected:
  LinkFaultTest() { OpenSite(); }
  ~LinkFaultTest() override { exchange_.reset(); }

  void Begin(TestHub::Transport transport) {
    hub_ = std::make_unique<TestHub>(Path("hub"), transport, clock_);
    proxy_ = TcpProxy::Start(hub_->port()).value();
    JoinDirectly(*hub_);
    StartExchange();
  }
  // As a new process would, with no connection open.
  void StartExchange() {
    exchange_.reset();
    ExchangeOptions options;
    const bool tls = hub_->url().starts_with("https");
    options.hub_url = fmt::format("{}://127.0.0.1:{}", tls ? "https" : "http", proxy_->port());
    options.state_directory = Path("site/sync");
    options.interval = std::chrono::hours(1);
    options.upload_chunk_bytes = limits::kLeastUploadChunkBytes;
    exchange_ = Must(Exchange::Make(std::move(options), PartsOfExchange()));
    exchange_->Start();
  }
  void Take(std::size_t rows) {
    Capture(rows, ++seed_);
    captured_ += rows;
  }
  std::string SyncError() {
    const Status synced = exchange_->SyncNow();
    // The facts tell it as well.
    EXPECT_EQ(exchange_->facts().last_error, synced ? "" : synced.error().message());
    return synced ? std::string() : synced.error().message();
  }
  // Once the link is whole again, every row is at the hub once, and nothing is left here.
  void ExpectExact(const std::string& after) {
    proxy_->FilterAnswers({});
    proxy_->SetUp();
    for (int round = 0; round < 2 && !exchange_->SyncNow(); ++round) {
    }
    ASSERT_EQ(SyncError(), "") << after;
    ASSERT_EQ(hub_->primary_rows(), captured_) << after;
    ASSERT_EQ(hub_->conflicts(), 0U) << after;
    ASSERT_EQ(PendingRows(), 0U) << after;
  }
  void ExpectSound() { EXPECT_THAT(outbox_->Verify().value(), testing::IsEmpty()); }

  std::unique_ptr<TestHub> hub_;
  std::unique_ptr<TcpProxy> proxy_;
  std::unique_ptr<Exchange> exchange_;
  std::uint64_t captured_ = 0;
  std::uint64_t seed_ = 0;
};

TEST_F(LinkFaultTest, CutAtEveryOffsetOfASmallExchange) {
  Begin(TestHub::Transport::kPlain);
  ASSERT_EQ(SyncError(), "");
  Take(kSmallRows);
  const std::uint64_t before = proxy_->bytes_to_upstream();
  ASSERT_EQ(SyncError(), "");
  const std::uint64_t whole = proxy_->bytes_to_upstream() - before;
  std::uint64_t refused = 0;
  for (std::uint64_t offset = 0; offset < whole; offset += Step()) {
    Take(kSmallRows);
    proxy_->CutAfterBytes(offset);
    if (!SyncError().empty()) ++refused;
    ExpectExact(fmt::format("a cut after {} of {} bytes", offset, whole));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(refused, whole / Step() / 2) << "the cuts were felt";
  ExpectSound();
}

TEST_F(LinkFaultTest, AnswersCutAtEveryOffset) {
  Begin(TestHub::Transport::kPlain);
  ASSERT_EQ(SyncError(), "");
  Take(kSmallRows);
  const std::uint64_t before = proxy_->bytes_from_upstream();
  ASSERT_EQ(SyncError(), "");
  const std::uint64_t whole = proxy_->bytes_from_upstream() - before;
  for (std::uint64_t offset = 0; offset < whole; offset += std::max<std::uint64_t>(1, Step() / 8)) {
    Take(kSmallRows);
    proxy_->CutAnswersAfterBytes(offset);
    SyncError();
    ExpectExact(fmt::format("answers cut after {} of {} bytes", offset, whole));
    if (HasFatalFailure()) return;
  }
  ExpectSound();
}

TEST_F(LinkFaultTest, CutAtRandomOffsetsOfALargeExchangeOnSeveralLanes) {
  Begin(TestHub::Transport::kTls);
  SeededRandom random(11);
  const int rounds = std::getenv("SKERRY_WHOLE") != nullptr ? 40 : 3;
  for (int round = 0; round < rounds; ++round) {
    Take(6'000);
    for (int cut = 0; cut < 8; ++cut) {
      proxy_->SetUp();
      proxy_->CutAfterBytes(2'000 + random.NextBelow(40'000));
      if (cut % 3 == 2) StartExchange();
      SyncError();
    }
    ExpectExact(fmt::format("round {}", round));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(exchange_->facts().resumed_bytes, 0U);
  ExpectSound();
}

TEST_F(LinkFaultTest, AnswersThatComeTwice) {
  Begin(TestHub::Transport::kPlain);
  for (int which = 0; which < 8; ++which) {
    Take(kSmallRows);
    int pieces = 0;
    proxy_->FilterAnswers([&](std::string_view piece) {
      const bool twice = which == 7 || pieces++ == which / 2;
      return std::optional(std::string(piece) + std::string(twice ? piece : ""));
    });
    SyncError();
    ExpectExact("answers that come twice");
    if (HasFatalFailure()) return;
  }
  ExpectSound();
}

TEST_F(LinkFaultTest, CaptivePortalsThatComeInTheMiddleAreToldApart) {
  Begin(TestHub::Transport::kPlain);
  const std::string page = "<html>Please log in</html>";
  const std::string portals[] = {
      fmt::format("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n"
                  "Connection: close\r\n\r\n{}",
                  page.size(), page),
      "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n"
      "Connection: close\r\n\r\n",
      fmt::format("HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nContent-Length: {}\r\n"
                  "Connection: close\r\n\r\n{}",
                  page.size(), page),
      fmt::format("HTTP/1.1 511 Network Authentication Required\r\nContent-Type: text/html\r\n"
                  "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
                  page.size(), page)};
  for (const std::string& portal : portals)
    for (int after = 0; after < 3; ++after) {
      Take(kSmallRows);
      exchange_.reset();
      int answers = 0;
      proxy_->FilterAnswers([&](std::string_view piece) {
        return std::optional(answers++ < after ? std::string(piece) : portal);
      });
      StartExchange();  // its first round is the one that meets the portal in the middle
      const std::string error = SyncError();
      EXPECT_THAT(error, HasSubstr("captive portal")) << portal;
      EXPECT_EQ(hub_->conflicts(), 0U);
      ExpectExact("a captive portal");
      if (HasFatalFailure()) return;
    }
  ExpectSound();
}

TEST_F(LinkFaultTest, AFlippedByteUnderTlsEndsTheConnectionAndNothingElse) {
  Begin(TestHub::Transport::kTls);
  for (int which = 0; which < 6; ++which) {
    Take(kSmallRows);
    int pieces = 0;
    exchange_.reset();
    proxy_->FilterAnswers([&](std::string_view piece) {
      std::string bytes(piece);
      if (pieces++ == which) bytes[bytes.size() / 2] ^= 0x20;
      return std::optional(bytes);
    });
    StartExchange();
    SyncError();
    ExpectExact(fmt::format("a byte flipped in piece {}", which));
    if (HasFatalFailure()) return;
  }
  ExpectSound();
}

TEST_F(LinkFaultTest, AStrangerThatTakesShipmentsAndSignsReceiptsIsNotBelieved) {
  Begin(TestHub::Transport::kPlain);
  TestHub stranger(Path("stranger"), TestHub::Transport::kPlain, clock_);
  // It knows the site's key, as a copy of the hub's data would, and has no hub's key.
  Must(stranger.Grant(
      Must(MakeJoinRequest(stranger.MakeToken("north", stranger.url()), identity_->key()))));
  Take(300);
  const auto honest = std::move(proxy_);
  proxy_ = TcpProxy::Start(stranger.port()).value();
  StartExchange();
  EXPECT_NE(SyncError(), "");
  EXPECT_EQ(PendingRows(), 300U);
  exchange_.reset();
  proxy_ = TcpProxy::Start(hub_->port()).value();
  StartExchange();
  clock_.Advance(std::chrono::microseconds(limits::kRefusedShipmentRetry).count());
  ExpectExact("a stranger");
  ExpectSound();
}

}  // namespace
}  // namespace skerry
