// What is given up when there is not room for everything: by class, the lowest value and the oldest
// first.
#include <algorithm>
#include <chrono>

#include "base/limits.h"
#include "base/log.h"
#include "outbox/store.h"
#include "storage/file.h"

namespace skerry {
namespace {

std::size_t IndexOf(RecordClass cls) { return static_cast<std::size_t>(cls); }

}  // namespace

Result<std::uint64_t> OutboxStore::UsedBytes() {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t pages, ReadNumber(*database_, "PRAGMA page_count"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t free,
                          ReadNumber(*database_, "PRAGMA freelist_count"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t size, ReadNumber(*database_, "PRAGMA page_size"));
  return (pages - std::min(free, pages)) * size + segment_bytes_;
}

Result<OutboxStore::BytesByClass> OutboxStore::ReadBytesByClass() {
  BytesByClass bytes{};
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare(
          "SELECT s.cls, SUM(size) FROM (SELECT stream, LENGTH(body) AS size FROM batches UNION "
          "ALL SELECT "
          "stream, bytes FROM segments) r JOIN streams s ON s.id = r.stream GROUP BY s.cls"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return bytes;
    const auto cls = static_cast<std::size_t>(query.Int(0));
    if (cls < bytes.size()) bytes[cls] = static_cast<std::uint64_t>(query.Int(1));
  }
}

Status OutboxStore::EnforceQuota(EnforceWhen when) {
  if (when == EnforceWhen::kNow) ballast_.Keep();
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, UsedBytes());
  if (when == EnforceWhen::kNow || used + grace_bytes_ > QuotaOfRecords())
    SKERRY_RETURN_IF_ERROR(TrimGrace(when));
  const auto now = std::chrono::steady_clock::now();
  // Rules of a class are looked at now and then under load, since that reads a line for each batch.
  const bool classes_due =
      !class_limits_.empty() &&
      (when == EnforceWhen::kNow || now - classes_checked_ >= std::chrono::seconds(1));
  if (used <= QuotaOfRecords() && !classes_due) return {};
  classes_checked_ = now;
  SKERRY_RETURN_IF_ERROR(ShedAged());
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::optional<RecordClass> victim, FindVictim());
    if (!victim) return {};
    SKERRY_ASSIGN_OR_RETURN(const bool shed, ShedOldest(*victim, "1"));
    if (!shed) return {};
  }
}

// A part stays for the gaps themselves: what was given up has to be told.
std::uint64_t OutboxStore::QuotaOfRecords() const {
  return quota_bytes_ - std::min(limits::kGapReserveBytes, quota_bytes_ / 16);
}

// The class that has to give something up. A class may take what the more valuable ones have not
// used of their reserves away from, never more.
Result<std::optional<RecordClass>> OutboxStore::FindVictim() {
  SKERRY_ASSIGN_OR_RETURN(const BytesByClass bytes, ReadBytesByClass());
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, UsedBytes());
  std::optional<RecordClass> victim;
  std::uint64_t held_back = 0;
  for (const RecordClass cls : kRecordClasses) {
    const std::uint64_t has = bytes[IndexOf(cls)];
    const auto found = class_limits_.find(cls);
    const ClassLimits limits = found == class_limits_.end() ? ClassLimits() : found->second;
    if (limits.quota_bytes != 0 && has > limits.quota_bytes) return cls;
    if (has > 0 && used + held_back > QuotaOfRecords()) victim = cls;
    held_back += limits.reserve_bytes - std::min(limits.reserve_bytes, has);
  }
  return victim;  // the least valuable one of those
}

// Only where the time is known: a clock of 1970 or 2106 says nothing about age.
Status OutboxStore::ShedAged() {
  if (clock_->quality() == ClockQuality::kUnknown) return {};
  for (const auto& [cls, limits] : class_limits_) {
    if (limits.max_age.count() == 0) continue;
    const std::int64_t before_us =
        clock_->UtcMicros() - std::chrono::microseconds(limits.max_age).count();
    while (true) {
      SKERRY_ASSIGN_OR_RETURN(const bool shed,
                              ShedOldest(cls, fmt::format("oldest_utc_us < {}", before_us)));
      if (!shed) break;
    }
  }
  return {};
}

Result<bool> OutboxStore::ShedOldest(RecordClass cls, std::string_view which) {
  const std::string of_class = fmt::format(
      "{} AND stream IN (SELECT id FROM streams WHERE cls = {})", which, static_cast<int>(cls));
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<SegmentRow> segments,
      ReadSegments(*database_, of_class + " ORDER BY stream, first_seq LIMIT 1"));
  if (segments.empty()) return ShedBatches(of_class);
  const SegmentRow& segment = segments.front();
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_RETURN_IF_ERROR(TakeSegmentOut(segment, kGapQuota));
  work.state.counters.shed += segment.primary_rows;
  SKERRY_RETURN_IF_ERROR(Commit(work));
  segment_bytes_ -= segment.bytes;
  SKERRY_RETURN_IF_ERROR(RemoveFile(segments_directory() / segment.file));
  LogWarning("outbox is over its quota and sheds class={} seq={}-{}", RecordClassName(cls),
             segment.first_seq, segment.last_seq);
  return true;
}

Result<bool> OutboxStore::ShedBatches(std::string_view which) {
  constexpr std::size_t kBatchesAtOnce = 64;
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  SKERRY_ASSIGN_OR_RETURN(
      const TakenOut taken,
      TakeBatchesOut(fmt::format("{} ORDER BY stream, first_seq LIMIT {}", which, kBatchesAtOnce),
                     kGapQuota));
  if (taken.batches == 0) return false;
  work.state.counters.shed += taken.primary_rows;
  SKERRY_RETURN_IF_ERROR(Commit(work));
  LogWarning("outbox is over its quota and sheds unsealed rows batches={}", taken.batches);
  return true;
}

}  // namespace skerry
