#include "sync/exchange.h"

#include <pthread.h>

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "base/random.h"

namespace skerry {
namespace {

// The link is away, or what is there is not our hub: the rest of a round would end the same way.
bool IsOfTheLink(const Error& error) {
  return error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded;
}

}  // namespace

Exchange::Exchange(ExchangeOptions options, ExchangeParts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
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
      shipper_(options_.state_directory, *parts_.outbox, *parts_.identity, *parts_.clock) {
  facts_.hub_url = options_.hub_url;
}

Result<std::unique_ptr<Exchange>> Exchange::Make(ExchangeOptions options, ExchangeParts parts) {
  while (options.hub_url.ends_with('/')) options.hub_url.pop_back();
  if (!options.hub_url.starts_with("https://") && !options.hub_url.starts_with("http://"))
    return Fail(ErrorCode::kInvalidArgument,
                "the hub's URL is \"{}\", must start with https:// (or http:// on loopback)",
                options.hub_url);
  return std::unique_ptr<Exchange>(new Exchange(std::move(options), std::move(parts)));
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
  const std::lock_guard lock(mutex_);
  return facts_;
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
  changed_.wait_until(lock, due, [&] {
    return stopping_ || done_rounds_ < asked_rounds_ || (woken_ && failures_ == 0);
  });
}

void Exchange::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const std::uint64_t asked = asked_rounds_;
    woken_ = false;
    contact_ = false;
    lock.unlock();
    Status round = Round();
    lock.lock();
    failures_ = round ? 0 : failures_ + 1;
    if (!round) failed_rounds_counter_->Add();
    if (!round && facts_.last_error != round.error().message())
      LogWarning("exchange: {}", round.error().message());
    facts_.last_error = round ? "" : round.error().message();
    facts_.connected = contact_;
    facts_.alarms = shipper_.alarms();
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
  Status first;
  for (Status (Exchange::*step)() :
       {&Exchange::JoinIfNeeded, &Exchange::FollowDesired, &Exchange::Ship, &Exchange::Report}) {
    Status done = (this->*step)();
    if (done) continue;
    const bool of_the_link = IsOfTheLink(done.error());
    if (first) first = std::move(done);
    // Without a certificate no later step can be answered.
    if (of_the_link || !parts_.identity->joined()) break;
  }
  return first;
}

void Exchange::Connect() {
  const std::string certificate = parts_.identity->certificate_pem();
  if (http_ && certificate == certificate_in_use_) return;
  HttpClientOptions options;
  options.ca_pem = parts_.identity->ca_pem();
  if (!certificate.empty()) {
    if (const auto key = parts_.identity->key().ToPem(); key) {
      options.client_certificate_pem = certificate;
      options.client_key_pem = *key;
    }
  }
  registry_.reset();
  hub_.reset();
  http_ = std::make_unique<HttpClient>(std::move(options));
  hub_ = std::make_unique<HubClient>(options_.hub_url, *http_);
  registry_ =
      std::make_unique<RegistryClient>(options_.hub_url, *http_, options_.upload_chunk_bytes);
  certificate_in_use_ = certificate;
}

Status Exchange::JoinIfNeeded() {
  if (parts_.identity->joined()) return {};
  SKERRY_ASSIGN_OR_RETURN(const JoinRequest request, parts_.identity->MakeRequest());
  SKERRY_ASSIGN_OR_RETURN(const std::string grant, hub_->Join(request));
  SKERRY_RETURN_IF_ERROR(parts_.identity->ApplyGrant(grant));
  NoteContact();
  Connect();
  return {};
}

Status Exchange::FollowDesired() {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> envelope,
                          hub_->Desired(parts_.identity->site()));
  NoteContact();
  Status accepted;
  if (envelope) {
    const auto change = parts_.identity->AcceptDesired(*envelope);
    if (!change) accepted = tl::make_unexpected(change.error());
  }
  // Also when the offered one was refused: what was accepted before may not be here yet.
  RegistrySource source(*registry_, options_.state_directory / "incoming",
                        [this](std::uint64_t, std::uint64_t) { return BeforeNextChunk(); });
  for (const DeployOutcome& outcome : parts_.deployer->Reconcile(source)) {
    if (outcome.result == DeployResult::kApplied || outcome.result == DeployResult::kHeld) continue;
    if (accepted)
      accepted = Fail(ErrorCode::kFailedPrecondition, "{}: {}", outcome.what, outcome.reason);
  }
  return accepted;
}

Status Exchange::Ship() {
  ShipReport report;
  Status shipped = shipper_.ShipPending(
      *registry_, [this](std::uint64_t, std::uint64_t) { return BeforeNextChunk(); }, report);
  shipped_counter_->Add(report.shipped);
  sent_bytes_counter_->Add(report.bytes);
  resumed_bytes_counter_->Add(report.resumed_bytes);
  const std::lock_guard lock(mutex_);
  facts_.shipped += report.shipped;
  facts_.sent_bytes += report.bytes;
  facts_.resumed_bytes += report.resumed_bytes;
  return shipped;
}

Status Exchange::Report() {
  SKERRY_ASSIGN_OR_RETURN(const std::string status, parts_.make_status());
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t counter,
                          hub_->PostStatus(parts_.identity->site(), status));
  NoteContact();
  if (counter == 0 || counter == receipt_counter_) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::string> receipt,
                          hub_->Receipt(parts_.identity->site()));
  if (receipt)
    SKERRY_RETURN_IF_ERROR(parts_.outbox->ApplyReceipt(*receipt, parts_.identity->hub_keys()));
  receipt_counter_ = counter;
  return {};
}

Status Exchange::BeforeNextChunk() {
  const std::lock_guard lock(mutex_);
  if (stopping_) return Fail(ErrorCode::kUnavailable, "the exchange is stopping");
  return {};
}

void Exchange::NoteContact() {
  const std::lock_guard lock(mutex_);
  contact_ = true;
  facts_.last_contact_us = parts_.clock->UtcMicros();
}

}  // namespace skerry
