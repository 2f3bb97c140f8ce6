#include "hub/registry_keeper.h"

#include <pthread.h>

#include <chrono>

#include "base/limits.h"
#include "base/log.h"
#include "oci/registry_limits.h"

namespace skerry {
namespace {

constexpr std::chrono::hours kFirstAfter{1};
constexpr std::chrono::hours kEvery{6};

}  // namespace

RegistryKeeper::RegistryKeeper(Registry& registry, DeltaDesk& deltas, MetricRegistry& metrics)
    : registry_(&registry),
      deltas_(&deltas),
      removed_blobs_(metrics.AddCounter("skerry_registry_collected_blobs_total",
                                        "Blobs that nothing named any more, removed.")),
      removed_bytes_(metrics.AddCounter("skerry_registry_collected_bytes_total", "Bytes of them.")),
      kept_bytes_(metrics.AddGauge("skerry_registry_bytes",
                                   "Content of the registry as of the last collection.")) {}

RegistryKeeper::~RegistryKeeper() { Stop(); }

Result<CollectReport> RegistryKeeper::CollectNow(std::chrono::seconds grace) {
  const CollectOptions options{.grace = grace,
                               .upload_age = limits::kAbandonedUploadAge,
                               .stopped = [this] { return stopping_.load(); }};
  SKERRY_ASSIGN_OR_RETURN(CollectReport report, registry_->Collect(options));
  // What was only made of packages that are gone now goes with them.
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t deltas, deltas_->Sweep());
  if (deltas > 0) {
    SKERRY_ASSIGN_OR_RETURN(const CollectReport more, registry_->Collect(options));
    report.blobs += more.blobs;
    report.bytes += more.bytes;
    report.links += more.links;
    report.kept_blobs = more.kept_blobs;
    report.kept_bytes = more.kept_bytes;
  }
  removed_blobs_.Add(report.blobs);
  removed_bytes_.Add(report.bytes);
  kept_bytes_.Set(static_cast<double>(report.kept_bytes));
  LogInfo("registry collected blobs={} bytes={} links={} uploads={} kept_bytes={}", report.blobs,
          report.bytes, report.links, report.uploads, report.kept_bytes);
  return report;
}

void RegistryKeeper::Start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "registry-keeper");
    Run();
  });
}

void RegistryKeeper::Run() {
  std::unique_lock lock(mutex_);
  std::chrono::hours wait = kFirstAfter;
  while (!changed_.wait_for(lock, wait, [&] { return stopping_.load(); })) {
    wait = kEvery;
    lock.unlock();
    if (const auto done = CollectNow(limits::kBlobGrace); !done && !stopping_)
      LogError("cannot collect the registry's garbage: {}", done.error().message());
    lock.lock();
  }
}

void RegistryKeeper::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;  // under the lock, so that a thread about to wait hears of it
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace skerry
