// Ledger's reading half.
#include "hub/ledger.h"

namespace skerry {
namespace {

SqlStatement& BindStream(SqlStatement& statement, std::string_view site, const StreamKey& stream) {
  return statement.Bind(1, site)
      .Bind(2, stream.epoch.ToString())
      .Bind(3, RecordClassName(stream.cls));
}

std::uint64_t Unsigned(std::int64_t value) { return static_cast<std::uint64_t>(value); }

}  // namespace

Result<IntervalSet> Ledger::Intervals(std::string_view site, const StreamKey& stream,
                                      std::string_view state) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT first_seq, last_seq FROM intervals WHERE site = ? AND epoch = ? AND "
                   "class = ? AND state = ? ORDER BY first_seq"));
  BindStream(select, site, stream).Bind(4, state);
  IntervalSet set;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return set;
    set.Add(Unsigned(select.Int(0)), Unsigned(select.Int(1)));
  }
}

Result<IntervalSet> Ledger::Held(std::string_view site, const StreamKey& stream) {
  return Intervals(site, stream, "held");
}

Result<bool> Ledger::HasSegment(std::string_view site, const SegmentEntry& entry) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT 1 FROM segments WHERE site = ? AND epoch = ? AND class = ? AND "
                   "digest = ? AND first_seq = ? AND last_seq = ?"));
  BindStream(select, site, {entry.epoch, entry.cls})
      .Bind(4, entry.digest.ToString())
      .Bind(5, entry.first_seq)
      .Bind(6, entry.last_seq);
  return select.Step();
}

Result<std::vector<std::string>> Ledger::Paths(SqlStatement& select) {
  std::vector<std::string> paths;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return paths;
    paths.emplace_back(select.Text(0));
  }
}

Result<std::vector<std::string>> Ledger::FilesOf(std::string_view site, const StreamKey& stream,
                                                 std::uint64_t first_seq, std::uint64_t last_seq) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT f.path FROM segments s JOIN lake_files f ON f.segment = s.id WHERE "
                   "s.site = ? AND s.epoch = ? AND s.class = ? AND s.first_seq <= ? AND "
                   "s.last_seq >= ? ORDER BY f.path"));
  BindStream(select, site, stream).Bind(4, last_seq).Bind(5, first_seq);
  return Paths(select);
}

Result<std::vector<std::string>> Ledger::FilesOfClass(RecordClass cls, std::string_view site,
                                                      std::string_view model_name,
                                                      std::uint64_t limit) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT path FROM lake_files WHERE class = ?1 AND (?2 = '' OR site = ?2) AND "
                   "(?3 = '' OR model_name = ?3) ORDER BY segment DESC, path LIMIT ?4"));
  select.Bind(1, RecordClassName(cls)).Bind(2, site).Bind(3, model_name);
  select.Bind(4, limit == 0 ? std::int64_t{-1} : static_cast<std::int64_t>(limit));
  return Paths(select);
}

Result<std::vector<std::string>> Ledger::AllFiles() {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT path FROM lake_files ORDER BY path"));
  return Paths(select);
}

Result<std::vector<StreamHoldings>> Ledger::Streams(std::string_view site) {
  std::vector<StreamHoldings> streams;
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT epoch, class, sealed_through FROM streams WHERE site = ? "
                   "ORDER BY epoch, class"));
  select.Bind(1, site);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    StreamHoldings holdings;
    SKERRY_ASSIGN_OR_RETURN(holdings.stream.epoch, InstanceId::Parse(select.Text(0)));
    SKERRY_ASSIGN_OR_RETURN(holdings.stream.cls, ParseRecordClass(select.Text(1)));
    holdings.sealed_through = Unsigned(select.Int(2));
    streams.push_back(std::move(holdings));
  }
  for (StreamHoldings& holdings : streams) SKERRY_RETURN_IF_ERROR(FillStream(site, holdings));
  return streams;
}

Status Ledger::FillStream(std::string_view site, StreamHoldings& holdings) {
  SKERRY_ASSIGN_OR_RETURN(holdings.held, Intervals(site, holdings.stream, "held"));
  SKERRY_ASSIGN_OR_RETURN(holdings.gaps, Intervals(site, holdings.stream, "gap"));
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement sums,
      db_->Prepare("SELECT coalesce(sum(rows) FILTER (WHERE state = 'lake'), 0), "
                   "coalesce(sum(primary_rows) FILTER (WHERE state = 'lake'), 0), "
                   "coalesce(sum(primary_rows) FILTER (WHERE state = 'quarantined'), 0) "
                   "FROM segments WHERE site = ? AND epoch = ? AND class = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool row, BindStream(sums, site, holdings.stream).Step());
  if (row) {
    holdings.rows = Unsigned(sums.Int(0));
    holdings.primary_rows = Unsigned(sums.Int(1));
    holdings.quarantined_primary_rows = Unsigned(sums.Int(2));
  }
  return FillGaps(site, holdings);
}

// Of the gaps, those that the hub counts itself. What arrived here, before the site lost it or
// after all, is received.
Status Ledger::FillGaps(std::string_view site, StreamHoldings& holdings) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement gaps,
      db_->Prepare("SELECT first_seq, last_seq, primary_rows, reason FROM gaps WHERE site = ? AND "
                   "epoch = ? AND class = ? AND reason IN (?, ?)"));
  BindStream(gaps, site, holdings.stream).Bind(4, kGapDamage).Bind(5, kGapLost);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, gaps.Step());
    if (!more) return {};
    const std::uint64_t first = Unsigned(gaps.Int(0));
    const std::uint64_t last = Unsigned(gaps.Int(1));
    const std::uint64_t primary_rows = Unsigned(gaps.Int(2));
    const auto missing = holdings.held.Missing(first, last);
    if (missing.empty()) continue;
    if (gaps.Text(3) == kGapDamage) {
      holdings.quarantined_primary_rows += primary_rows;
      continue;
    }
    // A part of a lost range may have come by a late stick; a range of which not every row is
    // primary is a segment of its own, and comes whole.
    std::uint64_t rows = 0;
    for (const auto& [from, to] : missing) {
      holdings.lost.Add(from, to);
      rows += to - from + 1;
    }
    holdings.lost_primary_rows += primary_rows == last - first + 1 ? rows : primary_rows;
  }
}

Result<std::vector<SetAside>> Ledger::SetAsides(std::string_view site, std::uint64_t limit) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT site, kind, digest, name, reason, rows, at_us, acknowledged_us "
                   "FROM set_aside WHERE (?1 = '' OR site = ?1) ORDER BY id DESC LIMIT ?2"));
  select.Bind(1, site).Bind(2, limit);
  std::vector<SetAside> items;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return items;
    items.push_back({std::string(select.Text(0)), std::string(select.Text(1)),
                     std::string(select.Text(2)), std::string(select.Text(3)),
                     std::string(select.Text(4)), Unsigned(select.Int(5)), select.Int(6),
                     select.Int(7)});
  }
}

Result<std::uint64_t> Ledger::CountSetAside(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT count(*) FROM set_aside WHERE site = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool row, select.Bind(1, site).Step());
  return row ? Unsigned(select.Int(0)) : 0;
}

Result<std::uint64_t> Ledger::ConflictingRows(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT coalesce(sum(rows), 0) FROM set_aside WHERE "
                                       "site = ? AND kind = 'conflict'"));
  SKERRY_ASSIGN_OR_RETURN(const bool row, select.Bind(1, site).Step());
  return row ? Unsigned(select.Int(0)) : 0;
}

Result<std::uint64_t> Ledger::MissingStatements(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT count(*) FROM statements a WHERE a.site = ? AND a.previous IS NOT NULL "
                   "AND NOT EXISTS (SELECT 1 FROM statements b WHERE b.site = a.site AND "
                   "b.digest = a.previous)"));
  SKERRY_ASSIGN_OR_RETURN(const bool row, select.Bind(1, site).Step());
  return row ? Unsigned(select.Int(0)) : 0;
}

Result<std::vector<CountPoint>> Ledger::Counts(std::string_view site, std::int64_t step_us,
                                               std::int64_t since_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT site, class, bucket_us / ?1 * ?1 AS step, sum(rows) FROM counts WHERE "
                   "(?2 = '' OR site = ?2) AND bucket_us >= ?3 GROUP BY site, class, step "
                   "ORDER BY step, site, class"));
  select.Bind(1, step_us).Bind(2, site).Bind(3, since_us);
  std::vector<CountPoint> points;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return points;
    SKERRY_ASSIGN_OR_RETURN(const RecordClass cls, ParseRecordClass(select.Text(1)));
    points.push_back({std::string(select.Text(0)), cls, select.Int(2), Unsigned(select.Int(3))});
  }
}

}  // namespace skerry
