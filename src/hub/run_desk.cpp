#include "hub/run_desk.h"

#include <signal.h>

#include <algorithm>
#include <charconv>

#include "base/child_process.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "hub/audit_log.h"
#include "hub/run_log.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRunIdBytes = 6;
// A child that trains on Spark takes kSparkGrace to end its job.
constexpr std::chrono::seconds kChildGrace = limits::kSparkGrace + std::chrono::seconds(10);
constexpr std::chrono::milliseconds kPoll{100};

// Half-written packages and what else lay beside them; files with names of their own stay.
void RemoveLeftovers(const fs::path& directory) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory(error) && !name.starts_with('.') && name != "lock") continue;
    fs::remove_all(entry.path(), error);
    if (error) LogWarning("{} could not be removed: {}", entry.path().string(), error.message());
  }
}

}  // namespace

Result<std::unique_ptr<RunDesk>> RunDesk::Start(RunDeskParts parts) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(parts.runs));
  std::unique_ptr<RunDesk> desk(new RunDesk(std::move(parts)));
  desk->thread_ = std::thread([self = desk.get()] { self->Loop(); });
  return desk;
}

RunDesk::~RunDesk() { Stop(); }

void RunDesk::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool RunDesk::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool RunDesk::cancelled(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return cancelled_.contains(id);
}

Result<RunKind*> RunDesk::KindOf(const std::string& kind) const {
  const auto found = parts_.kinds.find(kind);
  if (found != parts_.kinds.end()) return found->second.get();
  std::string known;
  for (const auto& [name, one] : parts_.kinds)
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", name);
  return Fail(ErrorCode::kInvalidArgument, "run.kind: \"{}\" is not known; there is {}", kind,
              known);
}

Result<std::string> RunDesk::Submit(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::string kind_name, JsonObject(body, "run").String("kind"));
  SKERRY_ASSIGN_OR_RETURN(RunKind* const kind, KindOf(kind_name));
  SKERRY_ASSIGN_OR_RETURN(const Json spec, kind->Check(body));
  const std::string id = RandomHex(kRunIdBytes);
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto runs, RunStore(db).List(limits::kListItems));
    if (static_cast<std::size_t>(std::count_if(runs.begin(), runs.end(), [](const RunRecord& run) {
          return !run.done();
        })) >= limits::kQueuedRuns)
      return Fail(ErrorCode::kResourceExhausted, "{} runs are waiting already; try later",
                  limits::kQueuedRuns);
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(RunStore(db).Add(id, kind_name, spec, now_us));
    return AuditLog(db).Append(now_us, "admin", "run.start", id, spec);
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  {
    const std::lock_guard lock(mutex_);
    pending_ = true;
  }
  changed_.notify_all();
  return id;
}

Result<std::string> RunDesk::Cancel(std::string_view id) {
  std::string state;
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const RunRecord run, RunStore(db).Find(id));
    if (run.done())
      return Fail(ErrorCode::kFailedPrecondition, "the run {} has ended already: it is {}", id,
                  run.state);
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(AuditLog(db).Append(now_us, "admin", "run.cancel", id));
    state = run.state == "queued" ? "cancelled" : run.state;
    if (run.state != "queued") return {};
    return RunStore(db).Finish(id, state, "cancelled before it began", Json(), "", now_us);
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  if (state == "running") {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(std::string(id));
  }
  return state;
}

Json RunDesk::DescribeRecord(const RunRecord& run) const {
  Json json = run.ToJson();
  json["log"] = LogOf(run.id).string();
  json["progress"] = run.state == "running"
                         ? ProgressOf(ReadTail(LogOf(run.id), limits::kRunLogTailBytes))
                         : Json();
  return json;
}

Result<Json> RunDesk::Describe(std::string_view id) {
  SKERRY_ASSIGN_OR_RETURN(const RunRecord run,
                          parts_.store->Read([&](Database& db) { return RunStore(db).Find(id); }));
  Json json = DescribeRecord(run);
  json["log_tail"] = ReadTail(LogOf(id), limits::kRunLogTailBytes);
  return json;
}

Result<Json> RunDesk::List() {
  SKERRY_ASSIGN_OR_RETURN(const auto runs, parts_.store->Read([](Database& db) {
    return RunStore(db).List(limits::kListItems);
  }));
  Json list = Json::array();
  for (const RunRecord& run : runs) {
    list.push_back(DescribeRecord(run));
    list.back().erase("report");  // long
  }
  return list;
}

Result<std::string> RunDesk::Log(std::string_view id, std::string_view of) {
  if (of != "run" && of != "spark")
    return Fail(ErrorCode::kInvalidArgument, "of: \"{}\" is not known; there is run, spark", of);
  SKERRY_ASSIGN_OR_RETURN(const RunRecord run,
                          parts_.store->Read([&](Database& db) { return RunStore(db).Find(id); }));
  const fs::path file = of == "run" ? LogOf(run.id) : DirectoryOf(run.id) / "package.spark.log";
  std::error_code error;
  if (!fs::exists(file, error))
    return Fail(ErrorCode::kNotFound, "the run {} has no log of {}{}", id, of,
                of == "run" ? " yet" : "; one is kept of a job that failed");
  return ReadTail(file, limits::kRunLogTailBytes);
}

void RunDesk::Loop() {
  EndInterrupted();
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return pending_ || stopping_; });
      if (stopping_) return;
      pending_ = false;
    }
    while (!stopping()) {
      const auto next =
          parts_.store->Read([](Database& db) { return RunStore(db).First("queued"); });
      if (!next) LogError("cannot read the queue of runs: {}", next.error().message());
      if (!next || !*next) break;
      Execute(**next);
    }
  }
}

void RunDesk::EndInterrupted() {
  while (true) {
    const auto next =
        parts_.store->Read([](Database& db) { return RunStore(db).First("running"); });
    if (!next) LogError("cannot read the runs: {}", next.error().message());
    if (!next || !*next) return;
    if (!WaitForChild(DirectoryOf((*next)->id))) return;
    RemoveLeftovers(DirectoryOf((*next)->id));
    const Status noted = Finish(**next, {.state = "interrupted",
                                         .reason = "the hub stopped during the run; start it again",
                                         .report = Json(),
                                         .model = ""});
    if (!noted) return LogError("cannot note the end of a run: {}", noted.error().message());
  }
}

// A child of a training holds the lock of its directory; the kernel has told it to end.
bool RunDesk::WaitForChild(const fs::path& directory) {
  const auto give_up = std::chrono::steady_clock::now() + kChildGrace;
  bool killed = false;
  std::error_code error;
  while (fs::exists(directory / "lock", error)) {
    if (DirectoryLock::Acquire(directory)) return true;
    if (!killed && std::chrono::steady_clock::now() > give_up) {
      const std::string holder = ReadTail(directory / "lock", 64);
      int pid = 0;
      std::from_chars(holder.data(), holder.data() + holder.size(), pid);
      killed = true;
      if (pid > 1) kill(pid, SIGKILL);
    }
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPoll, [this] { return stopping_; })) return false;
  }
  return true;
}

void RunDesk::Execute(const RunRecord& run) {
  bool started = false;
  const Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(started, RunStore(db).Start(run.id, parts_.clock->UtcMicros()));
    return {};
  });
  if (!written) return LogError("cannot start run {}: {}", run.id, written.error().message());
  if (!started) return;  // cancelled meanwhile
  LogInfo("run started id={} kind={}", run.id, run.kind);
  const auto verdict = RunChild(run);
  Status ended = verdict ? Finish(run, *verdict) : tl::make_unexpected(verdict.error());
  if (!ended) FinishEarly(run, ended.error());
  const std::lock_guard lock(mutex_);
  cancelled_.erase(run.id);
}

Result<RunVerdict> RunDesk::RunChild(const RunRecord& run) {
  SKERRY_ASSIGN_OR_RETURN(RunKind* const kind, KindOf(run.kind));
  const fs::path directory = DirectoryOf(run.id);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  SKERRY_ASSIGN_OR_RETURN(const auto arguments, kind->Prepare(run.spec, directory));
  const auto go_on = [&] { return !stopping() && !cancelled(run.id); };
  const Status ended =
      RunProcessGroup(parts_.program, arguments, LogOf(run.id), go_on, kChildGrace);
  if (!go_on()) return Fail(ErrorCode::kUnavailable, "the run was ended");
  if (ended) return kind->Conclude(run.spec, directory);
  const std::string tail = ReadTail(LogOf(run.id), limits::kRunLogTailBytes);
  std::string why = ErrorToldIn(tail);
  if (why.empty()) why = fmt::format("{}: {}", ended.error().message(), LastLine(tail));
  if (why.find("(log: ") == std::string::npos)
    why += fmt::format(" (log: {})", LogOf(run.id).string());
  return Fail(ended.error().code(), "{}", why);
}

Status RunDesk::Finish(const RunRecord& run, const RunVerdict& verdict) {
  LogInfo("run ended id={} state={} reason=\"{}\"", run.id, verdict.state, verdict.reason);
  return parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(RunStore(db).Finish(run.id, verdict.state, verdict.reason,
                                               verdict.report, verdict.model, now_us));
    return AuditLog(db).Append(now_us, "hub", fmt::format("run.{}", verdict.state), run.id,
                               {{"model", verdict.model}, {"reason", verdict.reason}});
  });
}

void RunDesk::FinishEarly(const RunRecord& run, const Error& error) {
  RunVerdict verdict{.state = "failed", .reason = error.message(), .report = Json(), .model = ""};
  if (cancelled(run.id))
    verdict = {.state = "cancelled", .reason = "cancelled", .report = Json(), .model = ""};
  else if (stopping())
    verdict = {.state = "interrupted",
               .reason = "the hub stopped during the run; start it again",
               .report = Json(),
               .model = ""};
  RemoveLeftovers(DirectoryOf(run.id));
  if (const Status noted = Finish(run, verdict); !noted)
    LogError("cannot note the end of run {}: {}", run.id, noted.error().message());
}

}  // namespace skerry
