#include "hub/audit_log.h"

#include "crypto/field_hash.h"

namespace skerry {
namespace {

std::string HashOf(const AuditEntry& entry) {
  return HashOfFields("skerry-audit/1",
                      {fmt::format("{},{}", entry.n, entry.at_us), entry.actor, entry.action,
                       entry.subject, entry.detail, entry.previous});
}

AuditEntry ReadEntry(const SqlStatement& row) {
  AuditEntry entry;
  entry.n = static_cast<std::uint64_t>(row.Int(0));
  entry.at_us = row.Int(1);
  entry.actor = std::string(row.Text(2));
  entry.action = std::string(row.Text(3));
  entry.subject = std::string(row.Text(4));
  entry.detail = std::string(row.Text(5));
  entry.previous = std::string(row.Text(6));
  entry.hash = std::string(row.Text(7));
  return entry;
}

constexpr std::string_view kColumns =
    "SELECT n, at_us, actor, action, subject, detail, previous, hash FROM audit";

}  // namespace

Json AuditEntry::ToJson() const {
  const auto parsed = ParseJson(detail);
  return {{"n", n},
          {"at", at_us},
          {"actor", actor},
          {"action", action},
          {"subject", subject},
          {"detail", parsed ? *parsed : Json(detail)},
          {"previous", previous},
          {"hash", hash}};
}

Status AuditLog::Append(std::int64_t at_us, std::string_view actor, std::string_view action,
                        std::string_view subject, const Json& detail) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement last,
                          db_->Prepare(fmt::format("{} ORDER BY n DESC LIMIT 1", kColumns)));
  SKERRY_ASSIGN_OR_RETURN(const bool found, last.Step());
  AuditEntry entry;
  entry.n = found ? static_cast<std::uint64_t>(last.Int(0)) + 1 : 1;
  entry.previous = found ? std::string(last.Text(7)) : "";
  entry.at_us = at_us;
  entry.actor = std::string(actor);
  entry.action = std::string(action);
  entry.subject = std::string(subject);
  entry.detail = DumpJson(detail);
  entry.hash = HashOf(entry);
  last.Reset();
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT INTO audit(n, at_us, actor, action, subject, detail, previous, hash) "
                   "VALUES(?, ?, ?, ?, ?, ?, ?, ?)"));
  return insert.Bind(1, entry.n)
      .Bind(2, entry.at_us)
      .Bind(3, entry.actor)
      .Bind(4, entry.action)
      .Bind(5, entry.subject)
      .Bind(6, entry.detail)
      .Bind(7, entry.previous)
      .Bind(8, entry.hash)
      .Run();
}

Result<std::vector<AuditEntry>> AuditLog::List(std::uint64_t after, std::uint64_t limit) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} WHERE n > ? ORDER BY n LIMIT ?", kColumns)));
  select.Bind(1, after).Bind(2, limit);
  std::vector<AuditEntry> entries;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return entries;
    entries.push_back(ReadEntry(select));
  }
}

Status AuditLog::Verify() {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare(fmt::format("{} ORDER BY n", kColumns)));
  std::string previous;
  for (std::uint64_t n = 1;; ++n) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return {};
    const AuditEntry entry = ReadEntry(select);
    if (entry.n != n)
      return Fail(ErrorCode::kDataLoss, "the audit log has no entry {}: the next is {}", n,
                  entry.n);
    if (entry.previous != previous || entry.hash != HashOf(entry))
      return Fail(ErrorCode::kDataLoss, "entry {} of the audit log does not fit the chain", n);
    previous = entry.hash;
  }
}

}  // namespace skerry
