#include "hub/clock_corrector.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "policy/time_units.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEngineMemory = "512MiB";
constexpr std::chrono::seconds kRetry{30};
constexpr std::chrono::milliseconds kLull{300};
constexpr std::chrono::seconds kPatience{60};

// The columns that the rows of a lake file are read with, in this order.
enum SourceColumn : std::size_t { kInstance, kN, kSeq, kEvent, kMono, kClock };

std::int64_t CutUnitOf(const Table& rows) {
  std::int64_t unit_us = LargestTimeUnit(0);
  for (const std::size_t column : {kEvent, kMono})
    for (const std::int64_t us : rows.columns[column].ints)
      unit_us = std::min(unit_us, LargestTimeUnit(us));
  return unit_us;
}

// First and last of the monotonic times of each instance that can be.
std::map<std::string, std::pair<std::int64_t, std::int64_t>> MonoRanges(const Table& rows) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> ranges;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::int64_t mono_us = rows.columns[kMono].ints[row];
    if (mono_us < 0 || mono_us > kMonotonicMostUs) continue;
    const auto [range, added] =
        ranges.try_emplace(rows.columns[kInstance].texts[row], mono_us, mono_us);
    range->second.first = std::min(range->second.first, mono_us);
    range->second.second = std::max(range->second.second, mono_us);
  }
  return ranges;
}

Table EmptyCorrection() {
  Table table;
  for (const auto& [name, type] : {std::pair{"instance", ColumnType::kText},
                                   {"n", ColumnType::kInt64},
                                   {"seq", ColumnType::kInt64},
                                   {"event_time", ColumnType::kTimestamp},
                                   {"corrected_time", ColumnType::kTimestamp},
                                   {"not_before", ColumnType::kTimestamp},
                                   {"not_after", ColumnType::kTimestamp},
                                   {"how", ColumnType::kText}})
    table.columns.push_back({.name = name, .type = type});
  return table;
}

void Append(Table& table, const Table& rows, std::size_t row, const TimeCorrection& correction) {
  table.columns[0].AppendFrom(rows.columns[kInstance], row);
  table.columns[1].AppendFrom(rows.columns[kN], row);
  table.columns[2].AppendFrom(rows.columns[kSeq], row);
  table.columns[3].AppendInt(rows.columns[kEvent].ints[row]);
  if (correction.corrected_us) {
    table.columns[4].AppendInt(*correction.corrected_us);
  } else {
    table.columns[4].AppendNull();
  }
  table.columns[5].AppendInt(correction.not_before_us);
  table.columns[6].AppendInt(correction.not_after_us);
  table.columns[7].AppendText(correction.corrected_us ? "anchor" : "bounds");
}

std::int64_t BucketOf(std::int64_t us) {
  return us / Ledger::kCountBucketUs * Ledger::kCountBucketUs;
}

bool IsOfTheFile(const Error& error) {
  return error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kDataLoss ||
         error.code() == ErrorCode::kNotFound;
}

}  // namespace

ClockCorrector::ClockCorrector(HubStore& store, fs::path lake, fs::path corrections)
    : store_(&store), lake_(std::move(lake)), corrections_(std::move(corrections)) {}

ClockCorrector::~ClockCorrector() { Stop(); }

Result<std::unique_ptr<ClockCorrector>> ClockCorrector::Open(HubStore& store, fs::path lake,
                                                             fs::path corrections) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(corrections));
  std::unique_ptr<ClockCorrector> corrector(
      new ClockCorrector(store, std::move(lake), std::move(corrections)));
  SKERRY_RETURN_IF_ERROR(corrector->Repair(), "checking the corrections of clocks");
  return corrector;
}

Status ClockCorrector::Repair() {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> corrected, store_->Read([](Database& db) {
    return ClockLedger(db).AllCorrected();
  }));
  std::set<std::string> missing(corrected.begin(), corrected.end());
  const std::set<std::string> known = missing;
  std::vector<fs::path> strangers;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(corrections_, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file()) continue;
    const std::string path = entry->path().lexically_relative(corrections_).string();
    if (!known.contains(path)) strangers.push_back(entry->path());
    missing.erase(path);
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", corrections_.string(), error.message());
  for (const fs::path& stranger : strangers) SKERRY_RETURN_IF_ERROR(RemoveFile(stranger));
  if (missing.empty()) return {};
  LogWarning("corrections of clocks are missing and are made again files={}", missing.size());
  return store_->Write([&](Database& db) {
    return ClockLedger(db).Ask(std::vector<std::string>(missing.begin(), missing.end()));
  });
}

void ClockCorrector::Start() {
  asked_ = true;
  thread_ = std::thread([this] { Loop(); });
}

void ClockCorrector::Wake() {
  const std::lock_guard lock(mutex_);
  asked_ = true;
  wake_.notify_one();
}

void ClockCorrector::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void ClockCorrector::Loop() {
  std::unique_lock lock(mutex_);
  bool retry = false;
  while (!stopping_) {
    const auto wanted = [&] { return asked_ || stopping_; };
    if (retry) {
      wake_.wait_for(lock, kRetry, wanted);
    } else {
      wake_.wait(lock, wanted);
    }
    // While shipments come in a row, they have the processor.
    const auto latest = std::chrono::steady_clock::now() + kPatience;
    while (asked_ && !stopping_ && std::chrono::steady_clock::now() < latest) {
      asked_ = false;
      wake_.wait_for(lock, kLull, wanted);
    }
    if (stopping_) return;
    asked_ = false;
    lock.unlock();
    const Status done = CorrectDue();
    if (!done) LogWarning("corrections of clocks wait: {}", done.error().ToString());
    retry = !done;
    lock.lock();
  }
}

Status ClockCorrector::CorrectDue() {
  const std::lock_guard work(work_mutex_);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                          store_->Read([](Database& db) { return ClockLedger(db).Due(); }));
  Status first;
  for (const std::string& path : paths) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return first;
    }
    Status done = Correct(path);
    if (!done && first) first = std::move(done);
  }
  return first;
}

Status ClockCorrector::Correct(const std::string& path) {
  DueCorrection due;
  Status begun = store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(due, ClockLedger(db).Begin(path));
    return {};
  });
  SKERRY_RETURN_IF_ERROR(std::move(begun));
  const auto leave = [&](const Error& why) {
    LogError("times of a lake file are not corrected path={} reason={}", path, why.ToString());
    return store_->Write([&](Database& db) { return ClockLedger(db).GiveUp(due); });
  };
  if (due.deaths >= limits::kReadAttempts)
    return leave(Error(ErrorCode::kDataLoss,
                       fmt::format("the hub died {} times while it read it", due.deaths)));
  const Result<Correction> correction = Make(due);
  if (!correction && IsOfTheFile(correction.error())) return leave(correction.error());
  Status done = correction ? Status() : tl::make_unexpected(correction.error());
  const std::uint64_t rows = correction ? correction->table.rows() : 0;
  if (done && rows > 0) done = Publish(path, correction->table);
  const Status noted = store_->Write([&](Database& db) {
    return done ? ClockLedger(db).Finish(due, rows, correction->moved)
                : ClockLedger(db).Postpone(due);
  });
  if (done && noted && rows == 0 && due.rows > 0) {
    const std::unique_lock lock(files_mutex_);
    return RemoveFile(corrections_ / path);
  }
  return done ? noted : done;
}

Result<ClockCorrector::Correction> ClockCorrector::Make(const DueCorrection& due) {
  if (!engine_) {
    SKERRY_ASSIGN_OR_RETURN(
        engine_,
        TabularEngine::Open({.memory_limit = std::string(kEngineMemory),
                             .threads = 1,
                             .temp_directory = (corrections_.parent_path() / "spill").string()}));
  }
  SKERRY_ASSIGN_OR_RETURN(
      const Table rows,
      engine_->Query(fmt::format(
          "SELECT instance, n::BIGINT, seq::BIGINT, epoch_us(event_time)::BIGINT, "
          "mono_us::BIGINT, clock FROM read_parquet({}, hive_partitioning = false) WHERE instance "
          "IS NOT NULL AND isfinite(event_time) AND mono_us IS NOT NULL ORDER BY seq",
          QuoteLiteral((lake_ / due.path).string()))));
  FileTime file{.joined_us = due.joined_us,
                .floor_us = due.floor_us,
                .received_us = due.received_us,
                .unit_us = CutUnitOf(rows)};
  const auto ranges = MonoRanges(rows);
  std::map<std::string, InstanceTime> clocks;
  for (const auto& [instance, anchors] : due.anchors) clocks.emplace(instance, anchors);
  Correction correction{EmptyCorrection(), {}};
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::string& instance = rows.columns[kInstance].texts[row];
    const auto clock = clocks.find(instance);
    if (clock == clocks.end()) continue;
    // Only the rows of the process that kept the outbox come after what the one before it knew.
    file.floor_us = instance == due.epoch.ToString() ? due.floor_us : due.joined_us;
    const auto range = ranges.find(instance);
    if (range != ranges.end()) std::tie(file.first_mono_us, file.last_mono_us) = range->second;
    const RowTime time{rows.columns[kEvent].ints[row], rows.columns[kMono].ints[row],
                       ClockQualityOf(rows.columns[kClock].texts[row])};
    const auto corrected = clock->second.Correct(time, file);
    if (!corrected) continue;
    Append(correction.table, rows, row, *corrected);
    // A time that is bounded counts where the row arrived, as one does that policy dropped.
    --correction.moved[BucketOf(time.event_us)];
    ++correction.moved[BucketOf(corrected->corrected_us.value_or(due.received_us))];
  }
  return correction;
}

Status ClockCorrector::Publish(const std::string& path, const Table& correction) {
  const fs::path target = corrections_ / path;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
  const fs::path temporary =
      target.parent_path() / fmt::format(".{}.tmp", target.filename().string());
  Status written = engine_->WriteParquet(correction, temporary);
  if (written) {
    const std::unique_lock lock(files_mutex_);
    return PublishFileDurably(temporary, target);
  }
  SKERRY_RETURN_IF_ERROR(RemoveFile(temporary));
  return written;
}

}  // namespace skerry
