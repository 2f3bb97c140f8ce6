#include "hub/ingest.h"

#include <algorithm>
#include <system_error>

#include "base/limits.h"
#include "base/log.h"
#include "hub/audit_log.h"
#include "hub/incarnation.h"
#include "hub/segment_trial.h"
#include "model/smoke.h"
#include "oci/media_types.h"
#include "outbox/receipt.h"
#include "outbox/site_status.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

StreamKey StreamOf(const SegmentEntry& entry) { return {entry.epoch, entry.cls}; }

std::string NameOf(const SegmentEntry& entry) {
  return fmt::format("{}/{} {}-{}", entry.epoch.Short(), RecordClassName(entry.cls),
                     entry.first_seq, entry.last_seq);
}

// Whether the file is what the statement says; the sentence says what is not.
Status CheckFacts(const SegmentEntry& entry, const SegmentFacts& facts) {
  if (facts.rows != entry.rows)
    return Fail(ErrorCode::kDataLoss, "it has {} rows, its statement says {}", facts.rows,
                entry.rows);
  if (facts.first_seq != entry.first_seq || facts.last_seq != entry.last_seq)
    return Fail(ErrorCode::kDataLoss, "its seq runs from {} to {}, its statement says {} to {}",
                facts.first_seq, facts.last_seq, entry.first_seq, entry.last_seq);
  if (facts.distinct_seqs != facts.rows)
    return Fail(ErrorCode::kDataLoss, "it has {} distinct seqs in {} rows", facts.distinct_seqs,
                facts.rows);
  if (facts.primary_rows != entry.primary_rows)
    return Fail(ErrorCode::kDataLoss, "it has {} primary rows, its statement says {}",
                facts.primary_rows, entry.primary_rows);
  return {};
}

bool HasLayer(const Manifest& manifest, const Digest& digest) {
  return std::any_of(manifest.layers.begin(), manifest.layers.end(),
                     [&](const Descriptor& layer) { return layer.digest == digest; });
}

std::uint64_t CountOf(std::span<const IntervalSet::Interval> ranges) {
  std::uint64_t count = 0;
  for (const auto& [first, last] : ranges) count += last - first + 1;
  return count;
}

}  // namespace

Ingest::Ingest(IngestParts parts)
    : parts_(std::move(parts)),
      shipments_(parts_.metrics->AddCounter("skerry_hub_shipments_total", "Shipments taken.")),
      rows_(parts_.metrics->AddCounter("skerry_hub_ingested_rows_total",
                                       "Records put into the lake.")),
      duplicates_(parts_.metrics->AddCounter("skerry_hub_duplicate_rows_total",
                                             "Records that were known already, ignored.")),
      set_aside_(parts_.metrics->AddCounter("skerry_hub_set_aside_total",
                                            "Statements, segments and conflicts set aside.")) {}

Error Ingest::Refuse(const ArrivedShipment& shipment, std::string_view kind, Error error) {
  LogWarning("shipment refused site={} manifest={} reason=\"{}\"", shipment.site,
             shipment.digest.ToString(), error.message());
  set_aside_.Add();
  const Status noted = parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_ASSIGN_OR_RETURN(
        const bool fresh,
        Ledger(db).AddSetAside({shipment.site, std::string(kind), shipment.digest.ToString(),
                                "shipment", error.message(), 0, now_us}));
    if (!fresh) return {};
    return AuditLog(db).Append(
        now_us, fmt::format("site:{}", shipment.site), "shipment.refused", shipment.site,
        {{"manifest", shipment.digest.ToString()}, {"reason", error.message()}});
  });
  if (!noted) LogError("cannot note a refused shipment: {}", noted.error().message());
  return error;
}

Result<ShipmentStatement> Ingest::ReadStatement(const ArrivedShipment& shipment,
                                                std::string_view envelope) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<PublicKey> keys, parts_.store->Read([&](Database& db) {
    return SiteDirectory(db).Keys(shipment.site);
  }));
  auto statement = VerifyStatement(envelope, keys);
  if (!statement)
    return tl::make_unexpected(
        Refuse(shipment, "statement", std::move(statement.error()).Wrap("the statement")));
  if (statement->site != shipment.site)
    return tl::make_unexpected(
        Refuse(shipment, "statement",
               Error(ErrorCode::kPermissionDenied,
                     fmt::format("the statement is of the site {}, not of {}", statement->site,
                                 shipment.site))));
  return statement;
}

Result<Ingest::Plan> Ingest::Open(const ArrivedShipment& shipment) {
  const Manifest& manifest = shipment.manifest;
  if (manifest.EffectiveArtifactType() != media_types::kShipmentArtifact || !manifest.config ||
      manifest.config->media_type != media_types::kStatementConfig)
    return tl::make_unexpected(
        Refuse(shipment, "shipment",
               Error(ErrorCode::kInvalidArgument,
                     fmt::format("an outbox takes artifacts of type {} with a config of type {}",
                                 media_types::kShipmentArtifact, media_types::kStatementConfig))));
  Plan plan;
  auto envelope = parts_.blobs->Read(manifest.config->digest, limits::kStatementBytes);
  if (!envelope) {
    if (envelope.error().code() == ErrorCode::kDataLoss)
      SKERRY_RETURN_IF_ERROR(parts_.blobs->Remove(manifest.config->digest));
    return Propagate(std::move(envelope), "reading the statement");
  }
  plan.envelope = std::move(*envelope);
  plan.statement_digest = manifest.config->digest;
  SKERRY_ASSIGN_OR_RETURN(plan.statement, ReadStatement(shipment, plan.envelope));
  return plan;
}

Result<IngestOutcome> Ingest::Take(const ArrivedShipment& shipment) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(Plan plan, Open(shipment));
  Status done = PlanSegments(shipment, plan);
  if (done) done = Commit(shipment, plan);
  if (!done) {
    // It failed without killing anybody, so it is no suspect.
    const Status unmarked = parts_.store->Write([&](Database& db) { return Unmark(db, plan); });
    if (!unmarked) LogError("cannot unmark read segments: {}", unmarked.error().message());
    return tl::make_unexpected(done.error());
  }
  if (parts_.clocks != nullptr) parts_.clocks->Wake();
  shipments_.Add();
  rows_.Add(plan.outcome.new_rows);
  duplicates_.Add(plan.outcome.duplicate_rows);
  set_aside_.Add(plan.set_aside.size());
  LogInfo("shipment taken site={} road={} number={} new={} duplicate={} quarantined={}",
          shipment.site, RoadName(shipment.road), plan.statement.number, plan.outcome.new_rows,
          plan.outcome.duplicate_rows, plan.outcome.quarantined_rows);
  return plan.outcome;
}

Status Ingest::PlanSegments(const ArrivedShipment& shipment, Plan& plan) {
  for (const SegmentEntry& entry : plan.statement.segments) {
    // A later offer of the same statement leaves out what a receipt or a quota took away.
    if (HasLayer(shipment.manifest, entry.digest))
      SKERRY_RETURN_IF_ERROR(PlanSegment(shipment, entry, plan), NameOf(entry));
  }
  return {};
}

Status Ingest::Unmark(Database& db, const Plan& plan) {
  for (const Digest& digest : plan.read) SKERRY_RETURN_IF_ERROR(Ledger(db).EndReading(digest));
  return {};
}

Status Ingest::PlanSegment(const ArrivedShipment& shipment, const SegmentEntry& entry, Plan& plan) {
  SKERRY_ASSIGN_OR_RETURN(const bool known, parts_.store->Read([&](Database& db) {
    return Ledger(db).HasSegment(shipment.site, entry);
  }));
  if (known) {
    plan.outcome.duplicate_rows += entry.rows;
    return {};
  }
  if (Status whole = shipment.compared ? Status() : parts_.blobs->Verify(entry.digest); !whole) {
    if (whole.error().code() == ErrorCode::kDataLoss)
      SKERRY_RETURN_IF_ERROR(parts_.blobs->Remove(entry.digest));
    return whole;
  }
  SKERRY_ASSIGN_OR_RETURN(const LocalBlob segment, parts_.blobs->Local(entry.digest));
  std::uint64_t deaths = 0;
  Status marked = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(deaths, Ledger(db).BeginReading(entry.digest));
    return {};
  });
  SKERRY_RETURN_IF_ERROR(std::move(marked));
  plan.read.push_back(entry.digest);
  if (deaths < limits::kReadAttempts) return PlanRows(shipment, entry, plan);
  const Status tried =
      TryReading(parts_.trial_program.empty() ? SelfExecutable() : parts_.trial_program,
                 parts_.quarantine / ".trial", entry.cls, segment.path);
  if (tried) return PlanRows(shipment, entry, plan);
  if (tried.error().code() != ErrorCode::kDataLoss) return tried;
  return Quarantine(shipment, entry,
                    fmt::format("the hub died {} times while it read this segment, and so did {}",
                                deaths, tried.error().message()),
                    plan);
}

Status Ingest::PlanRows(const ArrivedShipment& shipment, const SegmentEntry& entry, Plan& plan) {
  SKERRY_ASSIGN_OR_RETURN(const LocalBlob segment, parts_.blobs->Local(entry.digest));
  const fs::path& file = segment.path;
  const auto facts = parts_.lake->Inspect(entry.cls, file);
  if (!facts && facts.error().code() != ErrorCode::kDataLoss)
    return tl::make_unexpected(facts.error());
  const Status fits = facts ? CheckFacts(entry, *facts) : tl::make_unexpected(facts.error());
  if (!fits) return Quarantine(shipment, entry, fits.error().message(), plan);

  std::vector<std::string> stored;
  IntervalSet held;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    Ledger ledger(db);
    SKERRY_ASSIGN_OR_RETURN(held, ledger.Held(shipment.site, StreamOf(entry)));
    SKERRY_ASSIGN_OR_RETURN(
        stored, ledger.FilesOf(shipment.site, StreamOf(entry), entry.first_seq, entry.last_seq));
    return {};
  });
  if (!read) return read;
  // The same shipment may carry overlapping segments.
  for (const SegmentRecord& other : plan.segments) {
    if (other.stream != StreamOf(entry)) continue;
    held.Add(other.first_seq, other.last_seq);
    for (const LakeFile& one : other.files) stored.push_back(one.path);
  }
  const auto fresh = held.Missing(entry.first_seq, entry.last_seq);
  IntervalSet missing;
  for (const auto& [first, last] : fresh) missing.Add(first, last);
  const auto known = missing.Missing(entry.first_seq, entry.last_seq);
  if (!known.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const IntervalSet differing,
                            parts_.lake->Differing(file, known, stored));
    plan.outcome.duplicate_rows += CountOf(known) - differing.count();
    if (!differing.empty()) SKERRY_RETURN_IF_ERROR(PlanConflict(shipment, entry, differing, plan));
  }
  SegmentRecord record{.stream = StreamOf(entry),
                       .first_seq = entry.first_seq,
                       .last_seq = entry.last_seq,
                       .digest = entry.digest,
                       .state = fresh.empty() ? SegmentState::kConflict : SegmentState::kLake,
                       .bytes = entry.bytes,
                       .files = {},
                       .counts = {}};
  if (!fresh.empty()) {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(parts_.lake->Store({shipment.site, entry, file, fresh, UtcDate(now_us)},
                                              *facts, now_us, record));
    SKERRY_RETURN_IF_ERROR(LookAtClocks(record, facts->columns, plan));
    plan.outcome.new_rows += record.rows;
  }
  plan.segments.push_back(std::move(record));
  return {};
}

Status Ingest::LookAtClocks(const SegmentRecord& record, const LakeColumns& columns, Plan& plan) {
  for (const LakeFile& file : record.files) {
    auto spans = parts_.lake->ClockSpans(file.path, columns);
    const bool of_file = !spans && spans.error().code() == ErrorCode::kInvalidArgument;
    if (!spans && !of_file) return tl::make_unexpected(spans.error());
    // Times that cannot be read are no reason to refuse the rows.
    if (of_file)
      LogWarning("times are left as they are path={} reason={}", file.path,
                 spans.error().message());
    if (spans) plan.clocks[file.path] = std::move(*spans);
  }
  return {};
}

Status Ingest::KeepInQuarantine(std::string_view site, const SegmentEntry& entry) {
  const fs::path target =
      parts_.quarantine / fmt::format("{}-{}.parquet", site, entry.digest.hex());
  const fs::path temporary = parts_.quarantine / fmt::format(".{}.tmp", RandomHex(8));
  SKERRY_ASSIGN_OR_RETURN(const LocalBlob segment, parts_.blobs->Local(entry.digest));
  std::error_code error;
  fs::create_hard_link(segment.path, temporary, error);
  if (error) fs::copy_file(segment.path, temporary, error);
  if (error)
    return Fail(ErrorCode::kInternal, "keeping {} in quarantine: {}", entry.digest.ToString(),
                error.message());
  return PublishFileDurably(temporary, target);
}

Status Ingest::PlanConflict(const ArrivedShipment& shipment, const SegmentEntry& entry,
                            const IntervalSet& conflicting, Plan& plan) {
  SKERRY_RETURN_IF_ERROR(KeepInQuarantine(shipment.site, entry));
  const std::uint64_t rows = conflicting.count();
  plan.outcome.conflicting_rows += rows;
  plan.set_aside.push_back(
      {shipment.site, "conflict", entry.digest.ToString(), NameOf(entry),
       fmt::format("{} records are known with other content; the first content stays", rows), rows,
       parts_.clock->UtcMicros()});
  return {};
}

Status Ingest::Quarantine(const ArrivedShipment& shipment, const SegmentEntry& entry,
                          std::string_view reason, Plan& plan) {
  SKERRY_RETURN_IF_ERROR(KeepInQuarantine(shipment.site, entry));
  SKERRY_ASSIGN_OR_RETURN(const IntervalSet held, parts_.store->Read([&](Database& db) {
    return Ledger(db).Held(shipment.site, StreamOf(entry));
  }));
  // Rows that the hub holds already have their place in the sum.
  const bool counts = !held.Overlaps(entry.first_seq, entry.last_seq);
  plan.segments.push_back({.stream = StreamOf(entry),
                           .first_seq = entry.first_seq,
                           .last_seq = entry.last_seq,
                           .digest = entry.digest,
                           .state = SegmentState::kQuarantined,
                           .rows = entry.rows,
                           .primary_rows = counts ? entry.primary_rows : 0,
                           .bytes = entry.bytes,
                           .files = {},
                           .counts = {}});
  plan.set_aside.push_back({shipment.site, "segment", entry.digest.ToString(), NameOf(entry),
                            std::string(reason), entry.rows, parts_.clock->UtcMicros()});
  plan.outcome.quarantined_rows += entry.rows;
  return {};
}

Status Ingest::Commit(const ArrivedShipment& shipment, Plan& plan) {
  return parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    Ledger ledger(db);
    SiteDirectory sites(db);
    AuditLog audit(db);
    const std::string actor = fmt::format("site:{}", shipment.site);
    SKERRY_ASSIGN_OR_RETURN(const bool forked,
                            ledger.HasOtherStatement(plan.statement, plan.statement_digest));
    SKERRY_ASSIGN_OR_RETURN(
        const bool fresh, ledger.AddStatement(plan.statement, plan.statement_digest, plan.envelope,
                                              shipment.digest, now_us));
    if (fresh && forked)
      plan.set_aside.push_back(
          {shipment.site, "fork", plan.statement_digest.ToString(),
           fmt::format("statement {}", plan.statement.number),
           "another statement has this number: two copies of the site are at work", 0, now_us});
    ClockLedger clocks(db);
    SKERRY_RETURN_IF_ERROR(clocks.TakeAnchors(plan.statement, plan.statement_digest, now_us));
    for (const SegmentRecord& segment : plan.segments) {
      SKERRY_RETURN_IF_ERROR(ledger.AddSegment(shipment.site, segment, now_us));
      for (const LakeFile& file : segment.files)
        SKERRY_RETURN_IF_ERROR(clocks.AddFile(shipment.site, segment.stream.epoch, file.path,
                                              plan.clocks[file.path], now_us));
    }
    for (const GapEntry& gap : plan.statement.gaps) {
      SKERRY_ASSIGN_OR_RETURN(const bool added, ledger.AddGap(shipment.site, gap));
      plan.outcome.new_gaps += added ? 1 : 0;
      if (added && gap.reason == kGapLost)
        plan.set_aside.push_back(
            {shipment.site, "lost", plan.statement_digest.ToString(),
             fmt::format("{}/{} {}-{}", gap.epoch.Short(), RecordClassName(gap.cls), gap.first_seq,
                         gap.last_seq),
             "this hub had signed for these records and lost them when it was "
             "restored; the site has them no more",
             gap.rows, now_us});
    }
    for (const SetAside& item : plan.set_aside) {
      SKERRY_ASSIGN_OR_RETURN(const bool added, ledger.AddSetAside(item));
      if (!added) continue;
      SKERRY_RETURN_IF_ERROR(audit.Append(now_us, actor, "set_aside." + item.kind, item.name,
                                          {{"digest", item.digest}, {"reason", item.reason}}));
    }
    SKERRY_RETURN_IF_ERROR(Unmark(db, plan));
    if (plan.outcome.duplicate_rows > 0 && shipment.road != Road::kRegistry)
      SKERRY_RETURN_IF_ERROR(sites.AddDuplicateRows(shipment.site, plan.outcome.duplicate_rows));
    plan.outcome.changed = !plan.segments.empty() || plan.outcome.new_gaps > 0;
    if (plan.outcome.changed) SKERRY_RETURN_IF_ERROR(sites.RaiseReceiptCounter(shipment.site));
    return sites.RecordContact(shipment.site, shipment.road, now_us);
  });
}

Result<ShipmentStatement> Ingest::Check(const ArrivedShipment& shipment,
                                        std::string_view envelope) {
  return ReadStatement(shipment, envelope);
}

Result<bool> Ingest::TakeStatus(std::string_view site, std::string_view envelope, Road road) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<PublicKey> keys, parts_.store->Read([&](Database& db) {
    return SiteDirectory(db).Keys(site);
  }));
  SKERRY_ASSIGN_OR_RETURN(const SiteStatus status, VerifyStatus(envelope, keys));
  if (status.site != site)
    return Fail(ErrorCode::kPermissionDenied, "the status is of the site {}, not of {}",
                status.site, site);
  bool newer = false;
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SiteDirectory sites(db);
    SKERRY_ASSIGN_OR_RETURN(const SiteRecord known, sites.Find(site));
    const std::int64_t now_us = parts_.clock->UtcMicros();
    newer = status.counter > known.status_counter;
    if (newer)
      SKERRY_RETURN_IF_ERROR(sites.StoreStatus(site, status.counter, status.ToJson(), now_us));
    return sites.RecordContact(site, road, now_us);
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return newer;
}

namespace {

// Whether a receipt of this hub says more than the ledger does.
Result<bool> SaysMore(Database& db, const Receipt& receipt) {
  SKERRY_ASSIGN_OR_RETURN(const HubIncarnation own, ReadIncarnation(db));
  // What was lost before a present incarnation began is no news.
  if (receipt.hub_restores < own.restores) return false;
  if (receipt.hub_incarnation != own.id) return true;
  SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(db).Find(receipt.site));
  if (receipt.counter > record.receipt_counter) return true;
  // A restored hub may have gone on and counted as far.
  Ledger ledger(db);
  for (const StreamReceipt& stream : receipt.streams) {
    SKERRY_ASSIGN_OR_RETURN(const IntervalSet held,
                            ledger.Held(receipt.site, {stream.epoch, stream.cls}));
    for (const auto& [first, last] : stream.received.intervals())
      if (!held.Covers(first, last)) return true;
  }
  return false;
}

}  // namespace

Result<bool> Ingest::TakeReceipt(std::string_view site, std::string_view envelope,
                                 ReceiptFrom from) {
  const std::string shown_by =
      from == ReceiptFrom::kSite ? fmt::format("site:{}", site) : std::string("registry");
  const PublicKey key = parts_.hub_key.public_key();
  SKERRY_ASSIGN_OR_RETURN(const Receipt receipt, VerifyReceipt(envelope, std::span(&key, 1)));
  if (receipt.site != site)
    return Fail(ErrorCode::kPermissionDenied, "the receipt is for the site {}, not for {}",
                receipt.site, site);
  bool restored = false;
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(restored, SaysMore(db, receipt));
    if (!restored) return {};
    SKERRY_RETURN_IF_ERROR(BeginIncarnation(db, receipt.hub_restores));
    return AuditLog(db).Append(
        parts_.clock->UtcMicros(), shown_by, "hub.restored", site,
        {{"shown_incarnation", receipt.hub_incarnation}, {"shown_counter", receipt.counter}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  if (restored)
    LogWarning(
        "hub has signed for more than it holds, so it was restored from a back-up: another "
        "incarnation begins site={} shown_by={} counter={}",
        site, shown_by, receipt.counter);
  return restored;
}

Result<IssuedReceipt> Ingest::MakeReceipt(std::string_view site) {
  Receipt receipt;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(db).Find(site));
    receipt.counter = record.receipt_counter;
    SKERRY_ASSIGN_OR_RETURN(HubIncarnation incarnation, ReadIncarnation(db));
    receipt.hub_incarnation = std::move(incarnation.id);
    receipt.hub_restores = incarnation.restores;
    SKERRY_ASSIGN_OR_RETURN(auto streams, Ledger(db).Streams(site));
    for (StreamHoldings& holdings : streams)
      receipt.streams.push_back({holdings.stream.epoch, holdings.stream.cls,
                                 std::move(holdings.held), std::move(holdings.gaps)});
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  receipt.site = std::string(site);
  receipt.issued_at_us = parts_.clock->UtcMicros();
  SKERRY_ASSIGN_OR_RETURN(std::string envelope, SignReceipt(receipt, parts_.hub_key));
  return IssuedReceipt{receipt.hub_incarnation, receipt.counter, std::move(envelope)};
}

}  // namespace skerry
