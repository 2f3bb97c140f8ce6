// The site's side of the link: one thread that keeps site and hub up to date while there is one.
//
// Role: a round is
//   join (until joined) -> desired state -> policy and packages (Deployer) -> pending shipments
//   (Shipper) -> signed status -> the newest receipt.
// A refusal in one step does not keep the later ones from being done; a link that is away ends the
// round. Rounds come at `interval`, or when woken; after a failed one with exponential back-off
// (limits::kBackoffLeast to kBackoffMost, jittered by half).
// Owned by the site; borrowed: everything in ExchangeParts, which must outlive it. All functions
// are thread-safe. Stop() ends a transfer at its next chunk.
//
// Every byte in bulk passes Exchange::BeforeNextChunk: the one place where a bandwidth budget, sync
// windows and pre-emption by class belong.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "http/client.h"
#include "outbox/outbox.h"
#include "sync/deployer.h"
#include "sync/hub_client.h"
#include "sync/shipper.h"
#include "trust/identity.h"

namespace skerry {

struct ExchangeParts {
  SiteIdentity* identity = nullptr;
  Outbox* outbox = nullptr;
  Deployer* deployer = nullptr;
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
  // A new signed status envelope. Called on the exchange's thread.
  std::function<Result<std::string>()> make_status;
};

struct ExchangeOptions {
  std::string hub_url;                    // "https://hub:8443"
  std::filesystem::path state_directory;  // `<data>/sync`
  std::chrono::milliseconds interval{10'000};
  // A blob of more bytes goes in pieces of so many; after a cut it goes on at the byte, and a more
  // valuable shipment may go first between two pieces.
  std::size_t upload_chunk_bytes = limits::kUploadChunkBytes;
};

// For people; of one moment.
struct ExchangeFacts {
  std::string hub_url;
  bool connected = false;  // the last round reached the hub
  std::uint64_t rounds = 0;
  std::uint64_t shipped = 0;         // shipments since the start
  std::uint64_t sent_bytes = 0;      // of blobs over the link since the start
  std::uint64_t resumed_bytes = 0;   // of these blobs, what the hub still had after a cut
  std::int64_t last_contact_us = 0;  // UTC; 0 before the first
  std::string last_error;            // of the last round; empty when it was whole
  std::vector<std::string> alarms;   // refused shipments, a token that cannot be used, ...
};

class Exchange {
 public:
  // kInvalidArgument when the URL is none. Nothing happens before Start.
  static Result<std::unique_ptr<Exchange>> Make(ExchangeOptions options, ExchangeParts parts);
  // Starts the thread; call once.
  void Start();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange();

  // There is something new: a round soon, unless the back-off runs.
  void Wake();
  // Runs a round now, back-off or not, and waits for its end: its first error, or OK.
  Status SyncNow();
  ExchangeFacts facts() const;
  void Stop();

 private:
  Exchange(ExchangeOptions options, ExchangeParts parts);
  void Run();
  void WaitForTurn(std::unique_lock<std::mutex>& lock);
  std::chrono::milliseconds NextDelay() const;
  Status Round();
  Status JoinIfNeeded();
  Status FollowDesired();
  Status Ship();
  Status Report();
  void Connect();
  Status BeforeNextChunk();
  void NoteContact();

  const ExchangeOptions options_;
  const ExchangeParts parts_;
  Gauge* connected_gauge_;
  Counter* shipped_counter_;
  Counter* failed_rounds_counter_;
  Counter* sent_bytes_counter_;
  Counter* resumed_bytes_counter_;

  // The thread's own.
  std::string certificate_in_use_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<HubClient> hub_;
  std::unique_ptr<RegistryClient> registry_;
  Shipper shipper_;
  std::uint64_t receipt_counter_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  bool woken_ = false;
  bool contact_ = false;            // the hub has answered in this round
  std::uint64_t asked_rounds_ = 0;  // by SyncNow
  std::uint64_t done_rounds_ = 0;   // of those asked for
  int failures_ = 0;                // in a row
  Status last_round_;
  ExchangeFacts facts_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
