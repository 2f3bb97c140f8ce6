// Walks everything that the outbox holds and says what is wrong.
#include <algorithm>

#include "outbox/queries.h"

namespace skerry {
namespace {

using Findings = std::vector<std::string>;

template <typename... Args>
void Note(Findings& findings, fmt::format_string<Args...> format, Args&&... args) {
  findings.push_back(fmt::format(format, std::forward<Args>(args)...));
}

struct Range {
  std::uint64_t first;
  std::uint64_t last;
  std::string what;
};

Status CheckBatches(Database& database, std::int64_t stream, std::vector<Range>& ranges,
                    Findings& findings) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query,
      database.Prepare("SELECT id, first_seq, last_seq, body FROM batches WHERE stream = ?"));
  query.Bind(1, stream);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return {};
    const auto first = static_cast<std::uint64_t>(query.Int(1));
    const auto last = static_cast<std::uint64_t>(query.Int(2));
    ranges.push_back({first, last, fmt::format("unsealed rows {}-{}", first, last)});
    const auto table = DecodeTable(query.BlobAt(3));
    if (!table)
      Note(findings, "unsealed batch {}: {}", query.Int(0), table.error().message());
    else if (table->rows() != last - first + 1)
      Note(findings, "unsealed batch {} holds {} rows for {}-{}", query.Int(0), table->rows(),
           first, last);
  }
}

// Each range that receipts have covered has one row that knows of it.
Status CheckReceipted(Database& database, const StreamRow& stream, Findings& findings) {
  SKERRY_ASSIGN_OR_RETURN(
      const auto rows,
      ReadReceipted(database, fmt::format("stream = {} ORDER BY first_seq", stream.id)));
  IntervalSet known;
  for (const SegmentRow& row : rows) {
    if (known.Overlaps(row.first_seq, row.last_seq))
      Note(findings, "receipted {}-{} of stream {}/{} is there twice", row.first_seq, row.last_seq,
           RecordClassName(stream.cls), stream.epoch.Short());
    known.Add(row.first_seq, row.last_seq);
  }
  if (known != stream.received)
    Note(findings, "stream {}/{}: receipts cover {} and {} is known of",
         RecordClassName(stream.cls), stream.epoch.Short(), DumpJson(stream.received.ToJson()),
         DumpJson(known.ToJson()));
  return {};
}

// Every number from 1 to the last one given out stands in exactly one place.
void CheckRanges(const StreamRow& stream, std::vector<Range> ranges, Findings& findings) {
  for (const auto& [first, last] : stream.received.intervals())
    ranges.push_back({first, last, fmt::format("received {}-{}", first, last)});
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  const std::string name =
      fmt::format("stream {}/{}", RecordClassName(stream.cls), stream.epoch.Short());
  std::uint64_t next = 1;
  for (const Range& range : ranges) {
    if (range.first > next)
      Note(findings, "{}: records {}-{} are nowhere", name, next, range.first - 1);
    if (range.first < next) Note(findings, "{}: {} is there twice", name, range.what);
    next = std::max(next, range.last + 1);
  }
  if (next != stream.last_seq + 1)
    Note(findings, "{}: {} numbers were given out and {} are accounted for", name, stream.last_seq,
         next - 1);
}

// Whether the segment is in the outbox at this moment: a receipt may have taken it away since the
// snapshot that is walked.
Result<bool> IsThere(Database& now, const SegmentRow& segment) {
  SKERRY_ASSIGN_OR_RETURN(const auto rows, ReadSegments(now, fmt::format("id = {}", segment.id)));
  return !rows.empty();
}

Status CheckStreams(Database& database, Database& now, const std::filesystem::path& directory,
                    Findings& findings) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<StreamRow> streams, ReadStreams(database));
  for (const StreamRow& stream : streams) {
    std::vector<Range> ranges;
    SKERRY_RETURN_IF_ERROR(CheckBatches(database, stream.id, ranges, findings));
    const std::string of_stream = fmt::format("stream = {}", stream.id);
    SKERRY_ASSIGN_OR_RETURN(const auto segments, ReadSegments(database, of_stream));
    for (const SegmentRow& segment : segments) {
      ranges.push_back({segment.first_seq, segment.last_seq, "segment " + segment.file});
      const auto digest = DigestOfFile(directory / segment.file);
      if (digest && digest->ToString() == segment.digest) continue;
      SKERRY_ASSIGN_OR_RETURN(const bool there, IsThere(now, segment));
      if (!there) continue;
      if (!digest)
        Note(findings, "segment {}: {}", segment.file, digest.error().message());
      else
        Note(findings, "segment {} is damaged: its digest is {} and should be {}", segment.file,
             digest->ToString(), segment.digest);
    }
    SKERRY_ASSIGN_OR_RETURN(const auto gaps, ReadGaps(database, of_stream));
    for (const GapRow& gap : gaps)
      ranges.push_back({gap.first_seq, gap.last_seq,
                        fmt::format("gap {}-{} ({})", gap.first_seq, gap.last_seq, gap.reason)});
    CheckRanges(stream, std::move(ranges), findings);
    SKERRY_RETURN_IF_ERROR(CheckReceipted(database, stream, findings));
  }
  return {};
}

Status CheckStatements(Database& database, const OutboxState& state, const PublicKey& key,
                       Findings& findings) {
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database.Prepare("SELECT number, envelope FROM shipments ORDER BY number"));
  std::uint64_t before = 0;
  std::string digest_before;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    const auto number = static_cast<std::uint64_t>(query.Int(0));
    const auto statement = VerifyStatement(query.BlobAt(1), std::span(&key, 1));
    if (!statement) {
      Note(findings, "statement {}: {}", number, statement.error().message());
    } else {
      if (statement->number != number)
        Note(findings, "statement {} calls itself {}", number, statement->number);
      if (before + 1 == number && number > 1 &&
          statement->previous.value_or(Digest()).ToString() != digest_before)
        Note(findings, "statement {} does not name the one before it", number);
    }
    before = number;
    digest_before = Digest::Sha256(query.BlobAt(1)).ToString();
  }
  if (before != 0 &&
      (before != state.last_statement || digest_before != state.last_statement_digest))
    Note(findings, "the last statement is {}, and {} was signed last", before,
         state.last_statement);
  return {};
}

// The ledger against the counters, and invariant 8 on the site's side.
Status CheckSums(Database& database, const OutboxState& state, Findings& findings) {
  std::uint64_t rows = state.forgotten_rows;
  std::uint64_t withheld = state.forgotten_withheld;
  std::uint64_t not_selected = state.forgotten_not_selected;
  std::uint64_t kept = 0;
  SKERRY_ASSIGN_OR_RETURN(auto query, database.Prepare("SELECT id, rows, fates FROM ledger"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    const std::string_view fates = query.BlobAt(2);
    if (fates.size() != static_cast<std::uint64_t>(query.Int(1)))
      Note(findings, "ledger entry {} holds {} fates for {} rows", query.Int(0), fates.size(),
           query.Int(1));
    kept += fates.size();
    for (const char fate : fates) {
      const RowDisposition disposition = FateDisposition(static_cast<std::uint8_t>(fate));
      withheld += disposition == RowDisposition::kWithheld;
      not_selected += disposition == RowDisposition::kNotSelected;
    }
  }
  rows += kept;
  const Counters& counters = state.counters;
  const auto expect = [&](std::string_view what, std::uint64_t found, std::uint64_t counted) {
    if (found != counted)
      Note(findings, "{}: {} are there and {} were counted", what, found, counted);
  };
  expect("rows in the ledger", kept, state.ledger_rows);
  expect("captured rows", rows, counters.scored - counters.not_captured);
  expect("withheld rows", withheld, counters.withheld);
  expect("rows not selected", not_selected, counters.not_selected);
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t unsealed,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM batches"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t sealed,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM segments"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t lost, ReadNumber(database, kLostPrimaryRows));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t receipted,
                          ReadNumber(database, "SELECT SUM(primary_rows) FROM receipted"));
  if (receipted > state.receipted)
    Note(findings, "receipted rows: {} are known of and {} were counted", receipted,
         state.receipted);
  expect("all terms of the reconciliation together",
         counters.withheld + counters.not_selected + counters.shed + counters.recalled +
             counters.not_captured + state.receipted + state.damaged + lost + unsealed + sealed,
         counters.scored);
  return {};
}

}  // namespace

Result<std::vector<std::string>> VerifyOutbox(Database& database, Database& now,
                                              const std::filesystem::path& segments_directory,
                                              const PublicKey& site_key) {
  Findings findings;
  if (const Status whole = database.IntegrityCheck(); !whole)
    Note(findings, "database: {}", whole.error().message());
  SKERRY_ASSIGN_OR_RETURN(const ReadSnapshot snapshot, ReadSnapshot::Begin(database));
  SKERRY_ASSIGN_OR_RETURN(const OutboxState state, ReadState(database));
  SKERRY_RETURN_IF_ERROR(CheckStreams(database, now, segments_directory, findings));
  SKERRY_RETURN_IF_ERROR(CheckStatements(database, state, site_key, findings));
  SKERRY_RETURN_IF_ERROR(CheckSums(database, state, findings));
  return findings;
}

}  // namespace skerry
