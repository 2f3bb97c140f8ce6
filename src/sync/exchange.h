// The site's side of the link: one thread that keeps site and hub up to date while there is one.
//
// Role: a round is
//   join (until joined), or a new certificate (when it is due) -> desired state -> policy and
//   packages (Deployer) -> the hub's last receipt, where the hub knows less than it says -> urgent
//   shipments -> the other shipments (Shipper) -> signed status -> the newest receipt.
// A refusal in one step does not keep the later ones from being done; a link that is away ends the
// round. Rounds come at `interval`, when woken, or within limits::kUrgentLook when an urgent record
// is sealed; after a failed one with exponential back-off (limits::kBackoffLeast to kBackoffMost,
// jittered by half). None begins while the budget is closed (link_budget.h).
// Owned by the site; borrowed: everything in ExchangeParts, which must outlive it. All functions
// are thread-safe. Stop() ends a transfer at its next piece.
//
// Every body passes Exchange::BeforeNextChunk, a piece of half a second of the measured rate at a
// time: there the budget holds it up, and whatever is not urgent waits while something urgent goes
// first, on a connection of its own. While bulk is under way, the hub is asked for a newer desired
// state and gets a status where that costs little of what the bulk takes; a newer desired state
// ends the bulk, which goes on at the byte behind it.
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
#include "base/link_limits.h"
#include "base/metrics.h"
#include "http/client.h"
#include "outbox/outbox.h"
#include "sync/deployer.h"
#include "sync/hub_client.h"
#include "sync/link_budget.h"
#include "sync/shipper.h"
#include "trust/identity.h"

namespace skerry {

struct ExchangeParts {
  SiteIdentity* identity = nullptr;
  Outbox* outbox = nullptr;
  Deployer* deployer = nullptr;
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
  // A new signed status envelope. Called on a thread of the exchange.
  std::function<Result<std::string>()> make_status;
};

struct ExchangeOptions {
  std::string hub_url;                    // "https://hub:8443"
  std::filesystem::path state_directory;  // `<data>/sync`
  std::chrono::milliseconds interval{10'000};
  // A blob of more bytes goes in requests of so many: what the hub has synced for certain.
  std::size_t upload_chunk_bytes = limits::kUploadChunkBytes;
  LinkOptions link{};
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
  std::string waiting;               // why the budget lets nothing pass; empty when it does
  std::uint64_t moved_bytes = 0;     // of HTTP in both directions since the start
  std::uint64_t moved_today_bytes = 0;
  std::uint64_t bytes_per_second = 0;  // measured while it sends in bulk; 0 before
  std::uint64_t round_trip_us = 0;     // measured; 0 before
  std::uint64_t connections = 0;       // opened since the start
  std::uint64_t gone_first = 0;        // urgent passes while bulk was under way
  std::vector<std::string> alarms;     // refused shipments, a token that cannot be used, ...
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
  class Gate;
  static constexpr std::uint64_t kReportHeads = 2U << 10U;  // bytes of a status' requests
  // A connection with its clients.
  struct Lane {
    std::unique_ptr<Gate> gate;
    std::unique_ptr<HttpClient> http;
    std::unique_ptr<RegistryClient> registry;
  };

  Exchange(ExchangeOptions options, ExchangeParts parts, std::unique_ptr<LinkBudget> budget);
  void Run();
  void WaitForTurn(std::unique_lock<std::mutex>& lock);
  std::chrono::milliseconds NextDelay() const;
  Status Round();
  Status JoinIfNeeded();
  // Never an error but of the link: with a certificate that still holds the round goes on, and the
  // refusal is an alarm.
  Status RenewIfDue();
  Result<bool> Renew();
  std::vector<std::string> CertificateAlarms() const;
  Status FollowDesired();
  std::optional<std::string> AskForDelta(const Digest& target, const std::vector<Digest>& holds);
  Status TellOfRestore();
  // The link is away, or what is there is not our hub: the rest of a round would end the same way.
  static bool IsOfTheLink(const Error& error);
  Status ShipUrgent();
  Status ShipRest();
  Status ShipBulk();
  Status Report();
  // The hub's TUF timestamp: changes with every change of what sites should run.
  Result<std::string> AskTimestamp();
  Status PostStatus(const std::string& status);
  // From what the hub says of its receipts: one that knows less than its own receipt here says, or
  // is of another incarnation, is shown that one and answers with its newest.
  enum class ReceiptWanted { kIfBehind, kIfDifferent };
  Status FollowReceipts(ReceiptWanted wanted);
  void Connect();
  void NoteTrustedTimes();
  Lane MakeLane(TransferKind kind, const HttpClientOptions& options);
  std::vector<RegistryClient*> UploadLanes();
  Status Ship(Shipper& shipper, std::span<RegistryClient* const> lanes);

  // The gates' side.
  Status BeforeCall(TransferKind kind);
  Status BeforeNextChunk(TransferKind kind, std::size_t bytes, std::size_t reserved);
  // An error when the rest is to end for now.
  Status MayGoOn();
  // Ships what is urgent, if there is any; by lanes and by whoever watches them.
  void LetUrgentFirst();
  // Whether this lane is to talk to the hub now; when so, EndTalk ends it.
  bool BeginTalk();
  void EndTalk(Status done);
  Status TalkBetween();
  std::size_t PieceBytes() const;
  void Measure(std::size_t bytes);
  bool UrgentIsDue();
  void NoteContact();

  const ExchangeOptions options_;
  const ExchangeParts parts_;
  const std::unique_ptr<LinkBudget> budget_;
  Gauge* connected_gauge_;
  Counter* shipped_counter_;
  Counter* failed_rounds_counter_;
  Counter* sent_bytes_counter_;
  Counter* resumed_bytes_counter_;

  // The thread's own.
  std::string certificate_in_use_;
  bool renewal_asked_for_ = false;  // by the hub, which has refused us
  std::chrono::steady_clock::time_point renew_again_;
  std::string renewal_alarm_;
  std::vector<Lane> bulk_;
  Shipper shipper_;
  std::uint64_t closed_connections_ = 0;  // of lanes that are gone
  // That of whoever talks to the hub: the thread, or while bulk is under way one lane.
  Lane talk_;
  std::unique_ptr<HubClient> hub_;
  std::string timestamp_seen_;
  std::string desired_alarm_;  // why what the hub offers was refused
  bool deploying_ = false;     // written by the thread alone, while there are no lanes
  // That of whoever holds turn_mutex_.
  Lane urgent_lane_;
  Shipper urgent_;

  std::mutex turn_mutex_;                            // one at a time sees to what goes first
  std::chrono::steady_clock::time_point next_look_;  // guarded by it, as what follows
  bool talking_ = false;                             // a lane does, while bulk is under way
  bool start_again_ = false;                         // a newer desired state is at the hub
  Status between_;                     // the first error of what went first or between
  std::uint64_t report_bytes_ = 0;     // of the last status, or of one that was too large to send
  std::uint64_t moved_at_report_ = 0;  // in all, then
  std::chrono::steady_clock::time_point reported_at_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  bool woken_ = false;
  bool contact_ = false;            // the hub has answered in this round
  bool closed_ = false;             // the budget ended this round
  bool paused_long_ = false;        // longer than the hub waits for the rest of a body
  std::uint64_t asked_rounds_ = 0;  // by SyncNow
  std::uint64_t done_rounds_ = 0;   // of those asked for
  int failures_ = 0;                // in a row
  Status last_round_;
  ExchangeFacts facts_;
  std::chrono::steady_clock::time_point urgent_again_;  // no look for urgent records before
  double rate_ = 0;                                     // bytes a second
  std::uint64_t measured_bytes_ = 0;
  std::chrono::steady_clock::time_point measured_from_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
