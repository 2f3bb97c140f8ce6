#include "sync/exchange.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <future>

#include "base/limits.h"
#include "base/link_limits.h"
#include "http/tcp_proxy.h"
#include "sync/tests/site_fixture.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ExchangeTest : public SiteFixture {
 protected:
  ExchangeTest() { OpenSite(); }
  ~ExchangeTest() override { exchange_.reset(); }

  void StartExchange(const std::string& hub_url, LinkOptions link = {}) {
    exchange_.reset();
    // Rounds come by SyncNow alone, after the first.
    ExchangeOptions options;
    options.hub_url = hub_url;
    options.state_directory = Path("site/sync");
    options.interval = std::chrono::hours(1);
    options.upload_chunk_bytes = limits::kLeastUploadChunkBytes;
    options.link = std::move(link);
    exchange_ = Must(Exchange::Make(std::move(options), PartsOfExchange()));
    exchange_->Start();
  }

  void MeetHubAt(std::int64_t clock_us) {
    clock_.SetUtc(clock_us);
    const SystemClock right;
    TestHub hub(Path("hub"), TestHub::Transport::kTls, right);
    Must(identity_->TakeToken(hub.MakeToken("north", hub.url())));
    Capture(10);
    StartExchange(hub.url());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(SyncError(), "no error");
    EXPECT_EQ(hub.primary_rows(), 10U);
    EXPECT_LE(identity_->time_floor_us(), right.UtcMicros());
    EXPECT_GT(identity_->time_floor_us(), right.UtcMicros() - kDayMicros);
    // By a clock that is ahead it is due all the time: asked for once, and not at every round.
    EXPECT_EQ(hub.renewals(), clock_us == 0 ? 0U : 1U);
    exchange_->Stop();
  }

  std::string SyncError() {
    const Status synced = exchange_->SyncNow();
    return synced ? std::string("no error") : synced.error().message();
  }
  // A hub with a model and a policy for the site, a token, 800 rows that wait, and an exchange that
  // is to make its first round. What the site is to run.
  DesiredState FirstRoundOf(TestHub& hub) {
    Must(identity_->TakeToken(hub.MakeToken("north", hub.url())));
    DesiredState state;
    state.version = 3;
    state.active = hub.Publish(MakePackage("one"), "milling", "1");
    state.policy = hub.PublishPolicy("milling", "1", OpenPolicyYaml());
    hub.SetDesired(state);
    Capture(800);
    StartExchange(hub.url());
    return state;
  }

  std::unique_ptr<Exchange> exchange_;
};

// Answers every connection with the same bytes and closes it.
class RawServer {
 public:
  explicit RawServer(std::string answer) : answer_(std::move(answer)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::listen(listener_, 8);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = fmt::format("http://127.0.0.1:{}", ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  const std::string& url() const { return url_; }

 private:
  void Run() {
    for (int peer = ::accept(listener_, nullptr, nullptr); peer >= 0;
         peer = ::accept(listener_, nullptr, nullptr)) {
      char request[4096];
      if (::recv(peer, request, sizeof request, 0) > 0)
        ::send(peer, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      ::close(peer);
    }
  }

  std::string answer_;
  std::string url_;
  int listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  std::thread thread_;
};

TEST_F(ExchangeTest, OneRoundJoinsDeploysShipsAndReports) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  const DesiredState state = FirstRoundOf(hub);
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_TRUE(identity_->joined());
  EXPECT_THAT(target_.models, ElementsAre(state.active));
  EXPECT_THAT(target_.policies, ElementsAre(state.policy));
  EXPECT_EQ(hub.primary_rows(), 800U);
  EXPECT_EQ(PendingRows(), 0U);
  ASSERT_TRUE(hub.status());
  EXPECT_EQ(hub.status()->counters.scored, 800U);
  EXPECT_TRUE(exchange_->facts().connected);
}

TEST_F(ExchangeTest, ASiteWhoseClockStandsIn1970MeetsItsHub) {
  MeetHubAt(0);
  EXPECT_THAT(exchange_->facts().alarms, testing::IsEmpty());
}

TEST_F(ExchangeTest, ASiteWhoseClockStandsIn2106MeetsItsHub) {
  MeetHubAt(4'300'000'000'000'000);
  EXPECT_THAT(exchange_->facts().alarms,
              ElementsAre(HasSubstr("the certificate of the hub expired on")));
}

TEST_F(ExchangeTest, RenewsWhenItIsDueAndWhenTheHubSaysThatTheCertificateHasExpired) {
  SystemClock right;
  clock_.SetUtc(right.UtcMicros());
  TestHub hub(Path("hub"), TestHub::Transport::kTls, right);
  JoinDirectly(hub);
  const CertificateFacts first = *identity_->certificate();
  Capture(10);
  StartExchange(hub.url());
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.renewals(), 0U);
  // Certificates count seconds, and the test's CA goes by the system's clock, as TLS does.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  hub.ExpireCertificates();
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.renewals(), 1U);
  const CertificateFacts second = *identity_->certificate();
  EXPECT_GT(second.not_after_us, first.not_after_us);
  EXPECT_EQ(second.key, first.key);
  clock_.SetUtc(second.not_after_us - 100 * kDayMicros);
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.renewals(), 1U) << "an hour has to pass, or the hub to ask";
  StartExchange(hub.url());
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.renewals(), 2U);
}

TEST_F(ExchangeTest, ARefusedRenewalIsAnAlarmAndWhatTheCertificateStillOpensGoesOn) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  JoinDirectly(hub);
  hub.ForgetKeys();
  clock_.SetUtc(identity_->certificate()->not_after_us - 40 * kDayMicros);
  StartExchange(hub.url());
  SyncError();
  EXPECT_TRUE(exchange_->facts().connected);
  EXPECT_THAT(exchange_->facts().alarms, testing::Contains(HasSubstr("renewing the certificate")));
}

TEST_F(ExchangeTest, TokenUsedTwiceIsSaidPlainly) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  const JoinToken token = hub.MakeToken("north", hub.url());
  ASSERT_TRUE(hub.Grant(MakeJoinRequest(token, *PrivateKey::Generate()).value()));
  Must(identity_->TakeToken(token));
  StartExchange(hub.url());
  EXPECT_THAT(SyncError(), HasSubstr("used already"));
  EXPECT_FALSE(identity_->joined());
}

TEST_F(ExchangeTest, WithoutATokenTheErrorSaysWhatIsNeeded) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  StartExchange(hub.url());
  EXPECT_THAT(SyncError(), HasSubstr("--token-file"));
}

TEST_F(ExchangeTest, HubOfAnotherCaIsRefusedAndNothingIsSent) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  TestHub stranger(Path("stranger"), TestHub::Transport::kTls, clock_);
  JoinDirectly(hub);
  Capture(300);
  StartExchange(stranger.url());
  const Status synced = exchange_->SyncNow();
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code(), ErrorCode::kPermissionDenied) << synced.error().message();
  EXPECT_FALSE(exchange_->facts().connected);
  EXPECT_EQ(stranger.taken_segments(), 0U);
  EXPECT_EQ(PendingRows(), 300U);
}

TEST_F(ExchangeTest, AnswersOfAnotherHubAreNotBelieved) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  TestHub stranger(Path("stranger"), TestHub::Transport::kPlain, clock_);
  JoinDirectly(hub);
  stranger.MakeToken("north", stranger.url());
  DesiredState state;
  state.version = 9;
  state.active = stranger.Publish(MakePackage("one"), "milling", "1");
  stranger.SetDesired(state);
  StartExchange(stranger.url());
  EXPECT_NE(SyncError(), "no error");
  EXPECT_FALSE(identity_->desired());
  EXPECT_TRUE(target_.models.empty());
}

TEST_F(ExchangeTest, CaptivePortalIsToldApartFromTheHub) {
  const RawServer portal(
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 28\r\n"
      "Connection: close\r\n\r\n<html>Please log in</html>\r\n");
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  JoinDirectly(hub);
  Capture(300);
  StartExchange(portal.url());
  EXPECT_THAT(SyncError(), HasSubstr("captive portal"));
  EXPECT_EQ(PendingRows(), 300U);
  EXPECT_FALSE(exchange_->facts().connected);
}

TEST_F(ExchangeTest, TruncatedAnswerIsRefusedAndAskedForAgain) {
  const RawServer cut(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
      "Connection: close\r\n\r\n{\"payload\":");
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  JoinDirectly(hub);
  StartExchange(cut.url());
  const Status synced = exchange_->SyncNow();
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code(), ErrorCode::kUnavailable) << synced.error().message();
  EXPECT_FALSE(identity_->desired());
}

TEST_F(ExchangeTest, LinkThatComesBackIsUsedWithoutARestart) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  const auto proxy = TcpProxy::Start(hub.port()).value();
  JoinDirectly(hub);
  Capture(900);
  proxy->SetDown();
  StartExchange(fmt::format("https://127.0.0.1:{}", proxy->port()));
  EXPECT_NE(SyncError(), "no error");
  EXPECT_EQ(PendingRows(), 900U);
  proxy->SetUp();
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.primary_rows(), 900U);
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ExchangeTest, OlderDesiredStateOfARestoredHubIsRefusedAndShippingGoesOn) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  JoinDirectly(hub);
  DesiredState state;
  state.version = 5;
  state.active = hub.Publish(MakePackage("one"), "milling", "1");
  hub.SetDesired(state);
  StartExchange(hub.url());
  EXPECT_EQ(SyncError(), "no error");
  hub.BackUpTuf();
  state.version = 6;
  hub.SetDesired(state);
  EXPECT_EQ(SyncError(), "no error");
  hub.RestoreTuf();
  Capture(300);
  EXPECT_THAT(SyncError(), HasSubstr("older"));
  EXPECT_THAT(exchange_->facts().alarms, testing::Contains(HasSubstr("older")));
  EXPECT_EQ(identity_->desired()->version, 6U);
  EXPECT_EQ(hub.primary_rows(), 300U);
}

// The first answer of the round says that the hub is behind: it hears of that before anything is
// sent, and the same round brings everything.
TEST_F(ExchangeTest, ARestoredHubIsShownItsReceiptBeforeAnythingIsSent) {
  grace_bytes_ = 1U << 20U;
  OpenSite();
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  FirstRoundOf(hub);
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(Must(outbox_->NewestReceipt())->incarnation, "test");
  EXPECT_EQ(PendingRows(), 0U);

  hub.GoBack();
  Capture(200);
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(Must(outbox_->NewestReceipt())->incarnation, "restored-1");
  EXPECT_EQ(hub.primary_rows(), 1'000U);
  EXPECT_EQ(PendingRows(), 0U);
  EXPECT_EQ(hub.conflicts(), 0U);
}

// Without a desired state it is the answer to the status that says so.
TEST_F(ExchangeTest, ARestoredHubWithoutADesiredStateIsFoundOutByTheStatus) {
  grace_bytes_ = 1U << 20U;
  OpenSite();
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  Must(identity_->TakeToken(hub.MakeToken("north", hub.url())));
  Capture(800);
  StartExchange(hub.url());
  EXPECT_EQ(SyncError(), "no error");
  hub.GoBack();
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(Must(outbox_->NewestReceipt())->incarnation, "restored-1");
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(hub.primary_rows(), 800U);
}

TEST_F(ExchangeTest, ReceiptThatCameByNoAnswerIsFetchedWithTheStatus) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  const auto proxy = TcpProxy::Start(hub.port()).value();
  JoinDirectly(hub);
  Capture(600);
  hub.BeforeAnswer([&]() -> Status { return Fail(ErrorCode::kInternal, "answer lost"); });
  StartExchange(fmt::format("http://127.0.0.1:{}", proxy->port()));
  static_cast<void>(exchange_->SyncNow());
  EXPECT_EQ(hub.primary_rows(), 600U);
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ExchangeTest, OutsideItsWindowsItDoesNotTouchTheLink) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  const auto proxy = TcpProxy::Start(hub.port()).value();
  JoinDirectly(hub);
  Capture(300);
  clock_.SetUtc(ParseUtc("2026-03-02T10:00:00Z").value());
  StartExchange(fmt::format("http://127.0.0.1:{}", proxy->port()), {.windows = {"22:00-06:00"}});
  EXPECT_THAT(SyncError(), HasSubstr("the next opens at 2026-03-02T22:00:00Z"));
  EXPECT_THAT(exchange_->facts().waiting, HasSubstr("22:00"));
  EXPECT_EQ(exchange_->facts().last_error, "") << "that is no trouble";
  EXPECT_EQ(proxy->bytes_to_upstream(), 0U);
  clock_.SetUtc(ParseUtc("2026-03-02T22:00:00Z").value());
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(exchange_->facts().waiting, "");
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ExchangeTest, ADaysBytesHoldOverARestartAndTheTransferGoesOnTheNextDay) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  const auto proxy = TcpProxy::Start(hub.port()).value();
  JoinDirectly(hub);
  Capture(20'000);
  const std::string url = fmt::format("http://127.0.0.1:{}", proxy->port());
  const LinkOptions link{.bytes_per_day = limits::kLeastLinkBytesPerDay};
  StartExchange(url, link);
  EXPECT_THAT(SyncError(), HasSubstr("link.bytes_per_day"));
  StartExchange(url, link);
  EXPECT_THAT(SyncError(), HasSubstr("link.bytes_per_day"));
  EXPECT_LT(PendingRows(), 20'001U);
  EXPECT_GT(PendingRows(), 0U);
  EXPECT_LE(proxy->bytes_to_upstream() + proxy->bytes_from_upstream(),
            limits::kLeastLinkBytesPerDay);
  for (int day = 0; day < 30 && PendingRows() > 0; ++day) {
    clock_.Advance(std::chrono::microseconds(std::chrono::hours(24)).count());
    SyncError();
  }
  EXPECT_EQ(PendingRows(), 0U);
  EXPECT_EQ(hub.primary_rows(), 20'000U);
  EXPECT_EQ(hub.conflicts(), 0U);
  EXPECT_GT(exchange_->facts().resumed_bytes, 0U);
}

TEST_F(ExchangeTest, AnAnomalyGoesFirstWhileABacklogDrainsAtTheBudgetsRate) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  JoinDirectly(hub);
  Capture(8'000);
  std::vector<RecordClass> order;  // of the segments, as their shipments came; the hub's lock
  std::promise<void> began;
  hub.Refuse([&](const ShipmentStatement& statement) -> Status {
    for (const SegmentEntry& segment : statement.segments) order.push_back(segment.cls);
    return {};
  });
  StartExchange(hub.url(), {.bytes_per_second = 30'000});
  auto synced = std::async(std::launch::async, [&] { return SyncError(); });
  // The budget's clock stands while the anomaly is sealed, and then goes slower than the real one,
  // by which the exchange looks for what is urgent.
  while (exchange_->facts().moved_bytes < 15'000) clock_.Advance(1'000);
  CaptureAnomalies(20);
  for (auto last = std::chrono::steady_clock::now(); exchange_->facts().gone_first == 0;) {
    const auto now = std::chrono::steady_clock::now();
    const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(now - last);
    if (passed.count() < 1'000) continue;
    clock_.Advance(passed.count() / 10);
    last = now;
  }
  while (synced.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready)
    clock_.Advance(100'000);
  EXPECT_EQ(synced.get(), "no error");
  ASSERT_GE(order.size(), 2U);
  EXPECT_EQ(order.front(), RecordClass::kAnomaly) << "what was under way had begun before it";
  EXPECT_EQ(exchange_->facts().gone_first, 1U);
  EXPECT_EQ(hub.primary_rows(), 8'020U);
  EXPECT_EQ(hub.conflicts(), 0U);
}

TEST_F(ExchangeTest, AnAnomalyGoesFirstWhileNoByteOfTheBacklogMoves) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  JoinDirectly(hub);
  Capture(100);
  std::once_flag anomaly;
  std::promise<void> anomaly_came;
  hub.Refuse([&](const ShipmentStatement& statement) -> Status {
    if (statement.segments.front().cls == RecordClass::kAnomaly)
      std::call_once(anomaly, [&] { anomaly_came.set_value(); });
    return {};
  });
  // The hub is slow to answer the backlog's shipment: until the anomaly is there, or for longer
  // than it may take.
  std::once_flag slow;
  bool came_meanwhile = false;
  hub.BeforeAnswer([&]() -> Status {
    std::call_once(slow, [&] {
      CaptureAnomalies(20);
      came_meanwhile =
          anomaly_came.get_future().wait_for(std::chrono::seconds(10)) == std::future_status::ready;
    });
    return {};
  });
  StartExchange(hub.url());
  EXPECT_EQ(SyncError(), "no error");
  EXPECT_TRUE(came_meanwhile);
  EXPECT_EQ(exchange_->facts().gone_first, 1U);
  EXPECT_EQ(hub.primary_rows(), 120U);
  EXPECT_EQ(hub.conflicts(), 0U);
}

TEST_F(ExchangeTest, RoundsWithNothingToSendKeepOneConnection) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  JoinDirectly(hub);
  StartExchange(hub.url());
  for (int round = 0; round < 5; ++round) EXPECT_EQ(SyncError(), "no error");
  EXPECT_EQ(exchange_->facts().connections, 1U);
  for (std::uint64_t round = 1; round < 5; ++round) {
    Capture(10, round);
    EXPECT_EQ(SyncError(), "no error");
  }
  EXPECT_EQ(exchange_->facts().connections, 2U) << "and one for what is in bulk";
}

TEST_F(ExchangeTest, ASmallShipmentIsOneRequest) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  JoinDirectly(hub);
  const std::uint64_t before = hub.requests();
  Capture(10);
  RegistryClient* lanes[1];
  HttpClient http({});
  RegistryClient client(hub.url(), http, limits::kUploadChunkBytes, limits::kSingleRequestBytes);
  lanes[0] = &client;
  Shipper shipper(ShipWhich::kRest, Path("site/sync/uploads.json"), *outbox_, *identity_, clock_);
  ShipReport report;
  Must(shipper.ShipPending(lanes, {}, report));
  EXPECT_EQ(report.shipped, 1U);
  EXPECT_EQ(hub.requests(), before + 1);
  EXPECT_EQ(hub.primary_rows(), 10U);
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ExchangeTest, UrlThatIsNoneIsRefusedAtTheStart) {
  EXPECT_EQ(Exchange::Make({"hub.example", Path("site/sync")}, {}).error().code(),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skerry
