// What scorers hand over: told apart from repeats, remembered, and their lost rows counted.
#include "outbox/hand_over.h"
#include "outbox/scorer_row.h"
#include "outbox/store.h"

namespace skerry {

Result<std::map<InstanceId, OutboxStore::ScorerRow>> OutboxStore::JudgeHandOvers(
    std::span<HandOverFate* const> hand_overs) {
  std::map<InstanceId, ScorerRow> scorers;
  for (HandOverFate* const fate : hand_overs) {
    const HandOver& said = fate->said;
    const auto [at, unread] = scorers.try_emplace(said.scorer);
    ScorerRow& scorer = at->second;
    if (unread) {
      SKERRY_ASSIGN_OR_RETURN(
          auto query,
          database_->Prepare("SELECT number, kept, lost_rows FROM scorers WHERE instance = ?"));
      SKERRY_ASSIGN_OR_RETURN(const bool found,
                              query.Bind(1, Blob{InstanceBytes(said.scorer)}).Step());
      if (found)
        scorer = {static_cast<std::uint64_t>(query.Int(0)), query.Int(1) != 0,
                  static_cast<std::uint64_t>(query.Int(2)), 0, false};
    }
    fate->stale = said.number < scorer.number;
    fate->repeated = said.number == scorer.number;
    fate->kept =
        !fate->stale && (fate->repeated ? scorer.kept : said.kind == HandOver::Kind::kRows);
    if (fate->stale) continue;
    scorer.number = said.number;
    scorer.kept = fate->kept;
    if (said.lost_rows <= scorer.lost_rows) continue;
    scorer.newly_lost += said.lost_rows - scorer.lost_rows;
    scorer.lost_rows = said.lost_rows;
  }
  return scorers;
}

Status OutboxStore::StoreScorers(Work& work, const std::map<InstanceId, ScorerRow>& scorers) {
  if (scorers.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(
      auto upsert,
      database_->Prepare("INSERT INTO scorers(instance, number, kept, lost_rows, seen) VALUES(?, "
                         "?, ?, ?, ?) ON CONFLICT(instance) DO UPDATE SET number = "
                         "excluded.number, kept = excluded.kept, lost_rows = excluded.lost_rows, "
                         "seen = excluded.seen"));
  bool grown = false;
  for (const auto& [instance, scorer] : scorers) {
    SKERRY_RETURN_IF_ERROR(upsert.Bind(1, Blob{InstanceBytes(instance)})
                               .Bind(2, scorer.number)
                               .Bind(3, scorer.kept ? 1 : 0)
                               .Bind(4, scorer.lost_rows)
                               .Bind(5, work.state.commits)
                               .Run());
    work.state.counters.scored += scorer.newly_lost;
    work.state.counters.not_captured += scorer.newly_lost;
    if (!scorer.is_new) continue;
    grown = true;
    // Its rows' monotonic times are on this machine's clock, as every row's (anchors.h).
    if (!boot_.empty()) SKERRY_RETURN_IF_ERROR(NoteInstance(instance));
  }
  if (!grown) return {};
  SKERRY_ASSIGN_OR_RETURN(
      auto forget,
      database_->Prepare("DELETE FROM scorers WHERE seen < (SELECT seen FROM scorers ORDER BY seen "
                         "DESC LIMIT 1 OFFSET ?)"));
  return forget.Bind(1, limits::kScorersRemembered - 1).Run();
}

}  // namespace skerry
