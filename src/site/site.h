// One running site: what `skerry site` starts.
//
// Role: composition root. Owns, in this order, the data directory's lock, the identity, the outbox,
// the model repository with its scoring routes, the deployer, the exchange thread (when a hub is
// known) and the servers with the scoring and the control routes. Stop() and the destructor
// take them down in reverse order.
//   auto site = Site::Start({.data = "/var/lib/skerry", .hub_url = "https://hub:8443"});
//   std::puts((*site)->url().c_str());  ...  (*site)->Stop();
//
// Data directory: identity/ (trust/identity.h), outbox/ (outbox/outbox.h),
// packages/<algorithm>-<hex>/ (unpacked model packages), format.json (site/data_format.h),
// releases/ (sync/release_installer.h), policy/ (site/policy_desk.h),
// journal/ (site/journal.h), registry/ (sync/supply.h), sync/
// (upload states, policies, package metadata), bundle.key (0600; opens bundles that are encrypted
// to this site), control.token (0600), custody.jsonl (sync/custody.h), endpoint.json (0600;
// {"url","pid","token_file"}, where the control routes are; removed by Stop).
//
// Start needs no hub, DNS or right clock. Packages that were admitted before are loaded from disk
// without asking anyone; one that no longer loads is set aside with an alarm and the fallback is
// taken. Errors of Start: kFailedPrecondition (another process holds the directory), kUnavailable
// (port in use, named), kInvalidArgument (options, configuration file), kDataLoss (identity,
// outbox). Thread-safe after Start.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "outbox/outbox.h"
#include "policy/record_class.h"
#include "serve/access.h"
#include "serve/capture.h"
#include "serve/run_queue.h"
#include "site/journal.h"
#include "site/policy_desk.h"
#include "sync/link_budget.h"

namespace skerry {

struct SiteOptions {
  std::filesystem::path data;        // made when absent
  std::string hub_url;               // overrides the token's; empty: the token's, or media only
  std::filesystem::path token_file;  // optional; ignored with a log line when already joined
  std::string name;                  // the token's or the stored one when empty; must match these
  std::string http_address = "127.0.0.1";
  std::uint16_t http_port = 8000;  // 0: the kernel's choice
  int http_loops = 1;
  std::string grpc_address;        // empty: no gRPC
  std::uint16_t grpc_port = 8001;  // 0: the kernel's choice
  // Where machines pull the images and charts that bundles bring; empty: none are kept.
  std::string registry_address;
  std::uint16_t registry_port = 5000;  // 0: the kernel's choice
  std::uint64_t registry_quota_bytes = std::uint64_t{16} << 30U;
  AccessOptions access;  // to scoring, over HTTP and gRPC alike
  // Keys with which scorers of their own hand over rows (site/capture_routes.h); empty: none may.
  std::filesystem::path scorer_keys;
  CaptureMode capture = CaptureMode::kSync;
  RunQueueOptions queue;  // of slow models, and of all where requests are batched
  std::chrono::milliseconds drain{limits::kSiteDrain};  // of scoring, after Stop
  std::uint64_t quota_bytes = std::uint64_t{4} << 30U;  // the outbox's
  // What receipts have covered is kept for a hub that loses it, where there is room (outbox.h).
  std::uint64_t grace_bytes = std::uint64_t{1} << 30U;
  std::chrono::milliseconds grace_age{std::chrono::hours(7 * 24)};
  std::uint64_t segment_rows = limits::kSegmentRows;
  std::chrono::milliseconds segment_age{30'000};
  std::chrono::milliseconds urgent_age{2'000};
  std::map<RecordClass, ClassLimits> classes;       // of the outbox
  std::chrono::milliseconds sync_interval{10'000};  // between rounds with nothing new
  std::size_t upload_chunk_bytes = limits::kSlowLinkChunkBytes;
  std::filesystem::path local_policy;   // the site's own policy beside the hub's; optional
  Approval approval = Approval::kNone;  // of a hub's policy that lets more leave
  JournalOptions journal;               // of scored rows in full; off by default
  LinkOptions link;                     // what the exchange may use of the link, and when
  // Of the child that tries a new package; 0: no limit.
  std::uint64_t smoke_memory_bytes = limits::kSmokeMemoryBytes;
  std::filesystem::path smoke_program;  // runs `__smoke DIR`; empty: this executable
  std::string build;                    // this program's version; empty: "0"
  std::string slot;  // in which the launcher has started it ($SKERRY_SLOT); empty: no launcher
  // Another release was put into the free slot: end, so that the launcher starts it.
  std::function<void()> on_release_staged{};

  // Applies a YAML file (`site.yaml`) on top. Unknown keys are refused with their line.
  Status LoadConfig(const std::filesystem::path& file);
  // Every key with default, unit and meaning, for --help and the manual.
  static std::string ConfigReference();
};

class Site {
 public:
  // `clock` is borrowed; null: the system's.
  static Result<std::unique_ptr<Site>> Start(SiteOptions options, const Clock* clock = nullptr);
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;
  ~Site();

  // Of scoring: "http://127.0.0.1:8000"
  std::string url() const;
  // Of the control routes: the same, or, when scoring speaks TLS or is no loopback address, one of
  // their own on loopback.
  std::string control_url() const;
  std::uint16_t grpc_port() const;   // 0 when gRPC is off
  std::string registry_url() const;  // "" when there is none
  std::string control_token() const;
  // A round of the exchange now (sync/exchange.h); kFailedPrecondition without a hub URL.
  Status SyncNow();
  // Finishes requests under way, flushes the outbox, removes endpoint.json. Repeats are harmless.
  void Stop();

 private:
  struct Parts;
  explicit Site(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace skerry
