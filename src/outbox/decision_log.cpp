#include "outbox/decision_log.h"

#include <algorithm>

#include "base/limits.h"
#include "crypto/digest.h"
#include "crypto/field_hash.h"
#include "outbox/database.h"
#include "outbox/generations.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::string_view kFormat = "skerry-decision/1";

Result<std::vector<DecisionEntry>> ReadLog(Database& database, std::string_view tail) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare(fmt::format(
          "SELECT n, rule, reason, policy, rows, previous, hash FROM decisions {}", tail)));
  std::vector<DecisionEntry> entries;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return entries;
    entries.push_back({static_cast<std::uint64_t>(query.Int(0)), std::string(query.Text(1)),
                       std::string(query.Text(2)), std::string(query.Text(3)),
                       static_cast<std::uint64_t>(query.Int(4)), std::string(query.Text(5)),
                       std::string(query.Text(6))});
  }
}

std::vector<DecisionEntry> FromTable(const Table& table) {
  std::vector<DecisionEntry> entries;
  const auto text = [&](const char* name, std::size_t row) { return table.Find(name)->texts[row]; };
  const auto number = [&](const char* name, std::size_t row) {
    return static_cast<std::uint64_t>(table.Find(name)->ints[row]);
  };
  for (std::size_t row = 0; row < table.rows(); ++row)
    entries.push_back({number("n", row), text("rule", row), text("reason", row),
                       text("policy_digest", row), number("rows", row), text("previous", row),
                       text("hash", row)});
  return entries;
}

void AppendDecision(const DecisionEntry& entry, Table& table) {
  table.columns[0].AppendInt(static_cast<std::int64_t>(entry.n));
  table.columns[1].AppendText(entry.rule);
  table.columns[2].AppendText(entry.reason);
  table.columns[3].AppendText(entry.policy);
  table.columns[4].AppendInt(static_cast<std::int64_t>(entry.rows));
  table.columns[5].AppendText(entry.previous);
  table.columns[6].AppendText(entry.hash);
}

// "<site>-<hex>.parquet"
std::string SiteOf(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  return name.substr(0, name.rfind('-'));
}

}  // namespace

std::string DecisionEntry::MakeHash() const {
  return HashOfFields(kFormat,
                      {std::to_string(n), rule, reason, policy, std::to_string(rows), previous});
}

Table DecisionTable() {
  return Table{{{.name = "n", .type = ColumnType::kInt64},
                {.name = "rule", .type = ColumnType::kText},
                {.name = "reason", .type = ColumnType::kText},
                {.name = "policy_digest", .type = ColumnType::kText},
                {.name = "rows", .type = ColumnType::kInt64},
                {.name = "previous", .type = ColumnType::kText},
                {.name = "hash", .type = ColumnType::kText}}};
}

Status LogDecisions(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(const auto last, ReadLog(database, "ORDER BY n DESC LIMIT 1"));
  SKERRY_ASSIGN_OR_RETURN(auto query,
                          database.Prepare("SELECT rule, reason, policy, rows - reported FROM "
                                           "withheld WHERE rows > reported"));
  std::vector<DecisionEntry> made;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    DecisionEntry entry;
    entry.rule = query.Text(0);
    entry.reason = query.Text(1);
    entry.policy = query.Text(2);
    entry.rows = static_cast<std::uint64_t>(query.Int(3));
    made.push_back(std::move(entry));
  }
  query.Reset();
  SKERRY_ASSIGN_OR_RETURN(auto insert,
                          database.Prepare("INSERT INTO decisions(n, rule, reason, policy, rows, "
                                           "previous, hash) VALUES(?, ?, ?, ?, ?, ?, ?)"));
  const DecisionEntry* before = last.empty() ? nullptr : &last.front();
  for (DecisionEntry& entry : made) {
    entry.n = before == nullptr ? 1 : before->n + 1;
    if (before != nullptr) entry.previous = before->hash;
    entry.hash = entry.MakeHash();
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, entry.n)
                               .Bind(2, entry.rule)
                               .Bind(3, entry.reason)
                               .Bind(4, entry.policy)
                               .Bind(5, entry.rows)
                               .Bind(6, entry.previous)
                               .Bind(7, entry.hash)
                               .Run());
    before = &entry;
  }
  if (made.empty()) return {};
  return database.Execute("UPDATE withheld SET reported = rows");
}

Result<Table> TakeUnsentDecisions(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<DecisionEntry> entries,
                          ReadLog(database, fmt::format("WHERE sent = 0 ORDER BY n LIMIT {}",
                                                        limits::kDecisionsAtOnce)));
  Table table = DecisionTable();
  for (const DecisionEntry& entry : entries) AppendDecision(entry, table);
  if (!entries.empty())
    SKERRY_RETURN_IF_ERROR(database.Execute(
        fmt::format("UPDATE decisions SET sent = 1 WHERE sent = 0 AND n <= {}", entries.back().n)));
  return table;
}

DecisionAudit AuditDecisions(std::vector<DecisionEntry> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const DecisionEntry& a, const DecisionEntry& b) { return a.n < b.n; });
  DecisionAudit audit;
  audit.entries = entries.size();
  const auto find = [&audit](std::string finding) { audit.findings.push_back(std::move(finding)); };
  for (const DecisionEntry& entry : entries) {
    audit.rows += entry.rows;
    const bool intact = entry.hash == entry.MakeHash();
    if (!intact) find(fmt::format("entry {} was altered: its hash does not fit", entry.n));
    if (entry.n == audit.last_n)
      find(fmt::format("entry {} is there twice", entry.n));
    else if (entry.n > audit.last_n + 1)
      find(audit.last_n + 2 == entry.n
               ? fmt::format("entry {} is missing", audit.last_n + 1)
               : fmt::format("entries {} to {} are missing", audit.last_n + 1, entry.n - 1));
    else if (intact && entry.previous != audit.last_hash)
      find(fmt::format("entry {} does not follow entry {}: one of them was altered", entry.n,
                       audit.last_n));
    audit.last_n = entry.n;
    audit.last_hash = entry.hash;
  }
  return audit;
}

Result<DecisionAudit> AuditSite(const std::filesystem::path& outbox_directory) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t generation, LatestGeneration(outbox_directory));
  SKERRY_ASSIGN_OR_RETURN(
      const auto database,
      Database::Open(GenerationPath(outbox_directory, generation), {.read_only = true}));
  SKERRY_ASSIGN_OR_RETURN(const ReadSnapshot snapshot, ReadSnapshot::Begin(*database));
  SKERRY_ASSIGN_OR_RETURN(std::vector<DecisionEntry> entries, ReadLog(*database, ""));
  DecisionAudit audit = AuditDecisions(std::move(entries));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t reported,
                          ReadNumber(*database, "SELECT SUM(reported) FROM withheld"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t counted,
                          ReadNumber(*database, "SELECT SUM(rows) FROM withheld"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t withheld,
                          ReadNumber(*database, "SELECT withheld FROM state"));
  if (audit.rows != reported)
    audit.findings.push_back(
        fmt::format("the log tells of {} rows, and {} were told to it: "
                    "entries at its end are missing or were altered",
                    audit.rows, reported));
  if (counted != withheld)
    audit.findings.push_back(
        fmt::format("{} rows are counted by rule, and {} were withheld", counted, withheld));
  return audit;
}

Result<std::map<std::string, DecisionAudit>> AuditLake(const std::filesystem::path& lake) {
  std::map<std::string, DecisionAudit> audits;
  std::map<std::string, std::vector<DecisionEntry>> entries;
  std::map<std::string, std::vector<std::string>> unreadable;
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  std::error_code error;
  const std::filesystem::path top = lake / "class=decision";
  if (!std::filesystem::exists(top, error)) return audits;
  for (const auto& file : std::filesystem::recursive_directory_iterator(top, error)) {
    if (file.path().extension() != ".parquet") continue;
    const std::string site = SiteOf(file.path());
    ReadOptions options;
    for (const Column& column : DecisionTable().columns) options.columns.push_back(column.name);
    const auto table = engine->ReadFile(file.path(), options);
    if (!table) {
      unreadable[site].push_back(
          fmt::format("{} cannot be read: {}", file.path().string(), table.error().message()));
      continue;
    }
    for (DecisionEntry& entry : FromTable(*table)) entries[site].push_back(std::move(entry));
  }
  if (error) return Fail(ErrorCode::kInternal, "listing {}: {}", top.string(), error.message());
  for (auto& [site, list] : entries) audits[site] = AuditDecisions(std::move(list));
  for (auto& [site, findings] : unreadable)
    audits[site].findings.insert(audits[site].findings.end(), findings.begin(), findings.end());
  return audits;
}

}  // namespace skerry
