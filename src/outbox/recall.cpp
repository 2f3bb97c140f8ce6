// Recall: what was made under a wider policy than the one in force, and no receipt covers, becomes
// a gap of reason "policy". Whole batches and segments, by the policy that made them.
#include "base/log.h"
#include "outbox/store.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

struct MadeUnder {
  std::string policy;
  RecordClass cls;
};

Result<std::vector<MadeUnder>> ReadMadeUnder(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database.Prepare("SELECT policy, cls FROM batches b JOIN streams s ON s.id = "
                                   "b.stream UNION SELECT policy, cls FROM segments g JOIN streams "
                                   "s ON s.id = g.stream"));
  std::vector<MadeUnder> found;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return found;
    found.push_back({std::string(query.Text(0)), static_cast<RecordClass>(query.Int(1))});
  }
}

}  // namespace

Result<std::uint64_t> OutboxStore::Recall(WiderPolicy wider) {
  wider_ = std::move(wider);
  wider_verdicts_.clear();
  return RecallWider();
}

Result<std::uint64_t> OutboxStore::RecallWider() {
  std::uint64_t rows = 0;
  if (!wider_) return rows;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<MadeUnder> all, ReadMadeUnder(*database_));
  for (const MadeUnder& made : all) {
    const auto key = std::pair(made.policy, made.cls);
    auto verdict = wider_verdicts_.find(key);
    if (verdict == wider_verdicts_.end())
      verdict = wider_verdicts_.emplace(key, wider_(made.policy, made.cls)).first;
    if (!verdict->second) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t recalled, RecallMadeUnder(made.policy, made.cls));
    rows += recalled;
  }
  return rows;
}

Result<std::uint64_t> OutboxStore::RecallMadeUnder(const std::string& policy, RecordClass cls) {
  const std::string where = fmt::format(
      "policy = {} AND stream IN (SELECT id FROM streams WHERE cls = {}) ORDER BY stream, "
      "first_seq",
      QuoteLiteral(policy), static_cast<int>(cls));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, ReadSegments(*database_, where));
  SKERRY_ASSIGN_OR_RETURN(Work work, Begin());
  std::uint64_t rows = 0;
  for (const SegmentRow& segment : segments) {
    SKERRY_RETURN_IF_ERROR(TakeSegmentOut(segment, kGapPolicy));
    rows += segment.primary_rows;
  }
  SKERRY_ASSIGN_OR_RETURN(const TakenOut taken, TakeBatchesOut(where, kGapPolicy));
  rows += taken.primary_rows;
  work.state.counters.recalled += rows;
  SKERRY_RETURN_IF_ERROR(Commit(work));
  for (const SegmentRow& segment : segments) {
    segment_bytes_ -= segment.bytes;
    SKERRY_RETURN_IF_ERROR(RemoveFile(segments_directory() / segment.file));
  }
  LogWarning(
      "outbox recalls what a narrower policy keeps here class={} policy={} segments={} batches={}",
      RecordClassName(cls), policy, segments.size(), taken.batches);
  return rows;
}

}  // namespace skerry
