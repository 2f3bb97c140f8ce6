#include "hub/shipment_replay.h"

#include <pthread.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "crypto/dsse.h"
#include "hub/audit_log.h"
#include "hub/incarnation.h"
#include "oci/manifest.h"
#include "outbox/statement.h"

namespace skerry {
namespace {

// Less than clients wait for an answer.
constexpr std::chrono::seconds kPatience{15};
constexpr std::chrono::seconds kRetry{10};
constexpr std::int64_t kStatementsAtOnce = 500;

// Whether an error says something about this machine, or the registry's, rather than the shipment.
bool IsTroubleHere(ErrorCode code) {
  return code == ErrorCode::kResourceExhausted || code == ErrorCode::kInternal ||
         code == ErrorCode::kUnavailable;
}

// Of a statement in the store: the tag of the shipment with all of its segments, where the store
// has each of them.
Result<std::optional<std::string>> SettledTag(Ledger& ledger, std::string_view envelope) {
  // Verified when it was taken.
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope opened,
                          DsseEnvelope::FromJson(envelope, limits::kStatementBytes));
  SKERRY_ASSIGN_OR_RETURN(const ShipmentStatement statement,
                          ShipmentStatement::FromJson(opened.payload));
  std::vector<Digest> segments;
  for (const SegmentEntry& entry : statement.segments) {
    SKERRY_ASSIGN_OR_RETURN(const bool has, ledger.HasSegment(statement.site, entry));
    if (!has) return std::optional<std::string>();
    segments.push_back(entry.digest);
  }
  return std::optional(ShipmentTag(statement, envelope, segments));
}

}  // namespace

void ShipmentReplay::Start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "replay");
    Run();
  });
}

void ShipmentReplay::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool ShipmentReplay::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

Status ShipmentReplay::Await(std::string_view site) {
  Result<bool> due = store_->Read([&](Database& db) { return ReplayIsDue(db, site); });
  if (!due) return tl::make_unexpected(due.error());
  if (!*due) return {};
  std::unique_lock lock(mutex_);
  awaited_.emplace(site);
  woken_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, kPatience, [&] {
    due = store_->Read([&](Database& db) { return ReplayIsDue(db, site); });
    return stopping_ || !due || !*due;
  });
  if (!due) return tl::make_unexpected(due.error());
  if (!*due) return {};
  return Fail(ErrorCode::kUnavailable,
              "this hub was restored from a back-up and is taking again what its registry has of "
              "the site {}: ask again later",
              site);
}

void ShipmentReplay::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || woken_; });
    if (stopping_) return;
    woken_ = false;
    lock.unlock();
    const Status done = Pass();
    lock.lock();
    if (done || stopping_) continue;
    LogWarning("what the registry has is not all taken again yet: {}", done.error().message());
    changed_.wait_for(lock, kRetry, [&] { return stopping_; });
    woken_ = true;
  }
}

Status ShipmentReplay::Pass() {
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> sites, store_->Read(&SitesToReplay));
    if (sites.empty()) return {};
    while (!sites.empty()) {
      auto next = sites.begin();
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return {};
        const auto awaited = std::ranges::find_if(
            sites, [&](const std::string& site) { return awaited_.contains(site); });
        if (awaited != sites.end()) next = awaited;
        awaited_.erase(*next);
      }
      SKERRY_RETURN_IF_ERROR(Replay(*next), *next);
      sites.erase(next);
    }
  }
}

// In pages, so that others come to the store.
Result<std::set<std::string>> ShipmentReplay::SettledTags(const std::string& site) {
  std::set<std::string> tags;
  std::string last;
  bool more = true;
  while (more) {
    more = false;
    const Status read = store_->Read([&](Database& db) -> Status {
      Ledger ledger(db);
      SKERRY_ASSIGN_OR_RETURN(
          SqlStatement select,
          db.Prepare("SELECT digest, envelope FROM statements WHERE site = ? AND digest > ? "
                     "ORDER BY digest LIMIT ?"));
      select.Bind(1, site).Bind(2, last).Bind(3, kStatementsAtOnce);
      while (true) {
        SKERRY_ASSIGN_OR_RETURN(const bool found, select.Step());
        if (!found) return {};
        more = true;
        last = select.Text(0);
        SKERRY_ASSIGN_OR_RETURN(const auto tag, SettledTag(ledger, select.BlobAt(1)));
        if (tag) tags.insert(*tag);
      }
    });
    SKERRY_RETURN_IF_ERROR(read);
  }
  return tags;
}

Status ShipmentReplay::Replay(const std::string& site) {
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation incarnation, store_->Read(&ReadIncarnation));
  const std::string repository = fmt::format("sites/{}/outbox", site);
  auto tags = registry_->Tags(repository);
  if (!tags && tags.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(tags.error());
  Report report;
  if (tags) {
    SKERRY_ASSIGN_OR_RETURN(const std::set<std::string> settled, SettledTags(site));
    for (const std::string& tag : *tags) {
      if (settled.contains(tag)) continue;
      if (IsStopping()) return {};
      SKERRY_RETURN_IF_ERROR(TakeOne(site, repository, tag, report), tag);
    }
  }
  Status marked = store_->Write([&](Database& db) -> Status {
    SKERRY_RETURN_IF_ERROR(MarkReplayed(db, site, incarnation.id));
    if (report.rows == 0 && report.left == 0) return {};
    return AuditLog(db).Append(
        clock_->UtcMicros(), "registry", "shipments.replayed", site,
        {{"shipments", report.taken}, {"rows", report.rows}, {"left", report.left}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(marked));
  LogInfo("what the registry has of a site was taken again site={} shipments={} rows={} left={}",
          site, report.taken, report.rows, report.left);
  {
    const std::lock_guard lock(mutex_);  // so that one who is about to wait hears of it
  }
  changed_.notify_all();
  return {};
}

Status ShipmentReplay::TakeOne(const std::string& site, const std::string& repository,
                               const std::string& tag, Report& report) {
  const auto taken =
      registry_->Resolve(repository, tag)
          .and_then([&](const Digest& digest) -> Result<IngestOutcome> {
            SKERRY_ASSIGN_OR_RETURN(const std::string bytes,
                                    registry_->ManifestBytes(repository, digest.ToString()));
            SKERRY_ASSIGN_OR_RETURN(Manifest manifest, Manifest::Parse(bytes));
            return ingest_->Take({.site = site,
                                  .manifest = std::move(manifest),
                                  .digest = digest,
                                  .road = Road::kRegistry});
          });
  if (taken) {
    report.taken += 1;
    report.rows += taken->new_rows;
    return {};
  }
  if (IsTroubleHere(taken.error().code())) return tl::make_unexpected(taken.error());
  report.left += 1;
  LogWarning("a shipment that the registry has cannot be taken again site={} tag={} reason=\"{}\"",
             site, tag, taken.error().message());
  return {};
}

}  // namespace skerry
