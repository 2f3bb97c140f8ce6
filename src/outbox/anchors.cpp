#include "outbox/anchors.h"

#include <cstdlib>

#include "base/limits.h"
#include "outbox/store.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::size_t kKernelFileBytes = 4'096;

std::int64_t OffsetOf(const ClockAnchor& anchor) { return anchor.utc_us - anchor.mono_us; }

}  // namespace

std::string ReadBootId() {
  const auto boot = ReadFile("/proc/sys/kernel/random/boot_id", kKernelFileBytes);
  if (!boot) return "";
  // time_namespaces(7); absent on kernels that have none.
  const auto offsets = ReadFile("/proc/self/timens_offsets", kKernelFileBytes);
  return offsets ? *boot + *offsets : *boot;
}

std::optional<ClockAnchor> AnchorWatch::Now() const {
  if (clock_->quality() != ClockQuality::kSynced) return std::nullopt;
  return ClockAnchor{epoch_, clock_->MonotonicMicros(), clock_->UtcMicros(), ClockQuality::kSynced};
}

void AnchorWatch::Look() {
  const std::optional<ClockAnchor> now = Now();
  if (!now) return;
  if (last_ && std::abs(OffsetOf(*now) - OffsetOf(*last_)) > kClockStepUs) {
    steps_.push_back(*last_);
    steps_.push_back(*now);
    if (steps_.size() > kStepAnchors) steps_.erase(steps_.begin(), steps_.begin() + 2);
  }
  last_ = now;
}

// In the transaction of the epoch's first rows: a process that scored nothing needs no anchor.
Status OutboxStore::NoteEpoch() {
  if (epoch_noted_ || boot_.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(auto others, database_->Prepare("DELETE FROM boots WHERE boot != ?"));
  SKERRY_RETURN_IF_ERROR(others.Bind(1, boot_).Run());
  SKERRY_RETURN_IF_ERROR(NoteInstance(epoch_));
  SKERRY_ASSIGN_OR_RETURN(
      auto oldest,
      database_->Prepare("DELETE FROM boots WHERE id <= (SELECT MAX(id) FROM boots) - ?"));
  return oldest.Bind(1, kUnanchoredInstances).Run();
}

Status OutboxStore::NoteInstance(const InstanceId& instance) {
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT OR IGNORE INTO boots(instance, boot) VALUES(?, ?)"));
  return insert.Bind(1, Blob{InstanceBytes(instance)}).Bind(2, boot_).Run();
}

Result<std::vector<ClockAnchor>> OutboxStore::TakeAnchors() {
  watch_.Look();
  std::vector<ClockAnchor> anchors = watch_.steps();
  const std::optional<ClockAnchor> now = watch_.Now();
  if (!now) return anchors;
  anchors.push_back(*now);
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database_->Prepare("SELECT id, instance FROM boots WHERE boot = ? ORDER BY id LIMIT ?"));
  query.Bind(1, boot_).Bind(2, limits::kAnchorsPerStatement - anchors.size());
  std::int64_t last_id = 0;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    last_id = query.Int(0);
    ClockAnchor anchor = *now;
    anchor.instance = InstanceFromBytes(query.BlobAt(1));
    if (anchor.instance != epoch_) anchors.push_back(anchor);
  }
  SKERRY_ASSIGN_OR_RETURN(auto told,
                          database_->Prepare("DELETE FROM boots WHERE boot = ? AND id <= ?"));
  SKERRY_RETURN_IF_ERROR(told.Bind(1, boot_).Bind(2, last_id).Run());
  return anchors;
}

}  // namespace skerry
