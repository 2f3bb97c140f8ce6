#include "sync/exchange.h"

#include <pthread.h>

#include <algorithm>

#include "base/delta_limits.h"
#include "base/limits.h"
#include "base/link_limits.h"
#include "base/log.h"
#include "base/random.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

constexpr std::chrono::hours kRenewalPause{1};  // after an answer

}  // namespace

bool Exchange::IsOfTheLink(const Error& error) {
  return error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded;
}

// What stands between the exchange's HTTP clients and the network.
class Exchange::Gate final : public TransferGate {
 public:
  Gate(Exchange& exchange, TransferKind kind) : exchange_(&exchange), kind_(kind) {}
  std::size_t piece_bytes() override { return exchange_->PieceBytes(); }
  Status Begin() override { return exchange_->BeforeCall(kind_); }
  Status Pass(std::size_t bytes, std::size_t reserved) override {
    return exchange_->BeforeNextChunk(kind_, bytes, reserved);
  }
  void Charge(std::size_t bytes, std::size_t reserved) override {
    exchange_->budget_->Charge(bytes, reserved);
  }

 private:
  Exchange* exchange_;
  TransferKind kind_;
};

Exchange::Exchange(ExchangeOptions options, ExchangeParts parts, std::unique_ptr<LinkBudget> budget)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      budget_(std::move(budget)),
      connected_gauge_(&parts_.metrics->AddGauge("skerry_exchange_connected",
                                                 "1 when the last round reached the hub, else 0")),
      shipped_counter_(&parts_.metrics->AddCounter("skerry_exchange_shipments_total",
                                                   "Shipments that the hub has taken")),
      failed_rounds_counter_(&parts_.metrics->AddCounter("skerry_exchange_failed_rounds_total",
                                                         "Rounds that ended with an error")),
      sent_bytes_counter_(&parts_.metrics->AddCounter(
          "skerry_exchange_sent_bytes_total", "Bytes of shipments that went over the link")),
      resumed_bytes_counter_(&parts_.metrics->AddCounter(
          "skerry_exchange_resumed_bytes_total",
          "Bytes of cut uploads that the hub still had, so that they were not sent again")),
      shipper_(ShipWhich::kRest, options_.state_directory / "uploads.json", *parts_.outbox,
               *parts_.identity, *parts_.clock),
      urgent_(ShipWhich::kUrgent, options_.state_directory / "urgent-uploads.json", *parts_.outbox,
              *parts_.identity, *parts_.clock) {
  facts_.hub_url = options_.hub_url;
}

Result<std::unique_ptr<Exchange>> Exchange::Make(ExchangeOptions options, ExchangeParts parts) {
  while (options.hub_url.ends_with('/')) options.hub_url.pop_back();
  if (!options.hub_url.starts_with("https://") && !options.hub_url.starts_with("http://"))
    return Fail(ErrorCode::kInvalidArgument,
                "the hub's URL is \"{}\", must start with https:// (or http:// on loopback)",
                options.hub_url);
  SKERRY_ASSIGN_OR_RETURN(
      auto budget,
      LinkBudget::Open(options.link, options.state_directory / "budget.json", *parts.clock));
  return std::unique_ptr<Exchange>(
      new Exchange(std::move(options), std::move(parts), std::move(budget)));
}

void Exchange::Start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "exchange");
    Run();
  });
}

Exchange::~Exchange() { Stop(); }

void Exchange::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Exchange::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

Status Exchange::SyncNow() {
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++asked_rounds_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return stopping_ || done_rounds_ >= mine; });
  if (done_rounds_ >= mine) return last_round_;
  return Fail(ErrorCode::kUnavailable, "the exchange is stopping");
}

ExchangeFacts Exchange::facts() const {
  LinkFacts link = budget_->facts();
  const std::lock_guard lock(mutex_);
  ExchangeFacts facts = facts_;
  facts.waiting = std::move(link.closed);
  facts.moved_bytes = link.bytes_in_all;
  facts.moved_today_bytes = link.bytes_today;
  facts.bytes_per_second = static_cast<std::uint64_t>(rate_);
  return facts;
}

std::chrono::milliseconds Exchange::NextDelay() const {
  if (failures_ == 0) return options_.interval;
  const int doublings = std::min(failures_ - 1, 20);
  const std::chrono::milliseconds longest =
      std::min(limits::kBackoffMost, limits::kBackoffLeast * (std::int64_t{1} << doublings));
  // Half of it at random, so that a fleet does not come back in step.
  std::uint32_t random = 0;
  FillRandom(&random, sizeof random);
  return longest / 2 + longest * random / (std::int64_t{2} << 32);
}

void Exchange::WaitForTurn(std::unique_lock<std::mutex>& lock) {
  const auto due = std::chrono::steady_clock::now() + NextDelay();
  const auto asked = [&] {
    return stopping_ || done_rounds_ < asked_rounds_ || (woken_ && failures_ == 0);
  };
  while (!asked()) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= due) return;
    if (changed_.wait_until(lock, std::min(due, now + limits::kUrgentLook), asked)) return;
    if (failures_ > 0 || closed_) continue;
    lock.unlock();
    const bool urgent = UrgentIsDue();
    lock.lock();
    if (urgent) return;
  }
}

void Exchange::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const std::uint64_t asked = asked_rounds_;
    woken_ = false;
    contact_ = false;
    closed_ = false;
    lock.unlock();
    Status round = Round();
    lock.lock();
    // That the budget is closed is no failure; the next look costs nothing.
    const bool failed = !round && !closed_;
    failures_ = failed ? failures_ + 1 : 0;
    if (failed) failed_rounds_counter_->Add();
    if (failed && facts_.last_error != round.error().message())
      LogWarning("exchange: {}", round.error().message());
    facts_.last_error = failed ? round.error().message() : "";
    facts_.connected = contact_;
    facts_.alarms = urgent_.alarms();
    for (std::string& alarm : shipper_.alarms()) facts_.alarms.push_back(std::move(alarm));
    if (!desired_alarm_.empty()) facts_.alarms.push_back(desired_alarm_);
    for (std::string& alarm : CertificateAlarms()) facts_.alarms.push_back(std::move(alarm));
    facts_.connections =
        closed_connections_ + talk_.http->connections() + urgent_lane_.http->connections();
    for (const Lane& lane : bulk_) facts_.connections += lane.http->connections();
    ++facts_.rounds;
    connected_gauge_->Set(facts_.connected ? 1 : 0);
    last_round_ = std::move(round);
    done_rounds_ = asked;
    changed_.notify_all();
    WaitForTurn(lock);
  }
  changed_.notify_all();
}

Status Exchange::Round() {
  Connect();
  NoteTrustedTimes();
  if (std::string closed = budget_->facts().closed; !closed.empty()) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    return Fail(ErrorCode::kUnavailable, "{}", closed);
  }
  Status first;
  bool again = true;
  bool refused = false;  // once in this round, for want of a certificate that holds
  while (again) {
    again = false;
    first = {};
    for (Status (Exchange::*step)() :
         {&Exchange::JoinIfNeeded, &Exchange::RenewIfDue, &Exchange::FollowDesired,
          &Exchange::TellOfRestore, &Exchange::ShipUrgent, &Exchange::ShipRest,
          &Exchange::Report}) {
      Status done = (this->*step)();
      if (done) continue;
      // By a clock that is behind, a certificate that has expired looks good until the hub says so.
      if (done.error().code() == ErrorCode::kUnauthenticated && !refused &&
          parts_.identity->joined()) {
        again = refused = renewal_asked_for_ = true;
        break;
      }
      const bool of_the_link = IsOfTheLink(done.error());
      if (first) first = std::move(done);
      // Without a certificate no later step can be answered.
      if (of_the_link || !parts_.identity->joined()) break;
    }
    const std::lock_guard turn(turn_mutex_);
    again = std::exchange(start_again_, false) || again;
  }
  return first;
}

Exchange::Lane Exchange::MakeLane(TransferKind kind, const HttpClientOptions& options) {
  Lane lane;
  lane.gate = std::make_unique<Gate>(*this, kind);
  HttpClientOptions gated = options;
  gated.gate = lane.gate.get();
  lane.http = std::make_unique<HttpClient>(std::move(gated));
  lane.registry = std::make_unique<RegistryClient>(
      options_.hub_url, *lane.http, options_.upload_chunk_bytes,
      std::min(limits::kSingleRequestBytes, options_.upload_chunk_bytes));
  return lane;
}

void Exchange::Connect() {
  const std::string certificate = parts_.identity->certificate_pem();
  if (talk_.http && certificate == certificate_in_use_) return;
  HttpClientOptions options;
  options.ca_pem = parts_.identity->ca_pem();
  options.certificate_time_us = [identity = parts_.identity] { return identity->time_floor_us(); };
  if (!certificate.empty()) {
    if (const auto key = parts_.identity->key().ToPem(); key) {
      options.client_certificate_pem = certificate;
      options.client_key_pem = *key;
    }
  }
  if (talk_.http)
    closed_connections_ += talk_.http->connections() + urgent_lane_.http->connections();
  for (const Lane& lane : bulk_) closed_connections_ += lane.http->connections();
  hub_.reset();
  bulk_.clear();
  talk_ = MakeLane(TransferKind::kTalk, options);
  urgent_lane_ = MakeLane(TransferKind::kUrgent, options);
  hub_ = std::make_unique<HubClient>(options_.hub_url, *talk_.http);
  for (std::size_t i = 0; i < limits::kUploadLanes; ++i)
    bulk_.push_back(MakeLane(TransferKind::kBulk, options));
  certificate_in_use_ = certificate;
}

void Exchange::NoteTrustedTimes() { budget_->NoteTrustedTime(parts_.identity->time_floor_us()); }

Status Exchange::JoinIfNeeded() {
  if (parts_.identity->joined()) return {};
  SKERRY_ASSIGN_OR_RETURN(const JoinRequest request, parts_.identity->MakeRequest());
  SKERRY_ASSIGN_OR_RETURN(const std::string grant, hub_->Join(request));
  SKERRY_RETURN_IF_ERROR(parts_.identity->ApplyGrant(grant));
  NoteContact();
  Connect();
  return {};
}

Status Exchange::RenewIfDue() {
  const auto now = std::chrono::steady_clock::now();
  // By a clock that is far ahead it is due all the time; the hub says that it is not.
  const bool due = parts_.identity->RenewalIsDue(*parts_.clock) && now >= renew_again_;
  if (!due && !renewal_asked_for_) return {};
  const Result<bool> renewed = Renew();
  if (!renewed && IsOfTheLink(renewed.error())) return tl::make_unexpected(renewed.error());
  renewal_asked_for_ = false;
  renew_again_ = now + kRenewalPause;
  renewal_alarm_ = renewed ? "" : renewed.error().message();
  if (renewed && *renewed) Connect();
  return {};
}

Result<bool> Exchange::Renew() {
  SKERRY_ASSIGN_OR_RETURN(const std::string request, parts_.identity->MakeRenewalRequest());
  SKERRY_ASSIGN_OR_RETURN(const std::string grant, hub_->Renew(parts_.identity->site(), request));
  SKERRY_ASSIGN_OR_RETURN(const auto change, parts_.identity->ApplyGrant(grant));
  NoteContact();
  return change == SiteIdentity::GrantChange::kTaken;
}

std::vector<std::string> Exchange::CertificateAlarms() const {
  std::vector<std::string> alarms;
  if (!renewal_alarm_.empty()) alarms.push_back(renewal_alarm_);
  const std::int64_t expires_us = talk_.http->server_certificate_expires_us();
  if (expires_us == 0) return alarms;
  std::string alarm = ExpiryAlarm("the hub", expires_us, parts_.identity->Now(*parts_.clock));
  if (!alarm.empty()) alarms.push_back(std::move(alarm));
  return alarms;
}

Result<std::string> Exchange::AskTimestamp() {
  const std::uint64_t connections = talk_.http->connections();
  const auto began = std::chrono::steady_clock::now();
  SKERRY_ASSIGN_OR_RETURN(std::string timestamp, hub_->TufTimestamp(parts_.identity->site()));
  NoteContact();
  // Not with a handshake in it.
  if (connections == talk_.http->connections()) {
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - began);
    const std::lock_guard lock(mutex_);
    facts_.round_trip_us = static_cast<std::uint64_t>(took.count());
  }
  return timestamp;
}

Status Exchange::FollowDesired() {
  SKERRY_ASSIGN_OR_RETURN(timestamp_seen_, AskTimestamp());
  Status accepted;
  if (!parts_.identity->IsCurrent(timestamp_seen_)) {
    LinkTufSource source(*hub_, timestamp_seen_);
    const auto change = parts_.identity->FollowDesired(source);
    if (!change && IsOfTheLink(change.error())) return tl::make_unexpected(change.error());
    if (!change) accepted = tl::make_unexpected(change.error());
  }
  desired_alarm_ =
      accepted ? "" : "the hub's desired state is not taken: " + accepted.error().message();
  // Also when the offered one was refused: what was accepted before may not be here yet.
  RegistrySource source(*bulk_[0].registry, options_.state_directory / "incoming", {},
                        [this](const Digest& target, const std::vector<Digest>& holds) {
                          return AskForDelta(target, holds);
                        });
  deploying_ = true;
  const std::vector<DeployOutcome> outcomes = parts_.deployer->Reconcile(source);
  deploying_ = false;
  for (const DeployOutcome& outcome : outcomes) {
    if (outcome.result == DeployResult::kApplied || outcome.result == DeployResult::kHeld) continue;
    // A release that is refused is settled, stands among the alarms, and is no reason to come
    // later.
    if (outcome.result == DeployResult::kRefused && outcome.what.starts_with("release ")) continue;
    if (accepted)
      accepted = Fail(ErrorCode::kFailedPrecondition, "{}: {}", outcome.what, outcome.reason);
  }
  return accepted;
}

// On the thread, while nobody else talks: deploying_.
std::optional<std::string> Exchange::AskForDelta(const Digest& target,
                                                 const std::vector<Digest>& holds) {
  const auto until = std::chrono::steady_clock::now() + limits::kDeltaPatience;
  while (true) {
    auto delta = hub_->Delta(parts_.identity->site(), target, holds);
    if (!delta) {
      LogInfo("layers come whole: {}", delta.error().message());
      return std::nullopt;
    }
    if (*delta) return *std::move(delta);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limits::kDeltaLook, [&] { return stopping_; });
    if (stopping_ || std::chrono::steady_clock::now() >= until) return std::nullopt;
  }
}

Status Exchange::Report() {
  SKERRY_ASSIGN_OR_RETURN(const std::string status, parts_.make_status());
  return PostStatus(status);
}

Status Exchange::PostStatus(const std::string& status) {
  SKERRY_RETURN_IF_ERROR(hub_->PostStatus(parts_.identity->site(), status));
  NoteContact();
  {
    const std::lock_guard turn(turn_mutex_);
    report_bytes_ = status.size() + timestamp_seen_.size() + kReportHeads;
    moved_at_report_ = budget_->facts().bytes_in_all;
    reported_at_ = std::chrono::steady_clock::now();
  }
  return FollowReceipts(ReceiptWanted::kIfDifferent);
}

// Before anything is sent: a receipt that a restored hub gives before it knows that it was one
// would be of the incarnation before.
Status Exchange::TellOfRestore() { return FollowReceipts(ReceiptWanted::kIfBehind); }

Status Exchange::FollowReceipts(ReceiptWanted wanted) {
  const std::optional<ReceiptPosition>& hub = hub_->position();
  if (!hub) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::optional<HeldReceipt> held, parts_.outbox->NewestReceipt());
  const bool same = held && held->incarnation == hub->incarnation;
  if (held ? same && held->counter == hub->counter : hub->counter == 0) return {};
  std::optional<std::string> receipt;
  const bool show = held && (!same || held->counter > hub->counter);
  if (show) {
    auto shown = hub_->ShowReceipt(parts_.identity->site(), held->envelope);
    if (shown)
      receipt = std::move(*shown);
    else if (shown.error().code() != ErrorCode::kPermissionDenied)
      return tl::make_unexpected(shown.error());
  }
  // A hub of other keys has not signed what is held here.
  if (!receipt && (show || wanted == ReceiptWanted::kIfDifferent)) {
    SKERRY_ASSIGN_OR_RETURN(receipt, hub_->Receipt(parts_.identity->site()));
  }
  if (!receipt) return {};
  const auto applied = parts_.outbox->ApplyReceipt(*receipt, parts_.identity->hub_keys());
  if (!applied) return tl::make_unexpected(applied.error());
  parts_.identity->RaiseTimeFloor(applied->issued_at_us);
  return {};
}

void Exchange::NoteContact() {
  const std::lock_guard lock(mutex_);
  contact_ = true;
  facts_.connected = true;
  facts_.last_contact_us = parts_.clock->UtcMicros();
}

}  // namespace skerry
