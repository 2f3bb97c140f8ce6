#include "outbox/generations.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/log.h"
#include "outbox/database.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kPrefix = "outbox-";
constexpr std::size_t kDigits = 6;

std::filesystem::path Named(const std::filesystem::path& directory, std::uint64_t number,
                            std::string_view end) {
  return directory / fmt::format("{}{:06}.{}", kPrefix, number, end);
}

// The number in "outbox-000012.db", 0 for a name of another form.
std::uint64_t NumberOf(const std::string& name) {
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + kDigits) return 0;
  std::uint64_t number = 0;
  const char* const first = name.data() + kPrefix.size();
  const auto read = std::from_chars(first, first + kDigits, number);
  return read.ec == std::errc() && read.ptr == first + kDigits ? number : 0;
}

Result<std::vector<std::string>> NamesIn(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    names.push_back(entry.path().filename().string());
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory.string(), error.message());
  return names;
}

// In the order in which rows refer to each other.
constexpr std::array<std::string_view, 14> kTables = {
    "state",  "instances", "streams",    "batches",   "segments", "gaps",      "shipments",
    "ledger", "receipts",  "quarantine", "decisions", "boots",    "receipted", "scorers"};

enum class Direction { kForward, kBackward };

// Copies rows by rowid until the end, or `until`, or one that cannot be read: then it gives the
// reason. `reached` is the last row.
Result<std::string> CopyRows(Database& from, Database& to, std::string_view table,
                             Direction direction, std::int64_t until, std::int64_t& reached) {
  const bool forward = direction == Direction::kForward;
  SKERRY_ASSIGN_OR_RETURN(
      auto query, from.Prepare(fmt::format("SELECT rowid, * FROM {} ORDER BY rowid {}", table,
                                           forward ? "ASC" : "DESC")));
  const int columns = query.columns() - 1;
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      to.Prepare(fmt::format(
          "INSERT INTO {} VALUES({})", table,
          fmt::join(std::vector<std::string_view>(static_cast<std::size_t>(columns), "?"), ","))));
  while (true) {
    const auto more = query.Step();
    if (!more) return more.error().message();
    if (!*more || (!forward && query.Int(0) <= until)) return std::string();
    reached = query.Int(0);
    for (int i = 0; i < columns; ++i) insert.BindColumn(i + 1, query, i + 1);
    SKERRY_RETURN_IF_ERROR(insert.Run());
  }
}

// From both ends, so that a damaged page in the middle costs its own rows alone.
Status CopyTable(Database& from, Database& to, std::string_view table,
                 std::vector<std::string>& lost) {
  std::int64_t first = 0;
  SKERRY_ASSIGN_OR_RETURN(const std::string why,
                          CopyRows(from, to, table, Direction::kForward, 0, first));
  if (why.empty()) return {};
  std::int64_t last = 0;
  SKERRY_ASSIGN_OR_RETURN(const std::string again,
                          CopyRows(from, to, table, Direction::kBackward, first, last));
  // One end fell to a passing error, and the other reached what had been copied.
  if (again.empty() && last == first + 1) return {};
  lost.push_back(fmt::format("{}: rows after {} cannot be read: {}", table, first, why));
  return {};
}

Status CopyReadable(Database& from, Database& to, std::vector<std::string>& lost) {
  SKERRY_RETURN_IF_ERROR(to.Execute("PRAGMA foreign_keys=OFF"));
  SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(to));
  for (const std::string_view table : kTables) {
    // A generation of an earlier version has fewer.
    SKERRY_ASSIGN_OR_RETURN(
        const std::uint64_t there,
        ReadNumber(from,
                   fmt::format("SELECT COUNT(*) FROM sqlite_master WHERE name = '{}'", table)));
    if (there > 0) SKERRY_RETURN_IF_ERROR(CopyTable(from, to, table, lost));
  }
  // Has no rowid to go by; the rules' counts are told in summary alone.
  SKERRY_ASSIGN_OR_RETURN(
      auto rules, from.Prepare("SELECT rule, reason, policy, rows, reported FROM withheld"));
  SKERRY_ASSIGN_OR_RETURN(auto insert, to.Prepare("INSERT INTO withheld VALUES(?, ?, ?, ?, ?)"));
  while (true) {
    const auto more = rules.Step();
    if (!more) lost.push_back(fmt::format("withheld: {}", more.error().message()));
    if (!more || !*more) break;
    for (int i = 0; i < 5; ++i) insert.BindColumn(i + 1, rules, i);
    SKERRY_RETURN_IF_ERROR(insert.Run());
  }
  return transaction.Commit();
}

// Every number of a stream that stands nowhere becomes a gap.
Status GapsForTheMissing(Database& database, std::uint64_t primary_rows) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<StreamRow> streams, ReadStreams(database));
  SKERRY_ASSIGN_OR_RETURN(
      auto insert,
      database.Prepare("INSERT INTO gaps(stream, first_seq, last_seq, primary_rows, reason, "
                       "origin) VALUES(?, ?, ?, ?, 'damage', 0)"));
  for (const StreamRow& stream : streams) {
    IntervalSet there = stream.received;
    for (const std::string_view table : {"batches", "segments", "gaps"}) {
      SKERRY_ASSIGN_OR_RETURN(auto query,
                              database.Prepare(fmt::format(
                                  "SELECT first_seq, last_seq FROM {} WHERE stream = ?", table)));
      query.Bind(1, stream.id);
      while (true) {
        SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
        if (!more) break;
        there.Add(static_cast<std::uint64_t>(query.Int(0)),
                  static_cast<std::uint64_t>(query.Int(1)));
      }
    }
    if (stream.last_seq == 0) continue;
    for (const auto& [first, last] : there.Missing(1, stream.last_seq)) {
      // How many primary rows each hole had is not known any more; the sum is.
      SKERRY_RETURN_IF_ERROR(insert.Bind(1, stream.id)
                                 .Bind(2, first)
                                 .Bind(3, last)
                                 .Bind(4, std::exchange(primary_rows, 0))
                                 .Run());
    }
  }
  if (primary_rows > 0)
    LogError("outbox lost rows with the stream that they were in, and no gap tells of them rows={}",
             primary_rows);
  return {};
}

// What receipts cover and no row of `receipted` knows of any more gets one, and what is known of a
// stream that is lost is forgotten. How many primary rows each range had is not known any more.
Status KnowTheReceiptedAgain(Database& database, std::uint64_t receipted) {
  SKERRY_RETURN_IF_ERROR(
      database.Execute("DELETE FROM receipted WHERE stream NOT IN (SELECT id FROM streams)"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t known,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM receipted"));
  std::uint64_t rest = receipted - std::min(receipted, known);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<StreamRow> streams, ReadStreams(database));
  SKERRY_ASSIGN_OR_RETURN(auto insert,
                          database.Prepare("INSERT INTO receipted(stream, first_seq, last_seq, "
                                           "primary_rows) VALUES(?, ?, ?, ?)"));
  for (const StreamRow& stream : streams) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows,
                            ReadReceipted(database, fmt::format("stream = {}", stream.id)));
    IntervalSet missing = stream.received;
    for (const SegmentRow& row : rows) missing.Remove(row.first_seq, row.last_seq);
    for (const auto& [first, last] : missing.intervals())
      SKERRY_RETURN_IF_ERROR(insert.Bind(1, stream.id)
                                 .Bind(2, first)
                                 .Bind(3, last)
                                 .Bind(4, std::exchange(rest, 0))
                                 .Run());
  }
  return {};
}

// The sums of what is left, and the rest as damage.
Status AddUpAgain(Database& database) {
  SKERRY_ASSIGN_OR_RETURN(OutboxState state, ReadState(database));
  std::uint64_t kept = 0;
  std::uint64_t withheld = 0;
  std::uint64_t not_selected = 0;
  SKERRY_ASSIGN_OR_RETURN(auto ledger, database.Prepare("SELECT fates FROM ledger"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, ledger.Step());
    if (!more) break;
    for (const char fate : ledger.BlobAt(0)) {
      const RowDisposition disposition = FateDisposition(static_cast<std::uint8_t>(fate));
      withheld += disposition == RowDisposition::kWithheld;
      not_selected += disposition == RowDisposition::kNotSelected;
      ++kept;
    }
  }
  const auto rest = [](std::uint64_t all, std::uint64_t part) { return all - std::min(all, part); };
  const Counters& counters = state.counters;
  state.ledger_rows = kept;
  state.forgotten_rows = rest(counters.scored - counters.not_captured, kept);
  state.forgotten_withheld = rest(counters.withheld, withheld);
  state.forgotten_not_selected = rest(counters.not_selected, not_selected);
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t unsealed,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM batches"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t sealed,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM segments"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t gone, ReadNumber(database, kLostPrimaryRows));
  const std::uint64_t missing =
      rest(counters.scored, counters.withheld + counters.not_selected + counters.shed +
                                counters.recalled + counters.not_captured + state.receipted +
                                state.damaged + gone + unsealed + sealed);
  state.damaged += missing;
  SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  SKERRY_RETURN_IF_ERROR(GapsForTheMissing(database, missing));
  SKERRY_RETURN_IF_ERROR(KnowTheReceiptedAgain(database, state.receipted));
  // A segment whose statement is lost is told of by a new one.
  SKERRY_RETURN_IF_ERROR(database.Execute(
      "UPDATE segments SET shipment = 0 WHERE shipment NOT IN (SELECT number FROM shipments); "
      "UPDATE gaps SET shipment = 0 WHERE closed = 0 AND shipment NOT IN (SELECT number FROM "
      "shipments); "
      "UPDATE gaps SET origin = 0 WHERE origin NOT IN (SELECT number FROM shipments)"));
  SKERRY_RETURN_IF_ERROR(WriteState(database, state));
  return transaction.Commit();
}

// Row by row what can be read.
Result<std::vector<std::string>> CopyRowByRow(const std::filesystem::path& from,
                                              const std::filesystem::path& to) {
  std::vector<std::string> lost;
  SKERRY_ASSIGN_OR_RETURN(const auto source, Database::Open(from, {.read_only = true}));
  SKERRY_ASSIGN_OR_RETURN(const auto target, Database::Open(to));
  SKERRY_RETURN_IF_ERROR(target->Migrate(OutboxMigrations()));
  SKERRY_RETURN_IF_ERROR(CopyReadable(*source, *target, lost));
  if (!lost.empty()) SKERRY_RETURN_IF_ERROR(AddUpAgain(*target));
  // The rename takes the main file alone.
  SKERRY_RETURN_IF_ERROR(target->Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  return lost;
}

Status CopyWhole(const std::filesystem::path& from, const std::filesystem::path& to) {
  SKERRY_ASSIGN_OR_RETURN(const auto source, Database::Open(from, {.read_only = true}));
  SKERRY_RETURN_IF_ERROR(source->IntegrityCheck());
  SKERRY_ASSIGN_OR_RETURN(auto copy, source->Prepare("VACUUM INTO ?"));
  return copy.Bind(1, to.string()).Run();
}

Status RemoveDatabase(const std::filesystem::path& path) {
  for (const std::string_view end : {"", "-wal", "-shm", "-journal"})
    SKERRY_RETURN_IF_ERROR(RemoveFile(path.string() + std::string(end)));
  return {};
}

}  // namespace

std::filesystem::path GenerationPath(const std::filesystem::path& directory, std::uint64_t number) {
  return Named(directory, number, "db");
}

Result<std::uint64_t> LatestGeneration(const std::filesystem::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
  std::uint64_t latest = 0;
  for (const std::string& name : names)
    if (name.ends_with(".db")) latest = std::max(latest, NumberOf(name));
  return latest;
}

void MarkGenerationFailed(const std::filesystem::path& directory, std::uint64_t number) {
  if (const Status marked = WriteFileDurably(Named(directory, number, "failed"), "", 0600); !marked)
    LogWarning("outbox cannot mark its database as failed reason={}", marked.error().ToString());
}

bool GenerationFailed(const std::filesystem::path& directory, std::uint64_t number) {
  std::error_code ignored;
  return std::filesystem::exists(Named(directory, number, "failed"), ignored);
}

Result<Salvage> SalvageGeneration(const std::filesystem::path& directory, std::uint64_t number) {
  Salvage salvage;
  // Never a number that was there: the journal of another file by that name would be taken for its
  // own.
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t latest, LatestGeneration(directory));
  salvage.number = std::max(latest, number) + 1;
  const std::filesystem::path from = GenerationPath(directory, number);
  const std::filesystem::path part = Named(directory, salvage.number, "part");
  SKERRY_RETURN_IF_ERROR(RemoveDatabase(part));
  if (const Status whole = CopyWhole(from, part); !whole) {
    // A disk that is full takes no other copy either.
    if (whole.error().code() == ErrorCode::kResourceExhausted) return tl::unexpected(whole.error());
    LogWarning("outbox copies its database row by row reason={}", whole.error().ToString());
    SKERRY_RETURN_IF_ERROR(RemoveDatabase(part));
    SKERRY_ASSIGN_OR_RETURN(salvage.lost, CopyRowByRow(from, part));
    SKERRY_RETURN_IF_ERROR(RemoveFile(part.string() + "-wal"));
    SKERRY_RETURN_IF_ERROR(RemoveFile(part.string() + "-shm"));
  }
  const std::filesystem::path target = GenerationPath(directory, salvage.number);
  SKERRY_RETURN_IF_ERROR(PublishFileDurably(part, target));
  LogWarning("outbox goes on in another database file={} lost={}", target.string(),
             salvage.lost.empty() ? "nothing" : fmt::format("{}", fmt::join(salvage.lost, "; ")));
  return salvage;
}

Status RemoveGenerationsBefore(const std::filesystem::path& directory, std::uint64_t number,
                               bool keep) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
  for (const std::string& name : names) {
    const std::uint64_t of = NumberOf(name);
    const bool unfinished = of != 0 && name.find(".part") != std::string::npos;
    if (!unfinished && (of == 0 || of >= number)) continue;
    const bool data = name.ends_with(".db") || name.ends_with(".db-wal");
    if (keep && data) {
      std::error_code error;
      std::filesystem::rename(directory / name, directory / "quarantine" / name, error);
      if (!error) continue;
    }
    SKERRY_RETURN_IF_ERROR(RemoveFile(directory / name));
  }
  return {};
}

}  // namespace skerry
