#include "hub/ledger.h"

#include <algorithm>

namespace skerry {
namespace {

std::string_view StateName(SegmentState state) {
  switch (state) {
    case SegmentState::kLake: return "lake";
    case SegmentState::kQuarantined: return "quarantined";
    case SegmentState::kConflict: return "conflict";
  }
  return "";
}

// Binds site, epoch and class from parameter 1 on.
SqlStatement& BindStream(SqlStatement& statement, std::string_view site, const StreamKey& stream) {
  return statement.Bind(1, site)
      .Bind(2, stream.epoch.ToString())
      .Bind(3, RecordClassName(stream.cls));
}

}  // namespace

Status Ledger::AddInterval(std::string_view site, const StreamKey& stream, std::string_view state,
                           std::uint64_t first_seq, std::uint64_t last_seq) {
  // One merged row takes the place of all that it touches.
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement touching,
      db_->Prepare("SELECT min(first_seq), max(last_seq) FROM intervals WHERE site = ? AND "
                   "epoch = ? AND class = ? AND state = ? AND first_seq <= ? AND last_seq >= ?"));
  BindStream(touching, site, stream).Bind(4, state).Bind(5, last_seq + 1).Bind(6, first_seq - 1);
  SKERRY_ASSIGN_OR_RETURN(const bool row, touching.Step());
  if (row && !touching.IsNull(0)) {
    first_seq = std::min(first_seq, static_cast<std::uint64_t>(touching.Int(0)));
    last_seq = std::max(last_seq, static_cast<std::uint64_t>(touching.Int(1)));
  }
  touching.Reset();
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement remove,
      db_->Prepare("DELETE FROM intervals WHERE site = ? AND epoch = ? AND class = ? AND "
                   "state = ? AND first_seq >= ? AND last_seq <= ?"));
  BindStream(remove, site, stream).Bind(4, state).Bind(5, first_seq).Bind(6, last_seq);
  SKERRY_RETURN_IF_ERROR(remove.Run());
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT INTO intervals(site, epoch, class, state, first_seq, last_seq) "
                   "VALUES(?, ?, ?, ?, ?, ?)"));
  BindStream(insert, site, stream).Bind(4, state).Bind(5, first_seq).Bind(6, last_seq);
  return insert.Run();
}

Status Ledger::NoteSealed(std::string_view site, const StreamKey& stream, std::uint64_t last_seq) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement upsert,
      db_->Prepare("INSERT INTO streams(site, epoch, class, sealed_through) VALUES(?, ?, ?, ?) "
                   "ON CONFLICT DO UPDATE SET sealed_through = "
                   "max(sealed_through, excluded.sealed_through)"));
  return BindStream(upsert, site, stream).Bind(4, last_seq).Run();
}

Status Ledger::AddSegment(std::string_view site, const SegmentRecord& segment,
                          std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT INTO segments(site, epoch, class, first_seq, last_seq, digest, state, "
                   "rows, primary_rows, bytes, received_us) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                   "?)"));
  BindStream(insert, site, segment.stream)
      .Bind(4, segment.first_seq)
      .Bind(5, segment.last_seq)
      .Bind(6, segment.digest.ToString())
      .Bind(7, StateName(segment.state))
      .Bind(8, segment.rows)
      .Bind(9, segment.primary_rows)
      .Bind(10, segment.bytes)
      .Bind(11, now_us);
  SKERRY_RETURN_IF_ERROR(insert.Run());
  const std::int64_t id = db_->last_insert_id();

  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement file,
      db_->Prepare("INSERT INTO lake_files(path, segment, site, class, model_name, rows) "
                   "VALUES(?, ?, ?, ?, ?, ?)"));
  for (const LakeFile& one : segment.files) {
    file.Bind(1, one.path).Bind(2, id).Bind(3, site).Bind(4, RecordClassName(segment.stream.cls));
    SKERRY_RETURN_IF_ERROR(file.Bind(5, one.model_name).Bind(6, one.rows).Run());
  }
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement count,
      db_->Prepare("INSERT INTO counts(site, class, bucket_us, rows) VALUES(?, ?, ?, ?) "
                   "ON CONFLICT DO UPDATE SET rows = rows + excluded.rows"));
  for (const auto& [bucket_us, rows] : segment.counts) {
    count.Bind(1, site).Bind(2, RecordClassName(segment.stream.cls));
    SKERRY_RETURN_IF_ERROR(count.Bind(3, bucket_us).Bind(4, rows).Run());
  }
  return AddInterval(site, segment.stream, "held", segment.first_seq, segment.last_seq);
}

Result<bool> Ledger::AddGap(std::string_view site, const GapEntry& gap) {
  const StreamKey stream{gap.epoch, gap.cls};
  SKERRY_ASSIGN_OR_RETURN(const IntervalSet known, Intervals(site, stream, "gap"));
  // A range that was accepted before is not counted a second time.
  if (known.Covers(gap.first_seq, gap.last_seq)) return false;
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR IGNORE INTO gaps(site, epoch, class, first_seq, last_seq, "
                   "primary_rows, reason) VALUES(?, ?, ?, ?, ?, ?, ?)"));
  BindStream(insert, site, stream)
      .Bind(4, gap.first_seq)
      .Bind(5, gap.last_seq)
      .Bind(6, gap.primary_rows)
      .Bind(7, gap.reason);
  SKERRY_RETURN_IF_ERROR(insert.Run());
  SKERRY_RETURN_IF_ERROR(AddInterval(site, stream, "gap", gap.first_seq, gap.last_seq));
  return true;
}

Result<bool> Ledger::AddStatement(const ShipmentStatement& statement, const Digest& digest,
                                  std::string_view envelope, const Digest& manifest,
                                  std::int64_t now_us) {
  for (const SegmentEntry& entry : statement.segments)
    SKERRY_RETURN_IF_ERROR(NoteSealed(statement.site, {entry.epoch, entry.cls}, entry.last_seq));
  for (const GapEntry& gap : statement.gaps)
    SKERRY_RETURN_IF_ERROR(NoteSealed(statement.site, {gap.epoch, gap.cls}, gap.last_seq));
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR IGNORE INTO statements(site, digest, epoch, number, previous, "
                   "sealed_us, received_us, manifest, envelope) VALUES(?, ?, ?, ?, ?, ?, ?, ?, "
                   "?)"));
  insert.Bind(1, statement.site)
      .Bind(2, digest.ToString())
      .Bind(3, statement.epoch.ToString())
      .Bind(4, statement.number)
      .Bind(6, statement.sealed_at_us)
      .Bind(7, now_us)
      .Bind(8, manifest.ToString())
      .Bind(9, Blob{envelope});
  if (statement.previous) insert.Bind(5, statement.previous->ToString());
  SKERRY_RETURN_IF_ERROR(insert.Run());
  return db_->changes() > 0;
}

Result<bool> Ledger::HasOtherStatement(const ShipmentStatement& statement, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement select,
      db_->Prepare("SELECT 1 FROM statements WHERE site = ? AND number = ? AND digest != ?"));
  return select.Bind(1, statement.site).Bind(2, statement.number).Bind(3, digest.ToString()).Step();
}

Result<std::uint64_t> Ledger::Acknowledge(std::string_view site, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement update,
      db_->Prepare("UPDATE set_aside SET acknowledged_us = ? WHERE site = ? AND "
                   "acknowledged_us = 0"));
  SKERRY_RETURN_IF_ERROR(update.Bind(1, now_us).Bind(2, site).Run());
  return static_cast<std::uint64_t>(db_->changes());
}

Result<bool> Ledger::AddSetAside(const SetAside& item) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR IGNORE INTO set_aside(site, kind, digest, name, reason, rows, at_us) "
                   "VALUES(?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(1, item.site)
      .Bind(2, item.kind)
      .Bind(3, item.digest)
      .Bind(4, item.name)
      .Bind(5, item.reason)
      .Bind(6, item.rows)
      .Bind(7, item.at_us);
  SKERRY_RETURN_IF_ERROR(insert.Run());
  return db_->changes() > 0;
}

Result<std::uint64_t> Ledger::BeginReading(const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement upsert,
      db_->Prepare("INSERT INTO reading(digest, attempts) VALUES(?, 1) "
                   "ON CONFLICT DO UPDATE SET attempts = attempts + 1 RETURNING attempts"));
  SKERRY_ASSIGN_OR_RETURN(const bool row, upsert.Bind(1, digest.ToString()).Step());
  const std::int64_t attempts = row ? upsert.Int(0) : 1;
  // A RETURNING statement takes effect in full only when it was run to its end.
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const bool more, upsert.Step());
  return static_cast<std::uint64_t>(attempts - 1);
}

Status Ledger::EndReading(const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement remove,
                          db_->Prepare("DELETE FROM reading WHERE digest = ?"));
  return remove.Bind(1, digest.ToString()).Run();
}

}  // namespace skerry
