#include "hub/run_store.h"

namespace skerry {
namespace {

constexpr std::string_view kColumns =
    "SELECT id, kind, spec, state, reason, report, model, created_us, started_us, finished_us "
    "FROM runs";

Result<RunRecord> ReadRun(const SqlStatement& row) {
  RunRecord run;
  run.id = std::string(row.Text(0));
  run.kind = std::string(row.Text(1));
  SKERRY_ASSIGN_OR_RETURN(run.spec, ParseJson(row.Text(2)));
  run.state = std::string(row.Text(3));
  run.reason = std::string(row.Text(4));
  if (!row.Text(5).empty()) {
    SKERRY_ASSIGN_OR_RETURN(run.report, ParseJson(row.Text(5)));
  }
  run.model = std::string(row.Text(6));
  run.created_us = row.Int(7);
  run.started_us = row.Int(8);
  run.finished_us = row.Int(9);
  return run;
}

}  // namespace

Json RunRecord::ToJson() const {
  return {{"run", id},
          {"kind", kind},
          {"spec", spec},
          {"state", state},
          {"reason", reason},
          {"report", report},
          {"model", model},
          {"created_us", created_us},
          {"started_us", started_us},
          {"finished_us", finished_us}};
}

Status RunStore::Add(std::string_view id, std::string_view kind, const Json& spec,
                     std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare(
          "INSERT INTO runs(id, number, kind, spec, state, created_us) "
          "VALUES(?, (SELECT coalesce(max(number), 0) + 1 FROM runs), ?, ?, 'queued', ?)"));
  return insert.Bind(1, id).Bind(2, kind).Bind(3, DumpJson(spec)).Bind(4, now_us).Run();
}

Result<bool> RunStore::Start(std::string_view id, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement update,
                          db_->Prepare("UPDATE runs SET state = 'running', started_us = ? "
                                       "WHERE id = ? AND state = 'queued'"));
  SKERRY_RETURN_IF_ERROR(update.Bind(1, now_us).Bind(2, id).Run());
  return db_->changes() > 0;
}

Status RunStore::Finish(std::string_view id, std::string_view state, std::string_view reason,
                        const Json& report, std::string_view model, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE runs SET state = ?, reason = ?, report = ?, model = ?, finished_us = ? "
                   "WHERE id = ?"));
  return update.Bind(1, state)
      .Bind(2, reason)
      .Bind(3, report.is_null() ? std::string() : DumpJson(report))
      .Bind(4, model)
      .Bind(5, now_us)
      .Bind(6, id)
      .Run();
}

Result<RunRecord> RunStore::Find(std::string_view id) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} WHERE id = ?", kColumns)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, id).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "no run {}; GET /v1/runs lists them", id);
  return ReadRun(select);
}

Result<std::vector<RunRecord>> RunStore::List(std::uint64_t limit) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} ORDER BY number DESC LIMIT ?", kColumns)));
  select.Bind(1, limit);
  std::vector<RunRecord> runs;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return runs;
    SKERRY_ASSIGN_OR_RETURN(RunRecord run, ReadRun(select));
    runs.push_back(std::move(run));
  }
}

Result<std::optional<RunRecord>> RunStore::First(std::string_view state) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare(fmt::format("{} WHERE state = ? ORDER BY number LIMIT 1", kColumns)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, state).Step());
  if (!found) return std::optional<RunRecord>();
  SKERRY_ASSIGN_OR_RETURN(RunRecord run, ReadRun(select));
  return std::optional<RunRecord>(std::move(run));
}

}  // namespace skerry
