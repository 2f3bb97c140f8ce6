#include "hub/clock_ledger.h"

#include <algorithm>

#include "hub/site_directory.h"

namespace skerry {

Result<std::vector<ClockPoint>> ClockLedger::Anchors(std::string_view site,
                                                     std::string_view instance) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT mono_us, utc_us FROM clock_anchors WHERE site = ? AND instance = ? "
                   "ORDER BY mono_us, utc_us"));
  select.Bind(1, site).Bind(2, instance);
  std::vector<ClockPoint> points;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return points;
    points.push_back({select.Int(0), select.Int(1)});
  }
}

Status ClockLedger::TakeAnchors(const ShipmentStatement& statement, const Digest& digest,
                                std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(const SiteRecord site, SiteDirectory(*db_).Find(statement.site));
  std::int64_t trusted_us = 0;
  for (const ClockAnchor& anchor : statement.anchors) {
    if (anchor.clock != ClockQuality::kSynced ||
        !CanBe({anchor.mono_us, anchor.utc_us}, site.created_us, now_us))
      continue;
    if (anchor.instance == statement.epoch) trusted_us = std::max(trusted_us, anchor.utc_us);
    SKERRY_RETURN_IF_ERROR(TakeAnchor(statement.site, anchor));
  }
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE statements SET trusted_us = ? WHERE site = ? AND digest = ?"));
  return update.Bind(1, trusted_us).Bind(2, statement.site).Bind(3, digest.ToString()).Run();
}

Status ClockLedger::TakeAnchor(std::string_view site, const ClockAnchor& anchor) {
  const std::string instance = anchor.instance.ToString();
  const ClockPoint point{anchor.mono_us, anchor.utc_us};
  SKERRY_ASSIGN_OR_RETURN(std::vector<ClockPoint> known, Anchors(site, instance));
  const auto news = InstanceTime(known).NewsOf(point);
  if (news == InstanceTime::News::kNone || known.size() >= kAnchorsPerInstance) return {};
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR IGNORE INTO clock_anchors(site, instance, mono_us, utc_us) "
                   "VALUES(?, ?, ?, ?)"));
  insert.Bind(1, site).Bind(2, instance).Bind(3, point.mono_us).Bind(4, point.utc_us);
  SKERRY_RETURN_IF_ERROR(insert.Run());
  if (db_->changes() == 0) return {};
  // One that agrees changes what its neighbours said of the rows between them, where something had
  // to be said at all; any other may change everything.
  std::int64_t from_us = 0;
  std::int64_t to_us = kMonotonicMostUs;
  for (const ClockPoint& other : known) {
    if (other.mono_us <= point.mono_us) from_us = std::max(from_us, other.mono_us);
    if (other.mono_us >= point.mono_us) to_us = std::min(to_us, other.mono_us);
  }
  const bool nearer = news == InstanceTime::News::kNearer;
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement ask,
      db_->Prepare(fmt::format("UPDATE clock_files SET asks = asks + 1 WHERE {} path IN (SELECT "
                               "path FROM clock_spans WHERE site = ? AND instance = ? {})",
                               nearer ? "rows > 0 AND" : "",
                               nearer ? "AND last_mono_us >= ? AND first_mono_us <= ?" : "")));
  ask.Bind(1, site).Bind(2, instance);
  if (nearer) ask.Bind(3, from_us).Bind(4, to_us);
  return ask.Run();
}

Status ClockLedger::AddFile(std::string_view site, const InstanceId& epoch, std::string_view path,
                            const std::vector<ClockSpan>& spans, std::int64_t now_us) {
  if (spans.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(*db_).Find(site));
  FileTime file;
  file.joined_us = record.created_us;
  file.received_us = now_us;
  bool due = false;
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT INTO clock_spans(site, instance, path, first_mono_us, last_mono_us) "
                   "VALUES(?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET first_mono_us = "
                   "min(first_mono_us, excluded.first_mono_us), last_mono_us = max(last_mono_us, "
                   "excluded.last_mono_us)"));
  for (const ClockSpan& span : spans) {
    SKERRY_ASSIGN_OR_RETURN(std::vector<ClockPoint> known, Anchors(site, span.instance));
    due = due || !InstanceTime(std::move(known)).Believes(span, file);
    insert.Bind(1, site).Bind(2, span.instance).Bind(3, path);
    SKERRY_RETURN_IF_ERROR(insert.Bind(4, span.first_mono_us).Bind(5, span.last_mono_us).Run());
  }
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement add,
      db_->Prepare("INSERT INTO clock_files(path, site, epoch, received_us, asks) "
                   "VALUES(?, ?, ?, ?, ?)"));
  return add.Bind(1, path)
      .Bind(2, site)
      .Bind(3, epoch.ToString())
      .Bind(4, now_us)
      .Bind(5, due ? 1 : 0)
      .Run();
}

Result<std::vector<std::string>> ClockLedger::Paths(SqlStatement& select) {
  std::vector<std::string> paths;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return paths;
    paths.emplace_back(select.Text(0));
  }
}

Result<std::vector<std::string>> ClockLedger::Due() {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT path FROM clock_files WHERE asks > 0 ORDER BY received_us, path"));
  return Paths(select);
}

Result<std::vector<std::string>> ClockLedger::AllCorrected() {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT path FROM clock_files WHERE rows > 0 ORDER BY path"));
  return Paths(select);
}

Result<std::vector<std::string>> ClockLedger::Corrected(const std::vector<std::string>& paths) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT 1 FROM clock_files WHERE path = ? AND rows > 0"));
  std::vector<std::string> corrected;
  for (const std::string& path : paths) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Bind(1, path).Step());
    if (row) corrected.push_back(path);
    select.Reset();
  }
  return corrected;
}

Result<DueCorrection> ClockLedger::Begin(const std::string& path) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare(
          "SELECT f.site, f.epoch, f.received_us, f.asks, f.rows, f.attempts, s.created_us FROM "
          "clock_files f JOIN sites s ON s.site = f.site WHERE f.path = ? AND f.asks > 0"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, path).Step());
  if (!found) return Fail(ErrorCode::kNotFound, "{} waits for no correction", path);
  DueCorrection due;
  due.path = path;
  due.site = select.Text(0);
  SKERRY_ASSIGN_OR_RETURN(due.epoch, InstanceId::Parse(select.Text(1)));
  due.received_us = select.Int(2);
  due.asks = static_cast<std::uint64_t>(select.Int(3));
  due.rows = static_cast<std::uint64_t>(select.Int(4));
  due.deaths = static_cast<std::uint64_t>(select.Int(5));
  due.joined_us = select.Int(6);
  select.Reset();
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement mark,
      db_->Prepare("UPDATE clock_files SET attempts = attempts + 1 WHERE path = ?"));
  SKERRY_RETURN_IF_ERROR(mark.Bind(1, path).Run());
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t trusted_us, TrustedBefore(due.site, due.epoch));
  due.floor_us = std::min(std::max(due.joined_us, trusted_us), due.received_us);
  SKERRY_ASSIGN_OR_RETURN(SqlStatement spans,
                          db_->Prepare("SELECT instance FROM clock_spans WHERE path = ?"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> instances, Paths(spans.Bind(1, path)));
  for (const std::string& instance : instances) {
    SKERRY_ASSIGN_OR_RETURN(due.anchors[instance], Anchors(due.site, instance));
  }
  return due;
}

Result<std::int64_t> ClockLedger::TrustedBefore(std::string_view site, const InstanceId& epoch) {
  // By the chain of statements, and not by their numbers: copies of a site use those twice.
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("WITH RECURSIVE back(previous, trusted_us, depth) AS (SELECT * FROM (SELECT "
                   "previous, 0, 0 FROM statements WHERE site = ?1 AND epoch = ?2 ORDER BY number "
                   "LIMIT 1) UNION ALL SELECT s.previous, s.trusted_us, depth + 1 FROM back b JOIN "
                   "statements s ON s.site = ?1 AND s.digest = b.previous WHERE b.trusted_us = 0 "
                   "AND depth < ?3) SELECT coalesce(max(trusted_us), 0) FROM back"));
  select.Bind(1, site).Bind(2, epoch.ToString()).Bind(3, kStatementsWalked);
  SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
  return row ? select.Int(0) : 0;
}

Status ClockLedger::Move(const std::string& path, std::int64_t bucket_us, std::int64_t rows) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement upsert,
      db_->Prepare("INSERT INTO counts(site, class, bucket_us, rows) SELECT site, class, ?, ? FROM "
                   "lake_files WHERE path = ? ON CONFLICT DO UPDATE SET rows = rows + "
                   "excluded.rows"));
  SKERRY_RETURN_IF_ERROR(upsert.Bind(1, bucket_us).Bind(2, rows).Bind(3, path).Run());
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement empty,
      db_->Prepare(
          "DELETE FROM counts WHERE rows = 0 AND bucket_us = ? AND (site, class) = (SELECT "
          "site, class FROM lake_files WHERE path = ?)"));
  return empty.Bind(1, bucket_us).Bind(2, path).Run();
}

Status ClockLedger::Finish(const DueCorrection& due, std::uint64_t rows, const CountMoves& moved) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT bucket_us, rows FROM clock_moves WHERE path = ?"));
  CountMoves changes = moved;
  select.Bind(1, due.path);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    changes[select.Int(0)] -= select.Int(1);
  }
  for (const auto& [bucket_us, change] : changes)
    if (change != 0) SKERRY_RETURN_IF_ERROR(Move(due.path, bucket_us, change));
  SKERRY_ASSIGN_OR_RETURN(SqlStatement forget,
                          db_->Prepare("DELETE FROM clock_moves WHERE path = ?"));
  SKERRY_RETURN_IF_ERROR(forget.Bind(1, due.path).Run());
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement keep,
      db_->Prepare("INSERT INTO clock_moves(path, bucket_us, rows) VALUES(?, ?, ?)"));
  for (const auto& [bucket_us, change] : moved)
    SKERRY_RETURN_IF_ERROR(keep.Bind(1, due.path).Bind(2, bucket_us).Bind(3, change).Run());
  SKERRY_ASSIGN_OR_RETURN(SqlStatement update,
                          db_->Prepare("UPDATE clock_files SET rows = ?, attempts = 0, asks = CASE "
                                       "asks WHEN ? THEN 0 ELSE asks END WHERE path = ?"));
  return update.Bind(1, rows).Bind(2, due.asks).Bind(3, due.path).Run();
}

Status ClockLedger::Postpone(const DueCorrection& due) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement update,
                          db_->Prepare("UPDATE clock_files SET attempts = 0 WHERE path = ?"));
  return update.Bind(1, due.path).Run();
}

Status ClockLedger::GiveUp(const DueCorrection& due) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE clock_files SET attempts = 0, asks = 0 WHERE path = ?"));
  return update.Bind(1, due.path).Run();
}

Status ClockLedger::Ask(const std::vector<std::string>& paths) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement ask,
                          db_->Prepare("UPDATE clock_files SET asks = asks + 1 WHERE path = ?"));
  for (const std::string& path : paths) SKERRY_RETURN_IF_ERROR(ask.Bind(1, path).Run());
  return {};
}

}  // namespace skerry
