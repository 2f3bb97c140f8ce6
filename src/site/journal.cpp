#include "site/journal.h"

#include <array>
#include <sstream>

#include "base/limits.h"
#include "base/log.h"
#include "codec/columns.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::array<std::string_view, 1> kMigrations = {R"sql(
CREATE TABLE rows(
  id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, package TEXT NOT NULL, instance TEXT NOT NULL,
  role TEXT NOT NULL, first_n INTEGER NOT NULL, mono_us INTEGER NOT NULL, clock INTEGER NOT NULL,
  rows INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX rows_by_time ON rows(at_us);
)sql"};

void AddNumbers(Table& table, const std::string& name, const std::vector<float>& values,
                std::size_t rows) {
  const std::size_t columns = values.size() / rows;
  for (std::size_t column = 0; column < columns; ++column) {
    Column& added = table.columns.emplace_back();
    added.name = fmt::format("{}{}", name, column);
    added.type = ColumnType::kDouble;
    for (std::size_t row = 0; row < rows; ++row)
      added.AppendDouble(static_cast<double>(values[row * columns + column]));
  }
}

// Everything that was known of the rows, as one table.
Table TableOf(const RowBatch& batch) {
  Table table;
  AddNumbers(table, "feature", batch.features, batch.rows);
  AddNumbers(table, "score", batch.score, batch.rows);
  AddNumbers(table, "probability", batch.probabilities, batch.rows);
  AddNumbers(table, "anomaly_score", batch.anomaly_score, batch.rows);
  for (std::size_t i = 0; i < batch.texts.size(); ++i) {
    Column& texts = table.columns.emplace_back();
    texts.name = fmt::format("text{}", i);
    texts.type = ColumnType::kText;
    for (const std::string& text : batch.texts[i]) texts.AppendText(text);
  }
  if (!batch.prediction.empty()) {
    Column& classes = table.columns.emplace_back();
    classes.name = "prediction";
    classes.type = ColumnType::kInt64;
    for (const std::uint8_t prediction : batch.prediction) classes.AppendInt(prediction);
  }
  Column& outside = table.columns.emplace_back();
  outside.name = "out_of_range";
  outside.type = ColumnType::kText;
  for (const std::vector<std::uint16_t>& features : batch.out_of_range) {
    std::string text;
    for (const std::uint16_t feature : features)
      text += fmt::format("{}{}", text.empty() ? "" : " ", feature);
    outside.AppendText(std::move(text));
  }
  return table;
}

std::vector<float> NumbersOf(const Table& table, const std::string& name) {
  std::vector<const Column*> columns;
  while (const Column* column = table.Find(fmt::format("{}{}", name, columns.size())))
    columns.push_back(column);
  std::vector<float> values;
  for (std::size_t row = 0; !columns.empty() && row < table.rows(); ++row)
    for (const Column* column : columns) values.push_back(static_cast<float>(column->doubles[row]));
  return values;
}

void FillBatch(const Table& table, RowBatch& batch) {
  batch.rows = table.rows();
  batch.features = NumbersOf(table, "feature");
  batch.score = NumbersOf(table, "score");
  batch.probabilities = NumbersOf(table, "probability");
  batch.anomaly_score = NumbersOf(table, "anomaly_score");
  while (const Column* texts = table.Find(fmt::format("text{}", batch.texts.size())))
    batch.texts.push_back(texts->texts);
  if (const Column* classes = table.Find("prediction"))
    for (const std::int64_t prediction : classes->ints)
      batch.prediction.push_back(static_cast<std::uint8_t>(prediction));
  for (const std::string& text : table.Find("out_of_range")->texts) {
    std::vector<std::uint16_t>& features = batch.out_of_range.emplace_back();
    std::istringstream words(text);
    for (std::uint16_t feature = 0; words >> feature;) features.push_back(feature);
  }
}

Result<std::int64_t> ReadInt(Database& database, std::string_view sql) {
  SKERRY_ASSIGN_OR_RETURN(auto query, database.Prepare(sql));
  SKERRY_ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? query.Int(0) : 0;
}

}  // namespace

Journal::Journal(std::filesystem::path file, const JournalOptions& options, const Clock& clock,
                 MetricRegistry& metrics)
    : file_(std::move(file)),
      options_(options),
      clock_(&clock),
      written_(metrics.AddCounter("skerry_journal_rows_total", "Rows written to the journal.")),
      left_out_(metrics.AddCounter("skerry_journal_rows_left_out_total",
                                   "Rows that the journal could not take.")) {}

Result<std::unique_ptr<Journal>> Journal::Open(const std::filesystem::path& directory,
                                               const JournalOptions& options, const Clock& clock,
                                               MetricRegistry& metrics) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
  std::unique_ptr<Journal> journal(new Journal(directory / "journal.db", options, clock, metrics));
  SKERRY_ASSIGN_OR_RETURN(
      journal->database_,
      Database::Open(journal->file_, {.synchronous = DatabaseOptions::Synchronous::kNormal}));
  SKERRY_RETURN_IF_ERROR(journal->database_->Migrate(kMigrations));
  SKERRY_RETURN_IF_ERROR(journal->Prune());
  journal->thread_ = std::thread([raw = journal.get()] { raw->Loop(); });
  return journal;
}

Journal::~Journal() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Journal::Append(std::shared_ptr<const RowBatch> batch) {
  const std::size_t rows = batch->rows;
  const std::scoped_lock lock(mutex_);
  const bool fits = queue_.empty() || queued_rows_ + rows <= limits::kCaptureQueueRows;
  const std::size_t columns = batch->feature_count() + batch->texts.size() + 300;
  if (rows == 0 || !fits || columns > limits::kTableColumns) {
    left_out_.Add(rows);
    return;
  }
  queued_rows_ += rows;
  queue_.push_back(std::move(batch));
  wake_.notify_one();
}

void Journal::Flush() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return queue_.empty() && !writing_; });
}

void Journal::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return !queue_.empty() || closing_; });
    if (queue_.empty()) return;
    const auto batches = std::exchange(queue_, {});
    const std::size_t rows = std::exchange(queued_rows_, 0);
    writing_ = true;
    lock.unlock();
    Status done = Write(batches);
    if (done) done = Prune();
    if (!done) LogWarning("journal: {}", done.error().ToString());
    (done ? written_ : left_out_).Add(rows);
    lock.lock();
    writing_ = false;
    idle_.notify_all();
  }
}

Status Journal::Write(const std::deque<std::shared_ptr<const RowBatch>>& batches) {
  SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  SKERRY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT INTO rows(at_us, package, instance, role, first_n, "
                                      "mono_us, clock, rows, body) VALUES(?,?,?,?,?,?,?,?,?)"));
  for (const auto& batch : batches) {
    const std::string package = batch->package->digest ? batch->package->digest->ToString() : "";
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, batch->event_time_us)
                               .Bind(2, package)
                               .Bind(3, batch->instance.ToString())
                               .Bind(4, batch->role)
                               .Bind(5, batch->first_n)
                               .Bind(6, batch->mono_us)
                               .Bind(7, static_cast<int>(batch->clock))
                               .Bind(8, batch->rows)
                               .Bind(9, Blob{EncodeTable(TableOf(*batch))})
                               .Run());
  }
  return transaction.Commit();
}

Status Journal::Prune() {
  if (options_.days > 0)
    SKERRY_RETURN_IF_ERROR(database_->Execute(
        fmt::format("DELETE FROM rows WHERE at_us < {}",
                    clock_->UtcMicros() - options_.days * std::int64_t{86'400'000'000})));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t pages, ReadInt(*database_, "PRAGMA page_count"));
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t free, ReadInt(*database_, "PRAGMA freelist_count"));
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t size, ReadInt(*database_, "PRAGMA page_size"));
    SKERRY_ASSIGN_OR_RETURN(const std::int64_t batches,
                            ReadInt(*database_, "SELECT COUNT(*) FROM rows"));
    if (batches == 0 || static_cast<std::uint64_t>((pages - free) * size) <= options_.bytes) break;
    // A sixteenth at a time, so that a journal at its limit is not pruned with every row.
    SKERRY_RETURN_IF_ERROR(database_->Execute(
        fmt::format("DELETE FROM rows WHERE id IN (SELECT id FROM rows ORDER BY id LIMIT {})",
                    batches / 16 + 1)));
  }
  return database_->Execute("PRAGMA incremental_vacuum");
}

Status Journal::Read(const std::shared_ptr<const ModelPackage>& package, std::int64_t since_us,
                     const std::function<Status(const RowBatch&)>& take,
                     std::uint64_t& skipped) const {
  const std::string wanted = package->digest ? package->digest->ToString() : "";
  SKERRY_ASSIGN_OR_RETURN(const auto database, Database::Open(file_, {.read_only = true}));
  SKERRY_ASSIGN_OR_RETURN(
      auto query, database->Prepare("SELECT at_us, package, instance, role, first_n, mono_us, "
                                    "clock, rows, body FROM rows WHERE at_us >= ? ORDER BY id"));
  query.Bind(1, since_us);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return {};
    if (query.Text(1) != wanted) {
      skipped += static_cast<std::uint64_t>(query.Int(7));
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(const Table table, DecodeTable(query.BlobAt(8)));
    RowBatch batch;
    batch.package = package;
    batch.event_time_us = query.Int(0);
    SKERRY_ASSIGN_OR_RETURN(batch.instance, InstanceId::Parse(query.Text(2)));
    batch.role = query.Text(3);
    batch.first_n = static_cast<std::uint64_t>(query.Int(4));
    batch.mono_us = query.Int(5);
    batch.clock = static_cast<ClockQuality>(query.Int(6));
    FillBatch(table, batch);
    SKERRY_RETURN_IF_ERROR(take(batch));
  }
}

}  // namespace skerry
